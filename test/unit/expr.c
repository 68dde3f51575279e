/*
 * Evaluates an expression over the records of stdin, one answer a line:
 * type, a blank, text. First line: native or libjq.
 *
 *	expr [--jq] EXPRESSION
 *	expr --conf FILE		digest of a configuration, and by whom
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "diag.h"
#include "expr.h"
#include "jqrun.h"

static int
show_conf(const char *file)
{
	struct conf *c;
	int rc = conf_load(file, &c);

	if (rc != 0)
		return rc;
	printf("%s %s\n", c->sha256, jqrun_count > 0 ? "libjq" : "native");
	conf_free(c);
	return 0;
}

static void
answer(struct expr *e, const struct record *rec)
{
	static const char *const words[] = {"none", "null", "false", "true",
	    "number", "string", "json", "error"};
	struct expr_value v;

	expr_eval(e, rec, &v);
	printf("%s %.*s\n", words[v.type],
	    v.type >= EXPR_NUMBER ? (int)v.len : 0, v.p);
}

static int
run(struct expr *e, struct json_paths *ps)
{
	struct json_scanner *s = json_scanner_new(ps);
	struct json_span *vals =
	    calloc((size_t)json_paths_count(ps) + 1, sizeof(*vals));
	size_t cap = 1 << 20;
	char *room = calloc(1, cap + 2 * JSON_PAD);
	struct json_error err;
	const char *next;
	int rc = 0;

	printf("%s\n", expr_native(e) ? "native" : "libjq");
	while (rc == 0 && fgets(room + JSON_PAD, (int)cap, stdin) != NULL) {
		struct record rec = {.text = room + JSON_PAD, .val = vals};

		if (json_scan(s, rec.text, &next, vals, &err) != JSON_OK) {
			fprintf(stderr, "bad record: %s\n", err.reason);
			rc = 65;
			continue;
		}
		rec.len = (uint32_t)strcspn(rec.text, "\n");
		answer(e, &rec);
	}
	printf("evaluated %llu native, %llu libjq\n",
	    (unsigned long long)expr_count_native,
	    (unsigned long long)expr_count_jq);
	json_scanner_free(s);
	free(vals);
	free(room);
	return rc;
}

int
main(int argc, char **argv)
{
	struct json_paths *ps;
	struct expr *e;
	char err[300];
	int rc = 64;

	diag_init(argv[0]);
	if (argc == 3 && strcmp(argv[1], "--conf") == 0)
		return show_conf(argv[2]);
	if (argc == 3 && strcmp(argv[1], "--jq") == 0) {
		expr_force_jq = true;
		argv++;
	} else if (argc != 2) {
		return rc;
	}
	ps = json_paths_new();
	e = expr_compile(ps, argv[1], err, sizeof(err));
	if (e == NULL)
		fprintf(stderr, "%s\n", err);
	else
		rc = run(e, ps);
	expr_free(e);
	json_paths_free(ps);
	return rc;
}
