/* SQL texts: names of tables, statements, parameters. */
#include <string.h>
#include <strings.h>

#include "bq_impl.h"

enum token { TOKEN_OTHER, TOKEN_QUOTED, TOKEN_COMMENT, TOKEN_NAME, TOKEN_SEMI };

/* The length of what begins at p: up to the closing quotes, the end of the
 * line, or one byte. What does not end goes to the end of the text. */
static size_t
quoted(const char *p, size_t n)
{
	char q = *p;
	size_t close = 1, i;

	if (q != '`' && n >= 3 && p[1] == q && p[2] == q)
		close = 3;
	for (i = close; i < n; i++) {
		if (p[i] == '\\')
			i++;
		else if (p[i] == q &&
			 (close == 1 ||
			     (n - i >= 3 && p[i + 1] == q && p[i + 2] == q)))
			return i + close;
	}
	return n;
}

static size_t
next_token(const char *p, size_t n, enum token *kind)
{
	const char *end;

	*kind = TOKEN_OTHER;
	if (*p == '\'' || *p == '"' || *p == '`') {
		*kind = *p == '`' ? TOKEN_NAME : TOKEN_QUOTED;
		return quoted(p, n);
	}
	if (*p == '#' || (n > 1 && p[0] == '-' && p[1] == '-')) {
		*kind = TOKEN_COMMENT;
		end = memchr(p, '\n', n);
		return end == NULL ? n : (size_t)(end - p);
	}
	if (n > 1 && p[0] == '/' && p[1] == '*') {
		*kind = TOKEN_COMMENT;
		end = memmem(p + 2, n - 2, "*/", 2);
		return end == NULL ? n : (size_t)(end - p) + 2;
	}
	if (*p == ';')
		*kind = TOKEN_SEMI;
	return 1;
}

/* `analytics_core.x` with project and dataset, all else as it is. */
static void
put_name(const struct bq *b, const char *p, size_t n, struct buf *out)
{
	static const char *const words[] = {
	    "`analytics_core.", "`analytics_ops."};

	for (int i = 0; i < 2; i++) {
		size_t len = strlen(words[i]);

		if (n <= len || memcmp(p, words[i], len) != 0)
			continue;
		buf_char(out, '`');
		buf_str(out, b->project);
		buf_char(out, '.');
		buf_str(out, i == 0 ? b->core : b->ops);
		buf_char(out, '.');
		buf_add(out, p + len, n - len);
		return;
	}
	buf_add(out, p, n);
}

void
bq_sql(const struct bq *b, const char *text, size_t len, struct buf *out)
{
	enum token kind;

	for (size_t n; len > 0; text += n, len -= n) {
		n = next_token(text, len, &kind);
		if (kind == TOKEN_NAME)
			put_name(b, text, n, out);
		else
			buf_add(out, text, n);
	}
}

size_t
bq_sql_statements(const char *text, size_t len)
{
	size_t count = 0;
	bool begun = false;
	enum token kind;

	for (size_t n; len > 0; text += n, len -= n) {
		n = next_token(text, len, &kind);
		if (kind == TOKEN_SEMI)
			begun = false;
		else if (kind != TOKEN_COMMENT &&
			 strchr(" \t\r\n\f\v", *text) == NULL && !begun) {
			begun = true;
			count++;
		}
	}
	return count;
}

static bool
word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_';
}

bool
bq_sql_uses(const char *text, size_t len, const char *name)
{
	size_t size = strlen(name);
	enum token kind;
	bool at = false;

	for (size_t n; len > 0; text += n, len -= n) {
		n = next_token(text, len, &kind);
		if (at && len >= size && strncasecmp(text, name, size) == 0 &&
		    (len == size || !word_char(text[size])))
			return true;
		at = kind == TOKEN_OTHER && *text == '@' && !at;
	}
	return false;
}
