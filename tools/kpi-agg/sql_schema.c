/* The schema of the export. */
#include "sql_schema.h"

#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "exits.h"
#include "file.h"
#include "mem.h"

static const char *const known[] = {
#include "ga4-schema.inc"
};

#define FILE_MAX ((size_t)16 << 20)

static bool
is_word(const struct node *n, const char *a, const char *b)
{
	return n != NULL && n->type == JSON_STRING &&
	       (strcmp(n->text, a) == 0 || strcmp(n->text, b) == 0);
}

char
sql_type(const struct node *field)
{
	const struct node *t = node_get(field, "type");

	return is_word(t, "STRING", "STRING")   ? 'S'
	       : is_word(t, "INTEGER", "INT64") ? 'I'
	       : is_word(t, "FLOAT", "FLOAT64") ? 'F'
	       : is_word(t, "BOOLEAN", "BOOL")  ? 'B'
	       : is_word(t, "RECORD", "STRUCT") ? 'R'
						: '?';
}

bool
sql_repeated(const struct node *field)
{
	return is_word(node_get(field, "mode"), "REPEATED", "repeated");
}

const struct node *
sql_field(const struct node *fields, const char *name, size_t n)
{
	const struct node *f = fields == NULL ? NULL : fields->child;

	for (; f != NULL; f = f->next) {
		const struct node *s = node_get(f, "name");

		if (s->len == n && memcmp(s->text, name, n) == 0)
			return f;
	}
	return NULL;
}

/* Names go into the statement as they are. */
static bool
name_ok(const struct node *n)
{
	static const char ok[] = "abcdefghijklmnopqrstuvwxyz"
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";

	return n != NULL && n->type == JSON_STRING && n->len > 0 &&
	       n->len <= 300 && strlen(n->text) == n->len &&
	       strspn(n->text, ok) == n->len &&
	       !(n->text[0] >= '0' && n->text[0] <= '9');
}

static bool
fields_ok(const struct node *list)
{
	if (list == NULL || list->type != JSON_ARRAY || list->count == 0)
		return false;
	for (const struct node *f = list->child; f != NULL; f = f->next)
		if (f->type != JSON_OBJECT || !name_ok(node_get(f, "name")) ||
		    node_get(f, "type") == NULL ||
		    (sql_type(f) == 'R' && !fields_ok(node_get(f, "fields"))))
			return false;
	return true;
}

static char *
known_text(void)
{
	struct buf b = BUF_INIT(1u << 24);
	char *s;

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		buf_str(&b, known[i]);
	s = xstrndup(b.p, b.len);
	buf_release(&b);
	return s;
}

static const struct node *
fields_of(const struct tree *t)
{
	const struct node *n = tree_root(t);

	if (n->type == JSON_OBJECT && node_get(n, "schema") != NULL)
		n = node_get(n, "schema");
	if (n->type == JSON_OBJECT)
		n = node_get(n, "fields");
	return fields_ok(n) ? n : NULL;
}

int
sql_schema_load(
    const char *file, struct tree **tree, const struct node **fields)
{
	struct buf b = BUF_INIT(FILE_MAX);
	struct json_error e;
	char *text = NULL;

	*tree = NULL;
	if (file == NULL) {
		text = known_text();
		*tree = tree_parse(text, strlen(text), &e);
	} else if (file_read(file, FILE_MAX, &b) == RC_OK) {
		*tree = tree_parse(buf_cstr(&b), b.len, &e);
	} else {
		return RC_CONFIG;
	}
	free(text);
	buf_release(&b);
	*fields = *tree == NULL ? NULL : fields_of(*tree);
	if (*fields != NULL)
		return RC_OK;
	warn_msg(file == NULL ? "schema" : file,
	    "is no schema of a table: an array of fields with name, type and "
	    "mode");
	return RC_CONFIG;
}
