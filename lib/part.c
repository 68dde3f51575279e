#include "part.h"

#include <stdlib.h>

#include "date.h"
#include "mem.h"

#define CONTROL_MAX (64u << 20) /* of a control record */

static const char *const words[] = {
    "complete", "empty", "not_ready", "partial", "failed"};

const char *
outcome_word(enum outcome o)
{
	return words[o];
}

static void
drop(char **texts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(texts[i]);
		texts[i] = NULL;
	}
}

void
part_release(struct part_own *own)
{
	drop(own->begin, 6);
	drop(own->end, 2);
	buf_release(&own->text);
}

/* A string member into *to; "" where it may be missing and is. */
static bool
take(const struct json_span *rec, const char *name, bool must, char **to)
{
	struct json_span v = json_member(rec, name);

	if (v.type == JSON_ABSENT || v.type == JSON_NULL) {
		*to = xstrdup("");
		return !must;
	}
	if (v.type != JSON_STRING)
		return false;
	*to = xmalloc((size_t)v.len + 1);
	(*to)[json_decode(&v, *to)] = '\0';
	/* a NUL inside would hide what follows it */
	return !(must && **to == '\0') && json_is(&v, *to, strlen(*to));
}

static bool
take_count(
    const struct json_span *rec, const char *name, bool must, uint64_t *to)
{
	struct json_span v = json_member(rec, name);
	int64_t n;

	*to = 0;
	if (v.type == JSON_ABSENT)
		return !must;
	if (v.type != JSON_NUMBER || !json_i64(&v, &n) || n < 0)
		return false;
	*to = (uint64_t)n;
	return true;
}

const char *
part_parse_begin(
    struct part_own *own, const struct json_span *rec, struct part *p)
{
	uint64_t version;
	int32_t day;
	char **t = own->begin;

	drop(t, 6);
	if (!take_count(rec, "v", true, &version) || version != 1)
		return "begin record: v must be 1";
	if (!take(rec, "source_system", true, &t[0]))
		return "begin record: source_system must be a text";
	if (!take(rec, "feed", true, &t[1]))
		return "begin record: feed must be a text";
	if (!take(rec, "date", true, &t[2]) ||
	    !date_parse(t[2], strlen(t[2]), &day))
		return "begin record: date must be YYYY-MM-DD";
	if (!take(rec, "day_tz", false, &t[3]))
		return "begin record: day_tz must be a text";
	if (!take(rec, "run_id", false, &t[4]))
		return "begin record: run_id must be a text";
	if (!take(rec, "kind", false, &t[5]))
		return "begin record: kind must be a text";
	if (own->text.max == 0)
		buf_init(&own->text, SIZE_MAX / 2);
	buf_reset(&own->text);
	buf_add(&own->text, rec->p, rec->len);
	p->plain = false;
	p->source = t[0];
	p->feed = t[1];
	p->date = t[2];
	p->day_tz = t[3];
	p->run_id = t[4];
	p->kind = t[5];
	p->begin = *rec;
	p->begin.p = own->text.p;
	return NULL;
}

static bool
take_outcome(const struct json_span *rec, enum outcome *o)
{
	struct json_span v = json_member(rec, "outcome");

	if (v.type != JSON_STRING)
		return false;
	for (int i = OUTCOME_COMPLETE; i <= OUTCOME_FAILED; i++) {
		if (json_is(&v, words[i], strlen(words[i]))) {
			*o = (enum outcome)i;
			return true;
		}
	}
	return false;
}

const char *
part_parse_end(
    struct part_own *own, const struct json_span *rec, struct part_end *e)
{
	drop(own->end, 2);
	if (!take_count(rec, "records", true, &e->records))
		return "end record: records must be a count";
	if (!take_outcome(rec, &e->outcome))
		return "end record: outcome is none of complete, empty, "
		       "not_ready, partial, failed";
	if (!take_count(rec, "rejected", false, &e->rejected))
		return "end record: rejected must be a count";
	if (!take(rec, "class", false, &own->end[0]))
		return "end record: class must be a text";
	if (!take(rec, "reason", false, &own->end[1]))
		return "end record: reason must be a text";
	e->class_word = own->end[0];
	e->reason = own->end[1];
	e->end = *rec;
	return NULL;
}

/* ---- writing ---- */

static void
member_raw(struct buf *b, const struct json_span *key, const char *p, size_t n)
{
	if (b->p[b->len - 1] != '{')
		buf_char(b, ',');
	buf_add(b, key->p, key->len);
	buf_char(b, ':');
	buf_add(b, p, n);
}

static bool
same_key(const struct json_span *object, const struct json_span *key)
{
	struct json_iter it;
	struct json_span k, v;
	char *name = xmalloc((size_t)key->len + 1);
	size_t n = json_decode(key, name);
	bool found = false;

	json_iter_init(&it, object);
	while (!found && json_next_member(&it, &k, &v))
		found = json_is(&k, name, n);
	free(name);
	return found;
}

void
part_begin_again(struct buf *out, const struct part *p, const struct buf *extra)
{
	struct buf own = BUF_INIT(CONTROL_MAX);
	struct json_span object, k, v;
	struct json_iter it;

	if (extra == NULL || extra->len == 0) {
		buf_add(out, p->begin.p, p->begin.len);
		return;
	}
	buf_char(&own, '{');
	buf_add(&own, extra->p + 1, extra->len - 1);
	buf_str(&own, "}");
	object = json_value(buf_cstr(&own));
	buf_char(out, '{');
	json_iter_init(&it, &p->begin);
	while (json_next_member(&it, &k, &v)) {
		if (!same_key(&object, &k))
			member_raw(out, &k, v.p, v.len);
	}
	buf_add(out, extra->p, extra->len);
	buf_char(out, '}');
	buf_release(&own);
}

static void
comma(struct buf *b)
{
	if (b->p[b->len - 1] != '{')
		buf_char(b, ',');
}

static void
put_count(struct buf *b, const char *name, uint64_t n)
{
	comma(b);
	json_write_string(b, name, strlen(name));
	buf_char(b, ':');
	buf_u64(b, n);
}

static void
put_text(struct buf *b, const char *name, const char *text)
{
	if (text == NULL || *text == '\0')
		return;
	comma(b);
	json_write_string(b, name, strlen(name));
	buf_char(b, ':');
	json_write_clean(b, text, strlen(text));
}

/* One of the members of an end that may change; unchanged it keeps its
 * bytes. */
static void
put_text_again(struct buf *b, const char *name, const char *text,
    const struct json_span *key, const struct json_span *old)
{
	if (text != NULL && old->type == JSON_STRING &&
	    json_is(old, text, strlen(text)))
		member_raw(b, key, old->p, old->len);
	else
		put_text(b, name, text);
}

static bool
key_is(const struct json_span *key, const char *name)
{
	return json_is(key, name, strlen(name));
}

void
part_end_again(struct buf *b, const struct part_end *e, uint64_t records,
    uint64_t rejected)
{
	enum { RECORDS, OUTCOME, REJECTED, CLASS, REASON, N };
	static const char *const names[N] = {
	    "records", "outcome", "rejected", "class", "reason"};
	const char *texts[N] = {
	    NULL, outcome_word(e->outcome), NULL, e->class_word, e->reason};
	bool seen[N] = {false};
	struct json_iter it;
	struct json_span k, v;
	int i;

	buf_char(b, '{');
	json_iter_init(&it, &e->end);
	while (json_next_member(&it, &k, &v)) {
		for (i = 0; i < N && !key_is(&k, names[i]); i++)
			;
		if (i == N) {
			member_raw(b, &k, v.p, v.len);
			continue;
		}
		if (seen[i])
			continue;
		seen[i] = true;
		if (texts[i] != NULL)
			put_text_again(b, names[i], texts[i], &k, &v);
		else if (i == RECORDS)
			put_count(b, names[i], records);
		else if (i == REJECTED && rejected > 0)
			put_count(b, names[i], rejected);
	}
	if (!seen[REJECTED] && rejected > 0)
		put_count(b, names[REJECTED], rejected);
	for (i = CLASS; i <= REASON; i++) {
		if (!seen[i])
			put_text(b, names[i], texts[i]);
	}
	buf_char(b, '}');
}

void
part_write_begin(struct out *o, const struct part_desc *d)
{
	struct buf b = BUF_INIT(CONTROL_MAX);

	buf_str(&b, "{\"@stream\":\"begin\",\"v\":1");
	put_text(&b, "source_system", d->source);
	put_text(&b, "feed", d->feed);
	put_text(&b, "date", d->date);
	put_text(&b, "day_tz", d->day_tz);
	put_text(&b, "run_id", d->run_id);
	if (d->extra != NULL && *d->extra != '\0') {
		buf_char(&b, ',');
		buf_str(&b, d->extra);
	}
	buf_char(&b, '}');
	out_record(o, b.p, b.len);
	buf_release(&b);
}

void
part_write_end(struct out *o, uint64_t records, enum outcome outcome,
    uint64_t rejected, const char *class_word, const char *reason)
{
	struct buf b = BUF_INIT(CONTROL_MAX);

	buf_str(&b, "{\"@stream\":\"end\"");
	put_count(&b, "records", records);
	put_text(&b, "outcome", outcome_word(outcome));
	if (rejected > 0)
		put_count(&b, "rejected", rejected);
	put_text(&b, "class", class_word);
	put_text(&b, "reason", reason);
	buf_char(&b, '}');
	out_record(o, b.p, b.len);
	buf_release(&b);
}
