/*
 * Makes random expressions of the native grammar and random records, and
 * compares what we say with what libjq says: type and text.
 *
 *	expr_diff [SEED [EXPRESSIONS [RECORDS]]]
 *
 * Numbers are multiples of 1/4, which doubles hold, so that both must agree
 * however they are spelled.
 * Many expressions are put into one libjq program, which compiles once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "diag.h"
#include "expr.h"
#include "jqrun.h"
#include "tree.h"

#define BATCH 20

static uint64_t state;

static unsigned
rnd(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)((state * 0x2545f4914f6cdd1dull) >> 33) % n;
}

#define PICK(...)                                \
	pick((const char *const[]){__VA_ARGS__}, \
	    sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static const char *
pick(const char *const *v, size_t n)
{
	return v[rnd((unsigned)n)];
}

/* Records */

static void
scalar(struct buf *b)
{
	buf_str(b,
	    PICK("null", "true", "false", "0", "1", "-2", "12", "3.25", "0.5",
		"1.50", "1e2", "25E-1", "-0", "-0.0", "\"\"", "\"a\"", "\"A\"",
		"\"ab\"", "\"abc\"", "\"X\"", "\"Y\"", "\"12\"", "\"-1.5\"",
		"\"\\u00e4b\\n\"", "\"h\303\266rt?x=1\"", "\"cpc\"",
		"\"Paid Search\"", "\"\\ud83d\\ude00a\"", "\"null\""));
}

static void
value(struct buf *b, int depth)
{
	unsigned n = rnd(3), what = depth > 0 ? rnd(8) : 0;

	if (what == 6) {
		buf_char(b, '[');
		for (unsigned i = 0; i < n; i++) {
			buf_str(b, i > 0 ? ", " : "");
			value(b, depth - 1);
		}
		buf_char(b, ']');
	} else if (what == 7) {
		static const char *const names[] = {"a", "b", "c"};

		buf_char(b, '{');
		for (unsigned i = 0; i < n; i++) {
			buf_str(b, i > 0 ? "," : "");
			buf_fmt(b, "\"%s\": ", names[i]);
			value(b, depth - 1);
		}
		buf_char(b, '}');
	} else {
		scalar(b);
	}
}

static void
param(struct buf *b)
{
	buf_str(b, "{\"key\":");
	buf_str(
	    b, PICK("\"X\"", "\"Y\"", "\"a\"", "\"X\"", "\"\\u0058\"", "1"));
	buf_str(b, ",\"value\":");
	switch (rnd(6)) {
	case 0:
		value(b, 1);
		break;
	case 1:
		buf_str(b, "{}");
		break;
	default:
		buf_fmt(b, "{\"%s\":", PICK("s", "i", "d"));
		scalar(b);
		buf_char(b, '}');
	}
	buf_char(b, '}');
}

static void
record(struct buf *b)
{
	static const char *const names[] = {"a", "b", "c", "d e"};
	bool first = true;
	unsigned n;

	buf_char(b, '{');
	for (size_t i = 0; i < 4; i++) {
		if (rnd(5) == 0)
			continue;
		buf_str(b, first ? "" : ",");
		buf_fmt(b, "\"%s\":", names[i]);
		value(b, 2);
		first = false;
	}
	if (rnd(8) > 0) {
		buf_str(b, first ? "" : ",");
		buf_str(b, "\"p\":");
		if (rnd(10) == 0) {
			/* no array whose first element alone is an object:
			 * there we are laxer, weir-expr(5) */
			value(b, 1);
		} else {
			buf_char(b, '[');
			n = rnd(5);
			for (unsigned i = 0; i < n; i++) {
				buf_str(b, i > 0 ? "," : "");
				param(b);
			}
			buf_char(b, ']');
		}
	}
	buf_char(b, '}');
}

/* Expressions */

static void expr(struct buf *b, int depth);

static void
paren(struct buf *b, int depth)
{
	buf_char(b, '(');
	expr(b, depth);
	buf_char(b, ')');
}

static void
literal(struct buf *b)
{
	buf_str(
	    b, PICK("null", "true", "false", "0", "1", "2.50", "1.2e1", "(-2)",
		   ".5", "007", "\"a\"", "\"X\"", "\"ab\"", "\"\"", "\"12\"",
		   "[]", "\"\303\244\"", "[1,\"a\"]", "{}", "\"\\u00e4b\\n\""));
}

static void
path(struct buf *b)
{
	buf_str(
	    b, PICK(".a", ".b", ".c", ".a.b", ".a.b.c", ".[\"a\"]", ".\"d e\"",
		   ".a?", ".a.b?", ".a[0]", ".b[1]", ".c[-1]", ".a[0].b", ".",
		   ".a[1:]", ".b[0:2]", ".c[-1:]?", ".[\"a\"].b", ".a?.b?",
		   ".p[0].value", ".p[0].key", ".b[:-1]", ".a.c", ".b.a"));
}

static void
keyed(struct buf *b)
{
	static const char *const after[] = {".value.s", ".value|.i",
	    ".value|(.s//.i//.d)", ".value|(.i // .s)", ".value", ".key",
	    ".value.s?", ".value|.s|length", ".value|select(.i==1)|.i"};

	switch (rnd(4)) {
	case 0:
		buf_fmt(b, "(.p[]|select(.key==\"%s\")|%s)",
		    PICK("X", "Y", "Q"), after[rnd(9)]);
		break;
	case 1:
		buf_fmt(
		    b, "(.p[]?|select(.key==\"%s\").value.s)", PICK("X", "Y"));
		break;
	case 2:
		buf_fmt(b, "first(.p[]|select(\"%s\"==.key)|%s)",
		    PICK("X", "Y", "a"), after[rnd(9)]);
		break;
	default:
		buf_fmt(b, "(.p|.[]|select(.key==\"X\")|%s)", after[rnd(9)]);
	}
}

static void
builtin(struct buf *b, int depth)
{
	static const char *const plain[] = {"length", "not", "type", "tostring",
	    "tonumber", "ascii_downcase", "ascii_upcase", "utf8bytelength",
	    "strings", "numbers", "values", "nulls", "scalars", "booleans"};
	static const char *const withs[] = {"startswith(\"a\")",
	    "endswith(\"b\")", "ltrimstr(\"a\")", "rtrimstr(\"c\")",
	    "contains(\"b\")", "inside(\"xabc\")", "has(\"a\")", "test(\"b\")",
	    "test(\"^(a|cpc)$\")", "test(\"^a\")", "test(\"paid.*\";\"i\")",
	    "test(\"^(.*cp.*|ab)$\")", "IN(\"a\",\"X\",1)", "split(\"?\")[0]",
	    "split(\"b\")[1]", "split(\"a\")[-1]", "test(\"c$\")", "any",
	    "all"};

	paren(b, depth);
	buf_str(b, "|");
	if (rnd(2) == 0)
		buf_str(b, plain[rnd(sizeof(plain) / sizeof(*plain))]);
	else
		buf_str(b, withs[rnd(sizeof(withs) / sizeof(*withs))]);
}

static void
generator(struct buf *b, int depth)
{
	switch (rnd(9)) {
	case 0:
		buf_str(b, PICK(".a[]", ".b[]?", ".p[]", ".p[]?.key"));
		break;
	case 1:
		paren(b, depth);
		buf_char(b, ',');
		paren(b, depth);
		break;
	case 2:
		buf_str(b, "first(");
		expr(b, depth);
		buf_char(b, ')');
		break;
	case 3:
		buf_fmt(b, "%s(.p[]?;.key==\"%s\")", PICK("any", "all"),
		    PICK("X", "Y"));
		break;
	case 4:
		buf_str(b, "[.p[]?|");
		expr(b, depth);
		buf_str(b, PICK("]|length", "]|add"));
		break;
	case 5:
		buf_str(b, "select(");
		expr(b, depth);
		buf_str(b, ")|");
		expr(b, depth);
		break;
	case 6:
		buf_str(b, PICK("empty", ".p|map(.value.i)|add",
			       ".p|map(.key)|length"));
		break;
	case 7:
		buf_str(b, "def f(x): .p[]?|select(.key==x)|.value|(.s//.i);"
			   "f(\"X\")");
		break;
	default:
		buf_str(b, "def g($k): .[$k]; g(\"a\")|g(\"b\")");
	}
}

static void
expr(struct buf *b, int depth)
{
	if (depth <= 0) {
		if (rnd(3) == 0)
			literal(b);
		else
			path(b);
		return;
	}
	switch (rnd(13)) {
	case 0:
		path(b);
		break;
	case 1:
	case 2:
		keyed(b);
		break;
	case 3:
		paren(b, depth - 1);
		buf_str(b, PICK("==", "!=", "<", "<=", ">", ">="));
		paren(b, depth - 1);
		break;
	case 4:
		paren(b, depth - 1);
		buf_str(b, PICK(" and ", " or "));
		paren(b, depth - 1);
		break;
	case 5:
		paren(b, depth - 1);
		buf_str(b, " // ");
		paren(b, depth - 1);
		break;
	case 6:
		paren(b, depth - 1);
		buf_str(b, PICK("+", "-", "*", "+"));
		paren(b, depth - 1);
		break;
	case 7:
		buf_str(b, "if ");
		expr(b, depth - 1);
		buf_str(b, " then ");
		expr(b, depth - 1);
		buf_str(b, " else ");
		expr(b, depth - 1);
		buf_str(b, " end");
		break;
	case 8:
	case 9:
		builtin(b, depth - 1);
		break;
	case 10:
		paren(b, depth - 1);
		buf_str(b, "|");
		paren(b, depth - 1);
		break;
	case 11:
		buf_str(b, "\"<\\(");
		path(b);
		buf_str(b, ")>\\(.a)\"");
		break;
	default:
		paren(b, 0);
		buf_char(b, '|');
		generator(b, depth - 1);
	}
}

/* The comparison */

struct answer {
	enum expr_type type;
	struct buf text;
};

static void
canonical(struct buf *out, const char *p, size_t n)
{
	struct buf copy = BUF_INIT(1 << 24);
	struct json_span v, dup;

	buf_add(&copy, p, n);
	buf_cstr(&copy);
	v = json_value(copy.p);
	buf_reset(out);
	if (!json_canonical(out, &v, &dup))
		buf_str(out, "duplicate");
	buf_release(&copy);
}

static void
ours(struct expr *e, const struct record *rec, struct answer *a)
{
	struct expr_value v;

	expr_eval(e, rec, &v);
	a->type = v.type;
	buf_reset(&a->text);
	if (v.type == EXPR_NUMBER || v.type == EXPR_JSON)
		canonical(&a->text, v.p, v.len);
	else if (v.type == EXPR_STRING || v.type == EXPR_ERROR)
		buf_add(&a->text, v.p, v.len);
}

/* What the batch program wrote for one expression: [value], [] or null. */
static void
theirs(const struct json_span *s, struct answer *a)
{
	static const enum expr_type types[] = {[JSON_NULL] = EXPR_NULL,
	    [JSON_FALSE] = EXPR_FALSE,
	    [JSON_TRUE] = EXPR_TRUE,
	    [JSON_NUMBER] = EXPR_NUMBER,
	    [JSON_STRING] = EXPR_STRING,
	    [JSON_ARRAY] = EXPR_JSON,
	    [JSON_OBJECT] = EXPR_JSON};
	struct json_iter it;
	struct json_span v;

	buf_reset(&a->text);
	if (s->type == JSON_NULL) {
		a->type = EXPR_ERROR;
		return;
	}
	json_iter_init(&it, s);
	if (!json_next_element(&it, &v)) {
		a->type = EXPR_NONE;
		return;
	}
	a->type = types[v.type];
	if (v.type == JSON_STRING)
		json_decode_buf(&v, &a->text);
	else if (v.type >= JSON_NUMBER)
		canonical(&a->text, v.p, v.len);
}

static const char *const words[] = {
    "none", "null", "false", "true", "number", "string", "json", "error"};

static bool
same(const struct answer *a, const struct answer *b)
{
	return a->type == b->type &&
	       (a->type == EXPR_ERROR ||
		   (a->text.len == b->text.len &&
		       (a->text.len == 0 ||
			   memcmp(a->text.p, b->text.p, a->text.len) == 0)));
}

static void
show(const char *who, const struct answer *a)
{
	printf("  %s: %s %.*s\n", who, words[a->type], (int)a->text.len,
	    a->text.len == 0 ? "" : a->text.p);
}

struct round {
	struct json_paths *ps;
	struct expr *e[BATCH];
	struct buf text[BATCH];
	struct jqrun *all;
	uint64_t bad, native, cases;
};

static void
prepare(struct round *r)
{
	struct buf prog = BUF_INIT(1 << 24);
	struct jq_why why;
	char err[300];

	r->ps = json_paths_new();
	buf_char(&prog, '[');
	for (size_t i = 0; i < BATCH; i++) {
		buf_init(&r->text[i], 1 << 20);
		expr(&r->text[i], 1 + (int)rnd(3));
		r->e[i] = expr_compile(
		    r->ps, buf_cstr(&r->text[i]), err, sizeof(err));
		if (r->e[i] == NULL) {
			printf("refused: %s: %s\n", r->text[i].p, err);
			exit(1);
		}
		r->native += expr_native(r->e[i]);
		buf_fmt(&prog, "%s(try [first(%s)] catch null)",
		    i > 0 ? ",\n" : "", r->text[i].p);
	}
	buf_char(&prog, ']');
	r->all = jqrun_new(buf_cstr(&prog), &why);
	if (r->all == NULL) {
		printf("libjq: %s\n", why.text);
		exit(1);
	}
	buf_release(&prog);
}

static void
compare(struct round *r, const struct record *rec)
{
	struct buf out = BUF_INIT(1 << 26);
	struct answer a = {EXPR_NONE, BUF_INIT(1 << 24)};
	struct answer b = {EXPR_NONE, BUF_INIT(1 << 24)};
	enum json_type type;
	struct json_span all, one;
	struct json_iter it;

	if (jqrun_first(r->all, rec->text, rec->len, &out, &type, NULL) !=
	    JQRUN_VALUE) {
		printf("libjq fails: %s\n", buf_cstr(&out));
		exit(1);
	}
	buf_cstr(&out);
	all = json_value(out.p);
	json_iter_init(&it, &all);
	for (size_t i = 0; i < BATCH && json_next_element(&it, &one); i++) {
		ours(r->e[i], rec, &a);
		theirs(&one, &b);
		r->cases++;
		if (same(&a, &b))
			continue;
		r->bad++;
		if (r->bad > 20)
			continue;
		printf("differ: %s\n  record: %.*s\n", r->text[i].p,
		    (int)rec->len, rec->text);
		show("native", &a);
		show("libjq", &b);
	}
	buf_release(&out);
	buf_release(&a.text);
	buf_release(&b.text);
}

static void
records(struct round *r, unsigned n)
{
	struct json_scanner *s = json_scanner_new(r->ps);
	struct json_span *vals =
	    calloc((size_t)json_paths_count(r->ps) + 1, sizeof(*vals));
	struct buf b = BUF_INIT(1 << 20);
	char pad[JSON_PAD] = {0};

	for (unsigned i = 0; i < n; i++) {
		struct json_error e;
		const char *next;
		struct record rec = {.val = vals, .line = i + 1};

		buf_reset(&b);
		buf_add(&b, pad, sizeof(pad));
		record(&b);
		rec.len = (uint32_t)(b.len - sizeof(pad));
		buf_char(&b, '\n');
		buf_add(&b, pad, sizeof(pad));
		rec.text = b.p + sizeof(pad);
		if (json_scan(s, rec.text, &next, vals, &e) != JSON_OK) {
			printf("bad record %.*s\n", (int)rec.len, rec.text);
			exit(1);
		}
		compare(r, &rec);
	}
	buf_release(&b);
	free(vals);
	json_scanner_free(s);
}

int
main(int argc, char **argv)
{
	unsigned long seed = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
	unsigned long n = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;
	unsigned recs = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 20;
	struct round r = {0};

	diag_init(argv[0]);
	state = seed * 0x9e3779b97f4a7c15ull + 1;
	for (unsigned long done = 0; done < n; done += BATCH) {
		prepare(&r);
		records(&r, recs);
		for (size_t i = 0; i < BATCH; i++) {
			expr_free(r.e[i]);
			buf_release(&r.text[i]);
		}
		jqrun_free(r.all);
		json_paths_free(r.ps);
	}
	printf("seed %lu: %llu cases, %llu of %lu expressions native, "
	       "%llu evaluations by libjq, %llu differ\n",
	    seed, (unsigned long long)r.cases, (unsigned long long)r.native, n,
	    (unsigned long long)expr_count_jq, (unsigned long long)r.bad);
	return r.bad > 0;
}
