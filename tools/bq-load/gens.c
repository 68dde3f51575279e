#include "gens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "exits.h"
#include "json.h"
#include "mem.h"
#include "sha.h"

int
slot_fail(struct slot *s, struct bq *b, int rc, const char *what)
{
	return slot_say(s, rc, "%s: %s", what, bq_why(b));
}

/* ---- reading ---- */

/* A member's text, of any type; NULL for null. Owned by the caller. */
static char *
member(const struct json_span *row, const char *name)
{
	struct json_span v = json_member(row, name);
	char *text;

	if (v.type <= JSON_NULL)
		return NULL;
	if (v.type != JSON_STRING)
		return xstrndup(v.p, v.len);
	text = xcalloc(v.len, 1);
	json_decode(&v, text);
	return text;
}

static int64_t
number(const struct json_span *row, const char *name)
{
	struct json_span v = json_member(row, name);
	int64_t n;

	return json_i64(&v, &n) ? n : 0;
}

static void
take(char **to, const struct json_span *row, const char *name)
{
	free(*to);
	*to = member(row, name);
}

char *
row_text(const struct json_span *row, const char *name)
{
	char *text = member(row, name);

	return text != NULL ? text : xstrdup("");
}

static void
take_text(char **to, const struct json_span *row, const char *name)
{
	free(*to);
	*to = row_text(row, name);
}

static void
read_slot(struct receipt *r, const struct json_span *row)
{
	struct slot *s = receipt_slot(r, NULL, NULL, NULL, NULL, NULL);
	char *text, *state;

	take_text(&s->table, row, "table_name");
	take_text(&s->source, row, "source_system");
	take_text(&s->feed, row, "feed");
	take_text(&s->date, row, "date");
	take_text(&s->batch, row, "batch_id");
	take_text(&s->day_tz, row, "day_tz");
	take_text(&s->run_id, row, "run_id");
	take_text(&s->fingerprint, row, "fingerprint");
	take_text(&s->base_batch, row, "replaces_batch");
	take(&s->stage, row, "stage_table");
	take(&s->fetched_at, row, "fetched_at");
	s->generation = number(row, "generation");
	s->base_generation = number(row, "replaces_generation");
	s->rows = s->records = (uint64_t)number(row, "row_count");
	s->rejected = (uint64_t)number(row, "rejected");
	state = row_text(row, "state");
	text = row_text(row, "outcome");
	slot_words(s, state, text, "replace");
	free(state);
	free(text);
	text = row_text(row, "checksum");
	snprintf(s->checksum, sizeof s->checksum, "%s", text);
	free(text);
}

struct reading {
	struct gens *g;
	const char *batch;
	struct sha256 *sum;
};

static int
on_row(void *ctx, const char *text, size_t len)
{
	struct reading *in = ctx;
	struct json_span row = {
	    .p = text, .len = (uint32_t)len, .type = JSON_OBJECT};
	struct receipt *r = &in->g->r;

	read_slot(r, &row);
	if (strcmp(r->slot[r->n - 1]->batch, in->batch) == 0)
		sha256_add(in->sum, text, len);
	return RC_OK;
}

int
gens_look(struct gens *g, struct bq *b, const char *batch,
    const char *const *dates, size_t n)
{
	struct reading in = {g, batch, sha256_new()};
	struct args a = {.batch = batch, .dates = dates, .ndates = n};
	unsigned char d[SHA_LEN];
	char id[BQ_ID];
	int rc;

	*g = (struct gens){0};
	bq_random_id(id, "bqload_look");
	rc = script_rows(b, "look", id, &a, on_row, &in);
	sha256_end(in.sum, d);
	sha_hex(d, g->digest);
	if (rc != RC_OK)
		warn_msg(batch, "cannot read the batches: %s", bq_why(b));
	return rc;
}

void
gens_release(struct gens *g)
{
	receipt_release(&g->r);
}

/* ---- finding ---- */

static bool
same_partition(const struct slot *a, const struct slot *b)
{
	return strcmp(a->table, b->table) == 0 &&
	       strcmp(a->source, b->source) == 0 &&
	       strcmp(a->feed, b->feed) == 0 && strcmp(a->date, b->date) == 0;
}

struct slot *
gens_visible(const struct gens *g, const struct slot *s)
{
	for (size_t i = 0; i < g->r.n; i++)
		if (same_partition(g->r.slot[i], s) &&
		    slot_is(g->r.slot[i], "published"))
			return g->r.slot[i];
	return NULL;
}

struct slot *
gens_one(const struct gens *g, const struct slot *like, const char *batch,
    int64_t generation)
{
	for (size_t i = 0; i < g->r.n; i++) {
		struct slot *s = g->r.slot[i];

		if (same_partition(s, like) && strcmp(s->batch, batch) == 0 &&
		    s->generation == generation)
			return s;
	}
	return NULL;
}

struct slot *
gens_before(const struct gens *g, const struct slot *s)
{
	size_t left = g->r.n; /* a chain is not longer */

	while (s != NULL && *s->base_batch != '\0' && left-- > 0) {
		struct slot *old =
		    gens_one(g, s, s->base_batch, s->base_generation);

		if (old != NULL && slot_is(old, "replaced"))
			return old;
		s = old;
	}
	return NULL;
}
