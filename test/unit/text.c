/* Buffers and messages. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "diag.h"
#include "exits.h"
#include "mem.h"
#include "unit.h"

static void
ceilings(void)
{
	for (size_t max = 0; max < 200; max++) {
		struct buf b = BUF_INIT(max);

		for (size_t i = 0; i < max; i++)
			buf_char(&b, 'x');
		OK(b.len == max && !b.over);
		buf_char(&b, 'y');
		OK(b.len == max && b.over);
		OK(strlen(buf_cstr(&b)) == max);
		OK(b.len == max);
		buf_reset(&b);
		OK(!b.over && b.len == 0);
		buf_add(&b, "", 0);
		OK(!b.over);
		buf_release(&b);
	}
}

static void
numbers(void)
{
	static const int64_t v[] = {
	    0, 1, -1, 9, 10, -10, INT64_MAX, INT64_MIN, 1000000007};
	char want[32];

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		for (size_t max = 0; max < 24; max++) {
			struct buf b = BUF_INIT(max);
			bool fits;

			snprintf(want, sizeof(want), "%lld", (long long)v[i]);
			fits = strlen(want) <= max;
			buf_i64(&b, v[i]);
			OKF(b.over == !fits, "%s in %zu", want, max);
			if (fits)
				OKF(strcmp(buf_cstr(&b), want) == 0, "%s",
				    want);
			buf_reset(&b);
			buf_fmt(&b, "%lld", (long long)v[i]);
			OKF(b.over == !fits, "%s in %zu", want, max);
			if (fits)
				OK(strcmp(buf_cstr(&b), want) == 0);
			buf_release(&b);
		}
}

static void
quotes(void)
{
	static const struct {
		const char *in;
		size_t n;
		const char *want;
	} t[] = {
	    {"plain", 5, "'plain'"},
	    {"", 0, "''"},
	    {"a\nb", 3, "'a\\x0ab'"},
	    {"a\0b", 3, "'a\\x00b'"},
	    {"\x1b[31m", 5, "'\\x1b[31m'"},
	    {"\x7f", 1, "'\\x7f'"},
	    {"\xc3\xa5", 2, "'\xc3\xa5'"},
	    {"\xc2\x85", 2, "'\\u{85}'"},
	    {"\xe2\x80\xae", 3, "'\\u{202e}'"},
	    {"\xe2\x81\xa6", 3, "'\\u{2066}'"},
	    {"\xff", 1, "'\\xff'"},
	    {"\xc3", 1, "'\\xc3'"},
	    {"\xc0\x80", 2, "'\\xc0\\x80'"},
	    {"\xed\xa0\x80", 3, "'\\xed\\xa0\\x80'"},
	    {"\xf4\x90\x80\x80", 4, "'\\xf4\\x90\\x80\\x80'"},
	    {"\xf0\x9f\x98\x80", 4, "'\xf0\x9f\x98\x80'"},
	};
	char out[DIAG_QUOTE], big[5000];

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		OKF(strcmp(diag_quote(out, t[i].in, t[i].n), t[i].want) == 0,
		    "%s not %s", out, t[i].want);
	memset(big, 'x', sizeof(big));
	diag_quote(out, big, 200);
	OK(strlen(out) == 202);
	diag_quote(out, big, 201);
	OK(strlen(out) == 205 && strcmp(out + 201, "...'") == 0);
	memset(big, 1, sizeof(big));
	diag_quote(out, big, sizeof(big));
	OK(strlen(out) < DIAG_QUOTE &&
	    strcmp(out + strlen(out) - 4, "...'") == 0);
}

static void
graver(void)
{
	static const int order[] = {
	    64, 78, 77, 65, 70, 71, 73, 74, 75, 66, 137, 3, 4, 1, 2, 141, 0};

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		for (size_t j = i; j < sizeof(order) / sizeof(order[0]); j++) {
			OK(rc_graver(order[i], order[j]) == order[i]);
			OK(rc_graver(order[j], order[i]) == order[i]);
		}
	OK(strcmp(rc_class(66), "truncated") == 0);
	OK(strcmp(rc_class(137), "signal") == 0);
	OK(strcmp(rc_class(5), "unknown") == 0);
	OK(strcmp(rc_class(126), "unknown") == 0);
}

/* Says each argument, with the secret of the first. */
static void
say(int argc, char **argv)
{
	char quoted[DIAG_QUOTE];

	diag_secret(argv[2], strlen(argv[2]));
	for (int i = 3; i < argc; i++) {
		warn_msg(NULL, "%s", argv[i]);
		warn_at("in.ndjson", 42, (size_t)i, "bad value %s",
		    diag_quote(quoted, argv[i], strlen(argv[i])));
	}
	errno = ENOSPC;
	warn_sys("stdout", "cannot write");
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	diag_init(argv[0]);
	if (strcmp(what, "say") == 0 && argc > 2) {
		say(argc, argv);
		return 0;
	}
	if (strcmp(what, "die") == 0)
		die(RC_CONFIG, "conf/kpis.jq", "%s", "no\ngood");
	if (strcmp(what, "memory") == 0) {
		free(xreallocarray(NULL, SIZE_MAX / 2, 16));
		return 0;
	}
	if (strcmp(what, "ceilings") == 0)
		ceilings();
	else if (strcmp(what, "numbers") == 0)
		numbers();
	else if (strcmp(what, "quotes") == 0)
		quotes();
	else if (strcmp(what, "graver") == 0)
		graver();
	return unit_end();
}
