#include "apps.h"

#include <string.h>

#include "buf.h"
#include "conf.h"
#include "exits.h"
#include "json.h"

enum { TEXT_MAX = 1 << 20, DEPTH = 64 };

/* A node as JSON once more. */
static void
write_node(struct buf *out, const struct node *n, int depth)
{
	bool object = n->type == JSON_OBJECT;

	if (n->type == JSON_STRING) {
		json_write_clean(out, n->text, n->len);
	} else if (n->type == JSON_NUMBER) {
		buf_add(out, n->text, n->len);
	} else if ((!object && n->type != JSON_ARRAY) || depth == 0) {
		buf_str(out, n->type == JSON_TRUE    ? "true"
			     : n->type == JSON_FALSE ? "false"
						     : "null");
	} else {
		buf_char(out, object ? '{' : '[');
		for (const struct node *c = n->child; c != NULL; c = c->next) {
			if (c != n->child)
				buf_char(out, ',');
			if (object) {
				json_write_clean(out, c->key, c->key_len);
				buf_char(out, ':');
			}
			write_node(out, c, depth - 1);
		}
		buf_char(out, object ? '}' : ']');
	}
}

/* The platforms of all sources of the app, each once, as a JSON array. */
static void
write_platforms(struct buf *out, const struct node *app)
{
	const struct node *sources = node_get(app, "sources");
	struct buf one = BUF_INIT(TEXT_MAX);

	buf_char(out, '[');
	for (const struct node *s = sources != NULL ? sources->child : NULL;
	     s != NULL; s = s->next) {
		const struct node *list = node_get(s, "platforms");

		for (const struct node *p = list != NULL ? list->child : NULL;
		     p != NULL; p = p->next) {
			buf_reset(&one);
			write_node(&one, p, DEPTH);
			if (memmem(out->p, out->len, one.p, one.len) != NULL)
				continue;
			if (out->len > 1)
				buf_char(out, ',');
			buf_add(out, one.p, one.len);
		}
	}
	buf_char(out, ']');
	buf_release(&one);
}

/* One app of the file. */
static int
read_app(const struct conf *c, const struct node *app,
    int (*take)(void *ctx, const struct app *a), void *ctx, bool *bad)
{
	struct buf all = BUF_INIT(TEXT_MAX), platforms = BUF_INIT(TEXT_MAX);
	struct buf critical = BUF_INIT(TEXT_MAX);
	const struct node *list = conf_list(c, app, "critical", bad);
	struct app a = {.id = conf_str(c, app, "app_id", NULL, bad)};
	int rc = RC_CONFIG;

	if (a.id == NULL && !*bad) {
		conf_wrong(c, app, "has no app_id");
		*bad = true;
	}
	write_node(&all, app, DEPTH);
	write_platforms(&platforms, app);
	if (list != NULL)
		write_node(&critical, list, DEPTH);
	else
		buf_str(&critical, "[]");
	a.name = conf_str(c, app, "name", a.id, bad);
	a.zone = conf_str(c, app, "zone", NULL, bad);
	a.currency = conf_str(c, app, "currency", NULL, bad);
	a.owner = conf_str(c, app, "owner", NULL, bad);
	a.platforms = buf_cstr(&platforms);
	a.critical = buf_cstr(&critical);
	a.config = buf_cstr(&all);
	if (!*bad)
		rc = take(ctx, &a);
	buf_release(&all);
	buf_release(&platforms);
	buf_release(&critical);
	return *bad ? RC_CONFIG : rc;
}

int
apps_read(const char *file, int (*take)(void *ctx, const struct app *a),
    void *ctx, uint64_t *count)
{
	struct conf *c;
	const struct node *apps;
	bool bad = false;
	int rc = conf_load(file, &c);

	*count = 0;
	if (rc != RC_OK)
		return rc;
	apps = conf_list(c, c->root, "apps", &bad);
	rc = bad ? RC_CONFIG : RC_OK;
	for (const struct node *a = apps != NULL ? apps->child : NULL;
	     rc == RC_OK && a != NULL; a = a->next) {
		rc = read_app(c, a, take, ctx, &bad);
		++*count;
	}
	conf_free(c);
	return rc;
}
