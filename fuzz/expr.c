/*
 * Any text as an expression and as a configuration: refused, or compiled and
 * evaluated over records of all shapes. What is for libjq is left out: its
 * own faults are not looked for here, and it starts slowly.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "expr_impl.h"
#include "mem.h"
#include "tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const records[] = {
    "{}",
    "{\"a\":1.5,\"b\":\"x\\u00e9\\ud83d\\ude00\",\"c\":null,\"d\":[1,\"2\",[],{"
    "}],"
    "\"p\":[{\"key\":\"X\",\"value\":{\"s\":\"y\",\"i\":12}},{\"key\":\"Y\"}]}",
    "{\"a\":{\"a\":{\"a\":-0.0}},\"b\":[[[]]],\"p\":[1,{\"key\":\"X\"}],\"a\":"
    "2}",
    "{\"a\":12345678901234567890123456789012345678901e-3,\"b\":1e400,"
    "\"c\":\"120210123456789013\",\"p\":{},\"d\":true}",
};
#define RECORDS (sizeof(records) / sizeof(records[0]))

/* A constant must print as JSON that reads back. */
static void
constant(const char *text, size_t len)
{
	struct jq_why why;
	struct jq_prog *p = jqx_parse(text, len, &why);
	struct jq_node *c = p == NULL ? NULL : jqx_constant(p, jqx_root(p));
	struct buf out = BUF_INIT(1 << 24);
	struct json_error e;

	if (c != NULL) {
		jqx_print(&out, c);
		buf_cstr(&out);
		if (!out.over && !json_check(out.p, out.len, false, &e))
			abort();
		tree_free(tree_parse(out.p, out.len, &e));
	}
	buf_release(&out);
	jqx_free(p);
}

static void
evaluate(struct expr *e, struct json_paths *ps)
{
	size_t n = (size_t)json_paths_count(ps);
	struct json_span *vals = xcalloc(n + 1, sizeof(*vals));
	struct json_scanner *s = json_scanner_new(ps);
	char room[1024];

	for (size_t i = 0; i < RECORDS; i++) {
		struct record rec = {
		    .text = room + JSON_PAD, .val = vals, .line = 1};
		struct expr_value v;
		struct json_error err;
		const char *next;

		memset(room, 0, sizeof(room));
		rec.len = (uint32_t)strlen(records[i]);
		memcpy(room + JSON_PAD, records[i], rec.len);
		room[JSON_PAD + rec.len] = '\n';
		if (json_scan(s, rec.text, &next, vals, &err) != JSON_OK)
			abort();
		expr_eval(e, &rec, &v);
		/* the whole answer must be there to read */
		for (size_t k = 0; v.type >= EXPR_NUMBER && k < v.len; k++)
			if (v.p[k] == '\0' && v.type == EXPR_NUMBER)
				abort();
	}
	json_scanner_free(s);
	free(vals);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xstrndup((const char *)data, size);
	struct json_paths *ps = json_paths_new();
	struct jq_why why;
	struct expr *e;
	char err[300];

	expr_no_jq = true;
	if (jqx_check(text, strlen(text), &why))
		constant(text, strlen(text));
	e = expr_compile(ps, text, err, sizeof(err));
	if (e != NULL)
		evaluate(e, ps);
	expr_free(e);
	json_paths_free(ps);
	free(text);
	return 0;
}
