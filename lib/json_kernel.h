/*
 * A kernel: one sweep over the text that validates and finds keys, 64 bytes
 * at a time, as bit algebra on masks. Included once per instruction set, with
 * KERNEL naming it and these defined before:
 *
 *	classify(p, m)   fills struct masks for the 64 bytes at p
 *	first_bit(x)     the lowest set bit, any number for 0
 *	prefix_xor(x)    bit i of the result is the xor of bits 0..i
 *	UTF8_BLOCKS      checks UTF-8 by block: utf8_block(u8, p), utf8_bad(u8)
 *	string_end(p, f) as json_string_end, where over-reading is allowed
 *
 * It is conservative: what it calls sound is sound, what it calls suspect is
 * judged by json_check. Its idea of a row: tokens need a legal predecessor
 * (one shift a class, through blanks by an addition's carry); a key is a
 * string after '{' or an object's ','; from a key's quote to its colon no
 * other byte may stand outside strings. Brackets go on a list with their
 * partners, so that whole values can be jumped over.
 */

typedef uint64_t u64;

#define ALWAYS static inline __attribute__((always_inline))
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Bits above the lowest set one (all of them for 0). */
#define ABOVE(bit) (~((bit) ^ ((bit)-1)))
#define BELOW(i) ((1ull << (i)) - 1)

/* The lowest set bit; anything for 0. */
ALWAYS unsigned
low(u64 x)
{
	return first_bit(x);
}

ALWAYS u64
spread(u64 x) /* all ones where the top bit is set */
{
	return (u64)((int64_t)x >> 63);
}

/* Bytes that a backslash escapes. A run of backslashes that begins on an even
 * bit escapes what follows it if the run is odd, and so on: one subtraction
 * finds all ends. */
ALWAYS u64
escaped_by(u64 backslash, u64 *carry)
{
	const u64 odd = 0xaaaaaaaaaaaaaaaaull;
	u64 starts, codes, esc;

	if (backslash == 0) {
		esc = *carry;
		*carry = 0;
		return esc;
	}
	starts = backslash & ~*carry;
	codes = (((starts << 1) | odd) - starts) ^ odd;
	esc = codes ^ (backslash | *carry);
	*carry = (codes & backslash) >> 63;
	return esc;
}

/* Bytes whose last byte before them that is no blank is in x. */
ALWAYS u64
after(u64 x, u64 blank, u64 *carry)
{
	u64 next = x << 1 | *carry, run, sum;

	if (blank == 0) {
		*carry = x >> 63;
		return next;
	}
	run = next & blank;
	*carry = (u64)__builtin_add_overflow(run, blank, &sum) | x >> 63;
	return (next | sum) & ~blank;
}

ALWAYS bool
hex_digits(const char *p)
{
	for (int i = 0; i < 4; i++) {
		unsigned c = (unsigned char)p[i];

		if (c - '0' > 9 && (c | 0x20) - 'a' > 5)
			return false;
	}
	return true;
}

/* The escape at p is one that JSON knows. Half of a pair of surrogates is
 * sound only beside its other half; anything odd is suspect. */
ALWAYS bool
escape_sound(struct sweep *w, const char *p)
{
	static const unsigned char known[256] = {['"'] = 1,
	    ['\\'] = 1,
	    ['/'] = 1,
	    ['b'] = 1,
	    ['f'] = 1,
	    ['n'] = 1,
	    ['r'] = 1,
	    ['t'] = 1,
	    ['u'] = 2};
	unsigned k = known[(unsigned char)p[1]];

	if (k != 2)
		return k == 1;
	if (!hex_digits(p + 2))
		return false;
	if ((p[2] | 0x20) != 'd' || p[3] < '8')
		return true;
	if (p[3] == '8' || p[3] == '9' || (p[3] | 0x20) == 'a' ||
	    (p[3] | 0x20) == 'b') {
		w->low_half = p + 6;
		return p[6] == '\\' && p[7] == 'u' && (p[8] | 0x20) == 'd' &&
		       (p[9] | 0x20) >= 'c' && (p[9] | 0x20) <= 'f';
	}
	return p == w->low_half;
}

ALWAYS const char *
skip_digits(const char *p, const char *end)
{
	while (p < end && (unsigned)(unsigned char)*p - '0' <= 9)
		p++;
	return p;
}

/* A number or literal that ends well. Nothing from end on is looked at for
 * digits: what is longer is suspect. */
ALWAYS bool
scalar_sound(const char *p, const char *end)
{
	const char *q;

	switch (*p) {
	case 't':
		p += memcmp(p, "true", 4) == 0 ? 4 : 0;
		break;
	case 'f':
		p += memcmp(p, "false", 5) == 0 ? 5 : 0;
		break;
	case 'n':
		p += memcmp(p, "null", 4) == 0 ? 4 : 0;
		break;
	default:
		p += *p == '-';
		q = skip_digits(p, end);
		if (q == p || (*p == '0' && q > p + 1))
			return false;
		if (*q == '.') {
			p = q + 1;
			q = skip_digits(p, end);
			if (q == p)
				return false;
		}
		if ((*q | 0x20) == 'e') {
			p = q + 1 + (q[1] == '+' || q[1] == '-');
			q = skip_digits(p, end);
			if (q == p)
				return false;
		}
		p = q;
	}
	return *p == ',' || *p == '}' || *p == ']' || *p == ' ' || *p == '\t' ||
	       *p == '\r' || *p == '\n';
}

ALWAYS void
restart(struct sweep *w, const char *line)
{
	memset(&w->carry, 0, sizeof(w->carry));
	w->carry.colon = 1;
	w->base = w->block = line;
	w->depth = 0;
	w->kinds = 0;
	w->n = w->row = 0;
	for (int i = 0; i <= SWEEP_SLACK; i++)
		w->stack[i] = SWEEP_LIST;
	w->high = false;
	w->low_half = NULL;
}

/* Puts the block's brackets on the list; gives the mask of bytes directly in
 * an array, and of those at depth 1. */
ALWAYS u64
brackets(
    struct sweep *w, u64 open, u64 close, u64 square, u64 *at_one, u64 *err)
{
	u64 todo = open | close, kinds = w->kinds, bad = 0;
	u64 in_array = 0 - (kinds & 1), one;
	int depth = w->depth;
	uint32_t n = w->n, off = (uint32_t)(w->block - w->base);

	one = 0 - (u64)(depth == 1);
	do {
		unsigned i = low(todo);
		u64 above = ABOVE(todo), was = kinds;
		u64 is_open = open >> i & 1, kind = square >> i & 1;
		int lower = depth - 1 + (int)is_open;

		w->pos[n] = off + i;
		w->match[w->stack[SWEEP_SLACK + depth]] = n;
		w->stack[SWEEP_SLACK + depth + 1] = n;
		n++;
		kinds = is_open ? kinds << 1 | kind : kinds >> 1;
		bad |= ((was ^ kind) & ~is_open) | (unsigned)lower >> 31;
		depth = lower + (int)is_open;
		one ^= (unsigned)lower <= 1 ? above : 0;
		in_array ^= (0 - ((kinds ^ was) & 1)) & above;
		todo &= todo - 1;
	} while (todo != 0);
	*at_one = one;
	*err |= bad & 1;
	w->n = n;
	w->kinds = kinds;
	w->depth = depth;
	return in_array;
}

/* Reads the block at w->block: checks it, and leaves the masks that finding
 * keys and rows needs. */
ALWAYS void
load(struct sweep *w)
{
	struct carries *c = &w->carry;
	struct masks m;
	u64 esc, quote, in, opening, closing, out, blank, open, close, colon;
	u64 comma, body, starts, array, one, key, value, region, nl, err = 0;
	u64 after_comma, after_open, after_colon;
	int depth = w->depth;
	const char *limit = w->block + 64 + JSON_PAD / 2; /* what may be read */

	classify(w->block, &m);
	esc = escaped_by(m.backslash, &c->escape);
	quote = m.quote & ~esc;
	in = prefix_xor(quote) ^ c->string;
	c->string = spread(in);
	opening = quote & in;
	closing = quote & ~in;
	out = ~(in | closing);
	nl = m.newline & out;
	blank = m.blank & out;
	open = m.open & out;
	close = m.close & out;
	colon = m.colon & out;
	comma = m.comma & out;
	body = out & ~(blank | open | close | colon | comma | nl);
	err |= in & m.control;

	if (UNLIKELY(m.high != 0 || w->high)) {
#ifdef UTF8_BLOCKS
		err |= utf8_block(w, w->block);
		w->high = (m.high >> 61) != 0;
#else
		w->high = true; /* the row is looked at when it ends */
#endif
	}
	if (m.backslash != 0) {
		u64 t = m.backslash & ~esc;

		err |= m.backslash & ~in;
		for (; t != 0; t &= t - 1)
			err |= !escape_sound(w, w->block + low(t));
	}
	if ((open | close) != 0) {
		array = brackets(w, open, close, m.square, &one, &err);
	} else {
		array = 0 - (w->kinds & 1);
		one = 0 - (u64)(depth == 1);
	}

	after_comma = after(comma, blank, &c->comma);
	after_open = after(open, blank, &c->open);
	after_colon = after(colon | nl, blank, &c->colon);

	starts = body & ~(body << 1 | c->body);
	c->body = body >> 63;
	key = opening & (after_comma | after_open) & ~array;
	value = (opening & ~key) | starts | open;
	err |= value & ~(after_colon | ((after_comma | after_open) & array));
	err |= comma & (after_comma | after_open | after_colon);
	err |= close & (after_comma | after_colon);
	region = prefix_xor(key | colon) ^ c->region;
	c->region = spread(region);
	err |= region & out & ~blank;
	for (; starts != 0; starts &= starts - 1)
		err |= !scalar_sound(w->block + low(starts), limit);
	/* Deeper than the register of kinds, or a huge list: the exact way. */
	err |= (u64)(depth + __builtin_popcountll(open) > SWEEP_DEPTH);
	err |= (u64)(w->n > SWEEP_LIST - 64);

	w->backslash = m.backslash != 0;
	w->key_escape = (m.backslash & region) != 0;
	w->colons = colon & one;
	w->newlines = nl;
	w->bracket_mask = open | close;
#ifndef UTF8_BLOCKS
	w->high_mask = m.high;
#endif
	w->bad = err != 0;
}

/* The wanted top member whose key ends before the colon at p, or NULL. No key
 * of the row has a backslash in it. */
ALWAYS const struct path_node *
wanted(const struct key_table *t, const char *p)
{
	const struct key_slot *slot;
	uint16_t last;
	u64 tail;

	if (UNLIKELY(p[-1] != '"'))
		while (p[-1] != '"')
			p--;
	memcpy(&last, p - 3, 2);
	slot = t->slot[key_hash(last)];
	if (slot == NULL)
		return NULL;
	memcpy(&tail, p - 9, 8);
	do {
		if (((tail ^ slot->tail) & slot->mask) == 0 &&
		    p[-2 - (ptrdiff_t)slot->len] == '"' &&
		    (slot->len <= 8 || memcmp(p - 1 - slot->len, slot->name,
					   slot->len - 8) == 0))
			return slot->node;
	} while ((slot = slot->next) != NULL);
	return NULL;
}

ALWAYS struct json_span
span_at(const char *p)
{
	struct json_span v = {p, 0, JSON_STRING, 0};
	const char *end;

	if (*p == '"') {
		end = string_end(p, &v.flags);
	} else if (*p == '{' || *p == '[') {
		v.type = *p == '{' ? JSON_OBJECT : JSON_ARRAY;
		return v; /* the length comes from the list */
	} else {
		for (end = p; (unsigned char)*end > ' ' && *end != ',' &&
			      *end != ']' && *end != '}';)
			end++;
		v.type = *p == 't'   ? JSON_TRUE
			 : *p == 'f' ? JSON_FALSE
			 : *p == 'n' ? JSON_NULL
				     : JSON_NUMBER;
	}
	v.len = (uint32_t)(end - p);
	return v;
}

/* The place in the list of the bracket at p, from entry `from` on. */
ALWAYS uint32_t
bracket_at(const struct sweep *w, const char *p, uint32_t from, uint32_t to)
{
	uint32_t off = (uint32_t)(p - w->base);

	while (to - from > 8) {
		uint32_t mid = from + (to - from) / 2;

		if (w->pos[mid] <= off)
			from = mid;
		else
			to = mid;
	}
	while (w->pos[from] != off)
		from++;
	return from;
}

static void resolve_list(const struct sweep *w, const struct path_node *node,
    uint32_t open, struct json_span *vals);

/*
 * Sets the value at p for a node (NULL: nobody asked) and goes below it.
 * *from is a place in the list at or before the value's bracket, and is moved
 * behind it. Gives the value's end.
 */
ALWAYS const char *
take(const struct sweep *w, const struct path_node *n, const char *p,
    uint32_t *from, uint32_t to, struct json_span *vals)
{
	struct json_span v = span_at(p);
	uint32_t b = 0;

	if (v.type >= JSON_ARRAY) {
		b = bracket_at(w, p, *from, to);
		v.len = w->pos[w->match[b]] + 1 - w->pos[b];
		*from = w->match[b] + 1;
	}
	if (n != NULL) {
		if (n->path >= 0)
			vals[n->path] = v;
		if (n->child != NULL && v.type >= JSON_ARRAY)
			resolve_list(w, n, b, vals);
	}
	return p + v.len;
}

static void
list_members(const struct sweep *w, const struct path_node *node, uint32_t open,
    struct json_span *vals)
{
	const char *p = json_blanks(w->base + w->pos[open] + 1);
	uint32_t from = open + 1, to = w->match[open];
	struct seen seen = {{0}};

	while (*p != '}') {
		const struct path_node *c = node->child;
		struct json_span key = {p, 0, JSON_STRING, 0};
		const char *end = string_end(p, &key.flags);

		key.len = (uint32_t)(end - p);
		p = json_blanks(*end == ':' ? end + 1 : json_blanks(end) + 1);
		for (; c != NULL; c = c->next)
			if (c->step == STEP_MEMBER &&
			    (UNLIKELY(key.flags & JSON_ESCAPED)
				    ? json_is(&key, c->name, c->name_len)
				    : key.len == c->name_len + 2 &&
					  memcmp(key.p + 1, c->name,
					      c->name_len) == 0))
				break;
		if (c != NULL && json_seen(&seen, c)) {
			json_duplicate(c, vals);
			c = NULL;
		}
		p = json_blanks(take(w, c, p, &from, to, vals));
		if (*p == ',')
			p = json_blanks(p + 1);
	}
}

/* The element at p has this key, spelled in whatever way? */
static bool
list_selected(const struct path_node *c, const char *p, uint32_t len)
{
	struct json_span element = {p, len, JSON_OBJECT, 0}, key;

	key = json_member(&element, c->name);
	return key.type == JSON_STRING && json_is(&key, c->value, c->value_len);
}

/*
 * Elements by their key. The usual spelling, {"key":"…" first of all, is
 * compared eight bytes at a time; any other way is walked.
 */
static void
list_elements(const struct sweep *w, const struct path_node *node,
    uint32_t open, struct json_span *vals)
{
	uint32_t to = w->match[open];
	const struct path_node *first = node->child, *c;
	size_t skip;
	struct seen seen = {{0}};

	while (first->step != STEP_SELECT)
		if ((first = first->next) == NULL)
			return;
	skip = first->name_len + 4; /* `"name":"` */
	for (uint32_t i = open + 1; i < to; i = w->match[i] + 1) {
		const char *p = w->base + w->pos[i];
		uint32_t len = w->pos[w->match[i]] + 1 - w->pos[i], from = i;
		bool plain = first->same_name && len > skip + 2 &&
			     memcmp(p + 1, first->probe, skip) == 0;
		u64 head = 0;

		if (*p != '{')
			continue;
		if (plain)
			memcpy(&head, p + 1 + skip, 8);
		if (plain && w->row_backslash) {
			uint8_t flags = 0;

			string_end(p + skip, &flags);
			plain = flags == 0;
		}
		for (c = first; c != NULL; c = c->next) {
			if (c->step != STEP_SELECT)
				continue;
			if (plain && c->same_name) {
				if (((head ^ c->head) & c->head_mask) != 0 ||
				    len < c->probe_len + 2 ||
				    memcmp(p + 1, c->probe, c->probe_len) != 0)
					continue;
			} else if (!list_selected(c, p, len)) {
				continue;
			}
			if (!json_seen(&seen, c))
				take(w, c, p, &from, to, vals);
			from = i;
		}
	}
}

/* Finds the paths below a node whose value is the container at `open`. */
static void
resolve_list(const struct sweep *w, const struct path_node *node, uint32_t open,
    struct json_span *vals)
{
	const char *p = w->base + w->pos[open];
	struct json_span v = {
	    p, w->pos[w->match[open]] + 1 - w->pos[open], JSON_ARRAY, 0};

	if (*p == '{')
		list_members(w, node, open, vals);
	else if (node->counts) /* [N]: counts scalars too */
		json_resolve(node, &v, vals);
	else
		list_elements(w, node, open, vals);
}

/* Brackets of rows that are done go off the list. */
ALWAYS void
forget(struct sweep *w)
{
	uint32_t gone = w->row, left = w->n - gone;

	if (gone < SWEEP_KEEP)
		return;
	for (uint32_t i = 0; i < left; i++) {
		w->pos[i] = w->pos[gone + i];
		w->match[i] = w->match[gone + i] - gone;
	}
	for (int d = 1; d <= w->depth; d++)
		w->stack[SWEEP_SLACK + d] -= gone;
	w->n = left;
	w->row = 0;
}

/* The values of the wanted keys of the row, whose brackets end
 * before `to`. */
ALWAYS void
finish(const struct sweep *w, const struct key_table *t, uint32_t to,
    struct json_span *vals)
{
	uint32_t from = w->row;
	struct seen seen = {{0}};

	for (unsigned k = 0; k < w->cols; k++) {
		const char *p = w->base + w->col[k];
		const struct path_node *n = wanted(t, p++);

		if (n == NULL)
			continue;
		if ((unsigned char)*p <= ' ')
			p = json_blanks(p);
		if (UNLIKELY(json_seen(&seen, n)))
			json_duplicate(n, vals);
		else
			take(w, n, p, &from, to, vals);
	}
}

/* Notes where the colons are: two at once, since there seldom are more. */
ALWAYS void
columns(struct sweep *w, u64 colons)
{
	uint32_t off = (uint32_t)(w->block - w->base), *to = w->col + w->cols;
	unsigned n = (unsigned)__builtin_popcountll(colons);

	w->cols += n;
	for (int i = 0; i < 2; i++, colons &= colons - 1)
		*to++ = off + low(colons);
	if (n > 2)
		for (; colons != 0; colons &= colons - 1)
			*to++ = off + low(colons);
}

/* Is the row, whose brackets end before `to`, one object and blanks? */
ALWAYS bool
one_object(const struct sweep *w, uint32_t to, const char *newline)
{
	const char *last;

	if (to == w->row || w->match[w->row] != to - 1 ||
	    w->base[w->pos[w->row]] != '{')
		return false;
	last = w->base + w->pos[to - 1];
	return *last == '}' &&
	       (last + 1 == newline || json_blanks(last + 1) > newline);
}

/*
 * One row from line. True: sound, vals are set, *next is the next line.
 * False: suspect; the sweep begins anew at the next call.
 */
static bool
sweep_row(struct sweep *w, const struct key_table *t, const char *line,
    const char **next, struct json_span *vals)
{
	bool escape;

	if (UNLIKELY(w->next != line)) {
		restart(w, line);
		load(w);
	} else {
		forget(w);
	}
	w->next = NULL;
	w->cols = 0;
	w->row_backslash = w->backslash;
	escape = w->key_escape;
	for (;;) {
		u64 nl = w->newlines, mine = w->colons;

		if (UNLIKELY(w->bad))
			return false;
		if (nl != 0)
			mine &= BELOW(low(nl));
		if (UNLIKELY(w->cols > SWEEP_COLS - 64))
			return false;
		columns(w, mine);
		if (nl != 0)
			break;
		w->block += 64;
		load(w);
		w->row_backslash |= w->backslash;
		escape |= w->key_escape;
	}

	unsigned i = low(w->newlines);
	uint32_t to =
	    w->n - (uint32_t)__builtin_popcountll(w->bracket_mask & ~BELOW(i));

	*next = w->block + i + 1;
	if (UNLIKELY(escape || !one_object(w, to, *next - 1)))
		return false;
#ifndef UTF8_BLOCKS
	if (UNLIKELY(w->high)) {
		if (!json_utf8(line, (size_t)(*next - line)))
			return false;
		w->high = (w->high_mask & ~BELOW(i)) != 0;
	}
#endif
	finish(w, t, to, vals);
	w->row = to;
	w->colons &= ~BELOW(i);
	w->newlines &= w->newlines - 1;
	w->next = *next;
	return true;
}

const struct json_kernel KERNEL = {KERNEL_NAME, sweep_row};
