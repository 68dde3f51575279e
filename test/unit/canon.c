/* canon_record against json_canonical, over made-up records. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "canon.h"
#include "diag.h"
#include "json.h"

static uint64_t state = 88172645463325252u;

static unsigned
below(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state % n);
}

static void
blanks(struct buf *b)
{
	if (below(12) == 0)
		buf_str(b, below(2) == 0 ? " " : "\t ");
}

static void
string(struct buf *b)
{
	static const char *const parts[] = {"a", "key", "\xc3\xa9", "\\u00e9",
	    "\\/", "\\n", "\\\"", "\\\\", "\\u0000", "\\ud83d\\ude00", " ",
	    "a somewhat longer piece of text than sixteen bytes", "{", "}", ",",
	    ":", "\\u001f", "\\b"};
	unsigned n = below(5);

	buf_char(b, '"');
	while (n-- > 0)
		buf_str(b, parts[below(sizeof parts / sizeof parts[0])]);
	buf_char(b, '"');
}

static void
number(struct buf *b)
{
	static const char *const all[] = {"0", "-0", "-0.0", "1", "10", "1.0",
	    "1.50", "0.5", "0.000001", "0.0000001", "1e5", "1E+2", "-3.25e-2",
	    "123456789012345678901234567890", "1e400", "0.1e1",
	    "100000000000000000000", "1000000000000000000000", "0.00001",
	    "99999999999999999999.5", "12.00", "-7", "5e-324", "20.10"};

	buf_str(b, all[below(sizeof all / sizeof all[0])]);
}

static void
key(struct buf *b)
{
	static const char *const all[] = {"a", "b", "ab", "abcdefgh",
	    "abcdefghi", "abcdefghj", "", "\xc3\xa9", "\\u0061", "z", "A",
	    "key", "value", "event_timestamp", "event_name", "\\n",
	    "\xf0\x9f\x98\x80",
	    "\xef\xbf\xbd"};

	buf_char(b, '"');
	buf_str(b, all[below(sizeof all / sizeof all[0])]);
	if (below(3) > 0)
		buf_u64(b, below(30));
	buf_char(b, '"');
}

static void
value(struct buf *b, unsigned depth)
{
	static const char *const words[] = {"null", "true", "false"};
	unsigned n, what = below(depth > 30 ? 3 : 6);

	if (what == 0) {
		string(b);
	} else if (what == 1) {
		number(b);
	} else if (what == 2) {
		buf_str(b, words[below(3)]);
	} else {
		bool object = what > 3;

		buf_char(b, object ? '{' : '[');
		n = below(depth == 0 ? 12 : depth > 3 ? 3 : 5);
		if (depth == 0 && below(60) == 0)
			n = 300;
		blanks(b);
		for (unsigned i = 0; i < n; i++) {
			if (i > 0)
				buf_char(b, ',');
			blanks(b);
			if (object) {
				key(b);
				blanks(b);
				buf_char(b, ':');
				blanks(b);
			}
			value(b, depth + 1 + below(8));
			blanks(b);
		}
		buf_char(b, object ? '}' : ']');
	}
}

/* No blanks, nothing nested: the way of most events. */
static void
flat(struct buf *b)
{
	unsigned n = below(14);

	buf_char(b, '{');
	for (unsigned i = 0; i < n; i++) {
		if (i > 0)
			buf_char(b, below(400) == 0 ? ' ' : ',');
		if (i > 0 && b->p[b->len - 1] == ' ')
			buf_char(b, ',');
		key(b);
		buf_char(b, ':');
		value(b, below(60) == 0 ? 1 : 31);
	}
	buf_char(b, '}');
}

int
main(int argc, char **argv)
{
	static const char pad[JSON_PAD] = "\n";
	struct canon *c = canon_new();
	struct buf in = BUF_INIT(1u << 24), fast = BUF_INIT(1u << 24);
	struct buf slow = BUF_INIT(1u << 24);
	int wrong = 0, objects = 0, twice = 0;

	(void)argc;
	diag_init(argv[0]);
	while (objects < 100000 && wrong < 5) {
		struct json_span v, dup;
		bool a, b;

		buf_reset(&in);
		buf_reset(&fast);
		buf_reset(&slow);
		if (below(2) == 0) {
			canon_free(c); /* it remembers what it saw */
			c = canon_new();
			flat(&in);
		} else {
			value(&in, 0);
		}
		buf_add(&in, pad, sizeof pad);
		v = json_value(in.p);
		if (v.type != JSON_OBJECT)
			continue;
		objects++;
		a = canon_record(c, &fast, &v, NULL, 0);
		b = json_canonical(&slow, &v, &dup);
		twice += !b;
		if (a != b ||
		    (a && (fast.len != slow.len ||
			      memcmp(fast.p, slow.p, fast.len) != 0))) {
			printf("%.*s\n%d %.*s\n%d %.*s\n", (int)v.len, v.p, a,
			    (int)fast.len, fast.p, b, (int)slow.len, slow.p);
			wrong++;
		}
	}
	printf("%d objects, %d with a member twice\n", objects, twice);
	canon_free(c);
	buf_release(&in);
	buf_release(&fast);
	buf_release(&slow);
	return wrong != 0;
}
