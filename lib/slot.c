#include "slot.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "date.h"
#include "diag.h"
#include "json.h"
#include "mem.h"

enum { LINEAGE_MAX = 64 << 10, REASON_MAX = 1400 };

void
slot_set(char **text, const char *value)
{
	char *old = *text; /* value may be it */

	*text = xstrdup(value != NULL ? value : "");
	free(old);
}

struct slot *
receipt_slot(struct receipt *r, const char *table, const char *source,
    const char *feed, const char *date, const char *batch)
{
	struct slot *s = xcalloc(1, sizeof *s);

	if ((r->n & (r->n - 1)) == 0)
		r->slot = xreallocarray(
		    r->slot, r->n == 0 ? 1 : r->n * 2, sizeof *r->slot);
	r->slot[r->n++] = s;
	slot_set(&s->table, table);
	slot_set(&s->source, source);
	slot_set(&s->feed, feed);
	slot_set(&s->date, date);
	slot_set(&s->batch, batch);
	slot_set(&s->day_tz, NULL);
	slot_set(&s->run_id, NULL);
	slot_set(&s->input_sha256, NULL);
	s->state = "refused";
	s->mode = "replace";
	buf_init(&s->lineage, LINEAGE_MAX);
	return s;
}

/* A string's text, or the JSON of what is no string; caller frees. */
static char *
text_of(const struct json_span *v)
{
	char *text;

	if (v->type != JSON_STRING)
		return xstrndup(v->p, v->len);
	text = xcalloc(v->len, 1);
	json_decode(v, text);
	return text;
}

/* Members "*_sha256" and "salt_version" say what it was made of. */
static void
take_lineage(
    struct slot *s, const struct json_span *key, const struct json_span *v)
{
	static const char end[] = "_sha256";
	char *name = text_of(key), *ref;
	size_t n = strlen(name);

	if (n > sizeof end - 1 &&
	    strcmp(name + n - (sizeof end - 1), end) == 0 &&
	    v->type == JSON_STRING)
		name[n - (sizeof end - 1)] = '\0';
	else if (strcmp(name, "salt_version") != 0 || v->type == JSON_NULL)
		name[0] = '\0';
	if (*name != '\0') {
		ref = text_of(v);
		buf_add(&s->lineage, name, strlen(name) + 1);
		buf_add(&s->lineage, ref, strlen(ref) + 1);
		if (strcmp(name, "input") == 0)
			slot_set(&s->input_sha256, ref);
		free(ref);
	}
	free(name);
}

const char *
slot_begin(struct slot *s, const struct part *part)
{
	struct json_iter it;
	struct json_span key, v;
	int64_t us;

	slot_set(&s->day_tz, part->day_tz);
	slot_set(&s->run_id, part->run_id);
	if (part->plain)
		return NULL;
	json_iter_init(&it, &part->begin);
	while (json_next_member(&it, &key, &v)) {
		if (json_is(&key, "fetched_at", 10) && v.type == JSON_STRING) {
			free(s->fetched_at);
			s->fetched_at = text_of(&v);
		} else if (json_is(&key, "quality", 7) && v.type > JSON_NULL) {
			free(s->quality);
			s->quality = text_of(&v);
		} else {
			take_lineage(s, &key, &v);
		}
	}
	if (s->fetched_at != NULL &&
	    !time_parse(s->fetched_at, strlen(s->fetched_at), &us))
		return "fetched_at is not a time";
	return strcmp(part->kind, "kpi-partial") == 0
		   ? "a piece of an aggregation (kpi-agg --merge makes it "
		     "whole)"
		   : NULL;
}

void
slot_refuse(struct slot *s, const char *reason)
{
	s->state = "refused";
	s->rows = s->restated = 0;
	s->generation = 0;
	slot_set(&s->reason, reason);
}

int
slot_say(struct slot *s, int status, const char *fmt, ...)
{
	char why[REASON_MAX], a[DIAG_QUOTE], b[DIAG_QUOTE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	warn_msg(s->batch, "partition %s %s %s: %s",
	    diag_quote(a, s->source, strlen(s->source)),
	    diag_quote(b, s->feed, strlen(s->feed)), s->date, why);
	slot_set(&s->reason, why);
	return status;
}

/* ---- one that stands in a store ---- */

static const char *
word_of(const char *text)
{
	static const char *const words[] = {"staged", "published", "replaced",
	    "rolled_back", "quarantined", "aborted", "replace", "upsert",
	    "append"};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcmp(words[i], text) == 0)
			return words[i];
	return "";
}

void
slot_words(
    struct slot *s, const char *state, const char *outcome, const char *mode)
{
	s->state = word_of(state);
	s->mode = word_of(mode);
	s->outcome = OUTCOME_COMPLETE;
	if (strcmp(outcome, "empty") == 0)
		s->outcome = OUTCOME_EMPTY;
	else if (strcmp(outcome, "partial") == 0)
		s->outcome = OUTCOME_PARTIAL;
}

bool
slot_is(const struct slot *s, const char *state)
{
	return strcmp(s->state, state) == 0;
}

bool
slot_age(const struct slot *s, int32_t *days)
{
	struct zone *z;
	int64_t us;
	int32_t day;

	if (s == NULL || s->fetched_at == NULL ||
	    !time_parse(s->fetched_at, strlen(s->fetched_at), &us) ||
	    !date_parse(s->date, strlen(s->date), &day))
		return false;
	z = zone_open(*s->day_tz != '\0' ? s->day_tz : "UTC");
	if (z == NULL)
		return false;
	*days = zone_day(z, us / 1000000 - (us % 1000000 < 0)) - day;
	zone_close(z);
	return true;
}

/* ---- the receipt ---- */

static bool
failed(const struct slot *s)
{
	return slot_is(s, "refused") || slot_is(s, "failed") ||
	       /* staged, where it should have been published */
	       (slot_is(s, "staged") && s->reason != NULL);
}

static void
write_slot(struct jsonw *list, const struct receipt *r, const struct slot *s)
{
	struct jsonw w;

	jsonw_open(list, NULL, &w, '{');
	if (r->table == NULL)
		jsonw_str(&w, "table", s->table);
	jsonw_str(&w, "source_system", s->source);
	jsonw_str(&w, "feed", s->feed);
	jsonw_str(&w, "date", s->date);
	jsonw_str(&w, "batch", s->batch);
	if (s->generation > 0)
		jsonw_i64(&w, "generation", s->generation);
	else
		jsonw_null(&w, "generation");
	jsonw_str(&w, "outcome", outcome_word(s->outcome));
	jsonw_str(&w, "state", s->state);
	jsonw_u64(&w, "rows", s->rows);
	jsonw_u64(&w, "rejected", s->rejected);
	jsonw_u64(&w, "restated", s->restated);
	/* where the audit finds what is to be published */
	if (s->stage != NULL && slot_is(s, "staged"))
		jsonw_str(&w, "stage_table", s->stage);
	if (s->unchanged)
		jsonw_bool(&w, "unchanged", true);
	if (s->reason != NULL)
		jsonw_str(&w, "reason", s->reason);
	jsonw_end(&w);
}

/* What stands at the top is that of the only batch. */
static const struct slot *
only_batch(const struct receipt *r)
{
	for (size_t i = 1; i < r->n; i++)
		if (strcmp(r->slot[i]->batch, r->slot[0]->batch) != 0 ||
		    r->slot[i]->generation != r->slot[0]->generation ||
		    strcmp(r->slot[i]->state, r->slot[0]->state) != 0)
			return NULL;
	return r->n > 0 ? r->slot[0] : NULL;
}

static void
write_top(struct jsonw *w, const struct receipt *r)
{
	const struct slot *one = only_batch(r);
	uint64_t rows = 0, restated = 0, good = 0, errors = r->rejected;
	bool unchanged = r->n > 0;

	for (size_t i = 0; i < r->n; i++) {
		const struct slot *s = r->slot[i];

		rows += s->rows;
		restated += s->restated;
		unchanged = unchanged && s->unchanged;
		if (!failed(s))
			good += s->rows;
		else
			errors += s->records > 0 ? s->records : 1;
	}
	if (one != NULL && *one->batch != '\0')
		jsonw_str(w, "batch", one->batch);
	else
		jsonw_null(w, "batch");
	if (one != NULL && one->generation > 0)
		jsonw_i64(w, "generation", one->generation);
	else
		jsonw_null(w, "generation");
	if (one != NULL)
		jsonw_str(w, "state", one->state);
	else
		jsonw_null(w, "state");
	jsonw_u64(w, "rows", rows);
	jsonw_u64(w, "restated", restated);
	if (unchanged)
		jsonw_bool(w, "unchanged", true);
	jsonw_u64(w, "total_success", good);
	jsonw_u64(w, "total_errors", errors);
	if (r->billed) {
		jsonw_u64(w, "jobs", r->jobs);
		jsonw_u64(w, "bytes_processed", r->bytes_processed);
		jsonw_u64(w, "bytes_billed", r->bytes_billed);
	}
}

void
receipt_write(const struct receipt *r, struct buf *out)
{
	struct jsonw w, list;

	jsonw_begin(&w, out, '{');
	jsonw_str(&w, "tool", diag_tool());
	jsonw_str(&w, "verb", r->verb);
	if (r->table != NULL)
		jsonw_str(&w, "table", r->table);
	write_top(&w, r);
	jsonw_open(&w, "partitions", &list, '[');
	for (size_t i = 0; i < r->n; i++)
		write_slot(&list, r, r->slot[i]);
	jsonw_end(&list);
	jsonw_end(&w);
	buf_char(out, '\n');
}

void
receipt_release(struct receipt *r)
{
	for (size_t i = 0; i < r->n; i++) {
		struct slot *s = r->slot[i];

		free(s->table);
		free(s->source);
		free(s->feed);
		free(s->date);
		free(s->batch);
		free(s->day_tz);
		free(s->run_id);
		free(s->fetched_at);
		free(s->quality);
		free(s->input_sha256);
		free(s->fingerprint);
		free(s->base_batch);
		free(s->stage);
		free(s->reason);
		buf_release(&s->lineage);
		free(s);
	}
	free(r->slot);
	r->slot = NULL;
	r->n = 0;
}
