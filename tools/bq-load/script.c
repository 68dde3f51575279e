#include "script.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "mem.h"
#include "sql.h"

/* A query is at most 1 MiB. */
enum { TEXT_MAX = 1 << 20, NAME_MAX_ = 40 };

void
script_init(struct script *s)
{
	*s = (struct script){0};
	buf_init(&s->text, TEXT_MAX);
}

void
script_release(struct script *s)
{
	for (size_t i = 0; i < s->owned; i++)
		free(s->own[i]);
	free(s->own);
	free(s->param);
	buf_release(&s->text);
	*s = (struct script){0};
}

static const char *
own(struct script *s, char *text)
{
	s->own = xreallocarray(s->own, s->owned + 1, sizeof *s->own);
	s->own[s->owned++] = text;
	return text;
}

/* ---- parameters ---- */

/* RFC 3339 in UTC, to the microsecond. */
static char *
utc(const char *text)
{
	char at[TIME_LEN + 1];
	int64_t us;

	if (text == NULL || !time_parse(text, strlen(text), &us))
		return NULL;
	time_format((us - ((us % 1000000) + 1000000) % 1000000) / 1000, at);
	at[strcspn(at, ".Z")] = '\0';
	return xasprintf(
	    "%s.%06dZ", at, (int)(((us % 1000000) + 1000000) % 1000000));
}

static const char *
text_or(const char *text)
{
	return text != NULL ? text : "";
}

enum from_slot {
	S_TABLE,
	S_BATCH,
	S_SOURCE,
	S_FEED,
	S_DAY_TZ,
	S_RUN_ID,
	S_INPUT,
	S_STAGE,
	S_OUTCOME
};

static const char *
slot_text(const struct slot *s, enum from_slot what)
{
	switch (what) {
	case S_TABLE:
		return s->table;
	case S_BATCH:
		return s->batch;
	case S_SOURCE:
		return s->source;
	case S_FEED:
		return s->feed;
	case S_DAY_TZ:
		return s->day_tz;
	case S_RUN_ID:
		return s->run_id;
	case S_INPUT:
		return s->input_sha256;
	case S_STAGE:
		return text_or(s->stage);
	case S_OUTCOME:
		return outcome_word(s->outcome);
	}
	return "";
}

static const struct {
	const char *name;
	enum from_slot what;
} slot_texts[] = {
    {"table", S_TABLE},
    {"batch", S_BATCH},
    {"source", S_SOURCE},
    {"feed", S_FEED},
    {"day_tz", S_DAY_TZ},
    {"run_id", S_RUN_ID},
    {"input_sha256", S_INPUT},
    {"stage", S_STAGE},
    {"outcome", S_OUTCOME},
};

static bool
is(const char *name, const char *word)
{
	return strcmp(name, word) == 0;
}

static void
number(struct script *s, struct bq_param *p, int64_t n)
{
	p->type = "INT64";
	p->value = own(s, xasprintf("%" PRId64, n));
}

/* Numbers and truths; false: the name is none of these. */
static bool
take_number(struct script *s, struct bq_param *p, const char *name,
    const struct args *a)
{
	int32_t days;

	if (is(name, "generation")) {
		number(s, p, a->slot->generation);
	} else if (is(name, "rows")) {
		/* rollback.sql counts those that come back */
		number(s, p,
		    (int64_t)(a->cause != NULL && is(a->cause, "rollback")
				  ? (a->old != NULL ? a->old->rows : 0)
				  : a->slot->rows));
	} else if (is(name, "rejected")) {
		number(s, p, (int64_t)a->slot->rejected);
	} else if (is(name, "seen")) {
		number(s, p, a->old != NULL);
	} else if (is(name, "old_generation")) {
		number(s, p, a->old != NULL ? a->old->generation : 0);
	} else if (is(name, "age")) {
		p->type = "INT64";
		if (slot_age(a->cause != NULL && is(a->cause, "rollback")
				 ? a->old
				 : a->slot,
			&days))
			number(s, p, days);
	} else if (is(name, "force") || is(name, "partial")) {
		p->type = "BOOL";
		p->value =
		    (is(name, "force") ? a->p->force
				       : a->slot->outcome == OUTCOME_PARTIAL)
			? "true"
			: "false";
	} else {
		return false;
	}
	return true;
}

static bool
take_text(struct bq_param *p, const char *name, const struct args *a)
{
	const struct {
		const char *name, *value;
	} texts[] = {
	    {"quality", a->slot == NULL ? NULL
			: a->slot->outcome == OUTCOME_PARTIAL
			    ? "partial"
			    : a->slot->quality},
	    {"checksum", a->slot == NULL || *a->slot->checksum == '\0'
			     ? NULL
			     : a->slot->checksum},
	    {"fingerprint", a->p == NULL ? "" : a->p->fingerprint},
	    {"reason", a->p == NULL ? NULL : a->p->reason},
	    {"old_batch", a->old == NULL ? "" : a->old->batch},
	    {"state", a->state},
	    {"was", a->was},
	    {"cause", a->cause},
	    {"kind", a->kind},
	    {"ref", a->ref},
	};

	p->type = "STRING";
	if (a->batch != NULL && is(name, "batch")) {
		p->value = a->batch;
		return true;
	}
	for (size_t i = 0; i < sizeof slot_texts / sizeof *slot_texts; i++)
		if (is(name, slot_texts[i].name)) {
			p->value = slot_text(a->slot, slot_texts[i].what);
			return true;
		}
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (is(name, texts[i].name)) {
			p->value = texts[i].value;
			return true;
		}
	return false;
}

static void
take_param(struct script *s, struct bq_param *p, const char *name,
    const struct args *a)
{
	char *at;

	if (is(name, "dates")) {
		p->type = "ARRAY<DATE>";
		p->list = a->dates;
		p->n = a->ndates;
	} else if (is(name, "date")) {
		p->type = "DATE";
		p->value = a->slot->date;
	} else if (is(name, "fetched_at")) {
		p->type = "TIMESTAMP";
		at = utc(a->slot->fetched_at);
		p->value = at == NULL ? NULL : own(s, at);
	} else if (!take_number(s, p, name, a) && !take_text(p, name, a)) {
		die(RC_INTERNAL, NULL, "no parameter '%s'", name);
	}
}

static void
add_param(struct script *s, const char *name, unsigned k, const struct args *a)
{
	char full[NAME_MAX_ + 16];
	struct bq_param p = {0};

	if (k > 1)
		snprintf(full, sizeof full, "%s_%u", name, k);
	else
		snprintf(full, sizeof full, "%s", name);
	buf_fmt(&s->text, "@%s", full);
	for (size_t i = 0; i < s->n; i++)
		if (is(s->param[i].name, full))
			return;
	take_param(s, &p, name, a);
	p.name = own(s, xstrdup(full));
	s->param = xreallocarray(s->param, s->n + 1, sizeof *s->param);
	s->param[s->n++] = p;
}

/* ---- the text ---- */

#define STAGE "`analytics_ops.stage`"

void
script_add(struct script *s, const char *text, unsigned k, const struct args *a)
{
	while (*text != '\0') {
		size_t n = strcspn(text, "@`-");
		char name[NAME_MAX_];

		buf_add(&s->text, text, n);
		text += n;
		if (*text == '@') {
			n = strspn(text + 1, "abcdefghijklmnopqrstuvwxyz_"
					     "0123456789");
			snprintf(name, sizeof name, "%.*s", (int)n, text + 1);
			add_param(s, name, k, a);
			text += n + 1;
		} else if (strncmp(text, STAGE, sizeof STAGE - 1) == 0) {
			buf_fmt(&s->text, "`analytics_ops.%s`",
			    text_or(a->slot->stage));
			text += sizeof STAGE - 1;
		} else if (strncmp(text, "--", 2) == 0) {
			text += strcspn(text, "\n"); /* comments stay here */
		} else if (*text != '\0') {
			buf_char(&s->text, *text++);
		}
	}
}

void
script_file(struct script *s, const char *name, const char *from, unsigned k,
    const struct args *a)
{
	struct buf all = BUF_INIT(TEXT_MAX);
	const char *start;
	char *end;

	sql_text(&all, name);
	buf_cstr(&all);
	start = all.p;
	if (from != NULL) {
		start = strstr(all.p, from);
		if (start == NULL)
			die(RC_INTERNAL, NULL, "no mark in '%s'", name);
		start += strlen(from);
		end = strstr(all.p, "\nCOMMIT TRANSACTION");
		if (end != NULL)
			*end = '\0';
		end = strstr(all.p, "\n-- each partition");
		if (end != NULL && end > start)
			*end = '\0';
	}
	script_add(s, start, k, a);
	buf_release(&all);
}

/* ---- running ---- */

void
script_id(struct bq *b, const struct script *s, const char *prefix,
    const char *state, char id[BQ_ID])
{
	struct buf text = BUF_INIT(TEXT_MAX);
	const char **part = xcalloc(2 * s->n + 3, sizeof *part);
	size_t n = 0;

	bq_sql(b, s->text.p, s->text.len, &text); /* with its place */
	part[n++] = state;
	part[n++] = bq_born(b);
	part[n++] = buf_cstr(&text);
	for (size_t i = 0; i < s->n; i++) {
		part[n++] = s->param[i].name;
		part[n++] = s->param[i].value;
	}
	bq_job_id(id, prefix, part, n);
	free(part);
	buf_release(&text);
}

static int
prepare(struct bq *b, const struct script *s, struct buf *text)
{
	buf_init(text, TEXT_MAX);
	bq_sql(b, s->text.p, s->text.len, text);
	if (!s->text.over && !text->over && s->text.len > 0)
		return RC_OK;
	return bq_fail(b, RC_CONTRACT,
	    "the statement is too long: too many partitions in the batch");
}

int
script_run(struct bq *b, const struct script *s, const char *base, bool atomic,
    struct bq_job *j)
{
	struct buf text;
	struct bq_query q = {.params = s->param, .nparams = s->n};
	int rc = prepare(b, s, &text);

	*j = (struct bq_job){0};
	q.sql = buf_cstr(&text);
	if (rc == RC_OK)
		rc = bq_query_run(b, &q, base, atomic, j);
	buf_release(&text);
	return rc;
}

int
script_estimate(
    struct bq *b, const struct script *s, const char *what, bool quiet)
{
	struct buf text;
	struct bq_query q = {.params = s->param, .nparams = s->n};
	struct bq_estimate e = {0};
	int rc = prepare(b, s, &text);

	q.sql = buf_cstr(&text);
	if (rc == RC_OK)
		rc = bq_dry_run(b, &q, &e);
	buf_release(&text);
	if (rc == RC_CONTRACT) { /* the run itself will say what is wrong */
		warn_msg(what, "warning: no estimate: %s", bq_why(b));
		return RC_OK;
	}
	if (rc == RC_OK && !quiet)
		warn_msg(what,
		    "about %" PRIu64 " bytes will be read, more than %" PRIu64
		    " are not billed",
		    e.bytes, bq_max_bytes(b));
	return rc;
}

int
script_rows(struct bq *b, const char *name, const char *id,
    const struct args *a, int (*row)(void *ctx, const char *text, size_t len),
    void *ctx)
{
	struct script s;
	struct bq_job j;
	struct bq_rows r = {.row = row, .ctx = ctx};
	int rc;

	script_init(&s);
	script_file(&s, name, NULL, 1, a);
	rc = script_run(b, &s, id, true, &j);
	if (rc == RC_OK)
		rc = bq_rows_read(b, &j, &r);
	script_release(&s);
	return rc;
}
