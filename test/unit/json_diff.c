/*
 * json_diff SEED ROUNDS: rows made and broken at random, seen by every kernel
 * and by the exact way (fuzz/json.c compares). Prints the number of rounds.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t state;

static unsigned
rnd(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)((state >> 11) % n);
}

static void
pick(struct buf *b, const char *const *from, unsigned n)
{
	buf_str(b, from[rnd(n)]);
}

#define PICK(b, list) pick(b, list, sizeof(list) / sizeof((list)[0]))

static void
blanks(struct buf *b)
{
	static const char *const some[] = {
	    "", "", "", "", "", "", " ", "\t", "  ", "\r", "          "};

	PICK(b, some);
}

static void
text(struct buf *b)
{
	static const char *const some[] = {"x", "ga_session_id", "\\u0078",
	    "\\n", "\\\"", "\\\\", "\xc3\xa9", "\xf0\x9f\x98\x80", "\\u00e9",
	    "\\ud83d\\ude00", "{", "}", "[", ":", ",", "q", "\xe2\x82\xac",
	    "abcdefghijklmnopqrstuvwxyz0123456789", "\\/", "int_value"};

	buf_char(b, '"');
	for (unsigned n = rnd(4); n > 0; n--)
		PICK(b, some);
	buf_char(b, '"');
}

static void
key(struct buf *b)
{
	static const char *const some[] = {"\"a\"", "\"b\"", "\"c\"", "\"d\"",
	    "\"event_name\"", "\"event_params\"", "\"items\"", "\"key\"",
	    "\"value\"", "\"int_value\"", "\"price\"", "\"\"", "\"k\"",
	    "\"long_member_name_one\"", "\"long_member_name_two\"",
	    "\"\\u0061\"", "\"event\\u005fname\"", "\"prefix_long_member\"",
	    "\"other_long_member\"", "\"name\"", "\"\xc3\xa9\"", "\"\\u00e9\""};

	if (rnd(8) == 0)
		text(b);
	else
		PICK(b, some);
}

static void value(struct buf *b, int depth);

static void
params(struct buf *b)
{
	static const char *const some[] = {"\"x\"", "\"ga_session_id\"",
	    "\"q\\\"\"", "\"y\"", "\"\\u0078\"", "1", "\"ga_session_i\""};

	buf_str(b, "\"event_params\":[");
	for (unsigned n = rnd(5), i = 0; i < n; i++) {
		buf_str(b, i > 0 ? "," : "");
		buf_str(b, rnd(4) > 0 ? "{\"key\":" : "{ \"key\" : ");
		PICK(b, some);
		buf_str(b, ",\"value\":{\"int_value\":\"");
		buf_u64(b, rnd(100000));
		buf_str(b, rnd(9) > 0 ? "\"}}" : "\"},\"key\":\"x\"}");
	}
	buf_char(b, ']');
}

static void
object(struct buf *b, int depth)
{
	buf_char(b, '{');
	for (unsigned n = rnd(6), i = 0; i < n; i++) {
		if (i > 0)
			buf_char(b, ',');
		blanks(b);
		if (depth == 0 && rnd(3) == 0) {
			params(b);
			continue;
		}
		key(b);
		blanks(b);
		buf_char(b, ':');
		blanks(b);
		value(b, depth + 1);
		blanks(b);
	}
	buf_char(b, '}');
}

static void
value(struct buf *b, int depth)
{
	static const char *const some[] = {"1", "-0", "0.5", "1e9", "1E+05",
	    "-12.25e-3", "true", "false", "null", "123456789012345678901", "0",
	    "[]", "{}"};
	unsigned k = rnd(depth < 6 ? 10 : 6);

	if (k < 3) {
		text(b);
	} else if (k < 6) {
		PICK(b, some);
	} else if (k < 8) {
		object(b, depth);
	} else {
		buf_char(b, '[');
		for (unsigned n = rnd(5), i = 0; i < n; i++) {
			if (i > 0)
				buf_char(b, ',');
			blanks(b);
			value(b, depth + 1);
		}
		buf_char(b, ']');
	}
}

/* Breaks a byte or a few. */
static void
spoil(struct buf *b)
{
	static const char odd[] = "\"\\{}[]:, \t\n\r09-.eEtfnu\x00\x1f\x7f\x80"
				  "\xc0\xed\xa0\xf4\xff/ab";

	if (b->len == 0)
		return;
	for (unsigned n = 1 + rnd(2); n > 0; n--) {
		size_t at = rnd((unsigned)b->len);

		switch (rnd(4)) {
		case 0:
			b->p[at] = odd[rnd(sizeof(odd) - 1)];
			break;
		case 1:
			memmove(b->p + at, b->p + at + 1, b->len - at - 1);
			b->len--;
			break;
		case 2:
			buf_char(b, ' ');
			memmove(b->p + at + 1, b->p + at, b->len - at - 1);
			b->p[at] = odd[rnd(sizeof(odd) - 1)];
			break;
		default:
			b->p[at] = (char)rnd(256);
		}
		if (b->len == 0)
			return;
	}
}

int
main(int argc, char **argv)
{
	struct buf b = BUF_INIT(1 << 24);
	long rounds = argc > 2 ? atol(argv[2]) : 1000;

	state =
	    88172645463325252ull ^
	    (argc > 1 ? (uint64_t)atol(argv[1]) * 0x9e3779b97f4a7c15ull : 0);
	for (long i = 0; i < rounds; i++) {
		buf_reset(&b);
		for (unsigned n = 1 + rnd(5); n > 0; n--) {
			blanks(&b);
			if (rnd(40) == 0)
				value(&b, 0);
			else
				object(&b, 0);
			if (rnd(60) == 0)
				for (unsigned d = rnd(1200); d > 0; d--)
					buf_str(&b, rnd(2) ? "[" : "{\"a\":");
			buf_char(&b, '\n');
		}
		if (rnd(50) == 0)
			for (unsigned d = rnd(400); d > 0; d--)
				buf_char(&b,
				    "}]{[, "[rnd(20) < 19 ? i & 1 : rnd(6)]);
		if (rnd(2) == 0)
			spoil(&b);
		LLVMFuzzerTestOneInput((const uint8_t *)b.p, b.len);
	}
	printf("%ld rounds\n", rounds);
	buf_release(&b);
	return 0;
}
