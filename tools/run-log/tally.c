/* Sums up what the stages of a run wrote to WEIR_STATS. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "date.h"
#include "exits.h"
#include "file.h"
#include "json.h"
#include "mem.h"
#include "runlog.h"

#define STATS_MAX (256u << 20)

enum { KILLED = 128 + 9 };

/* Started and not yet ended. */
struct stage {
	int64_t pid;
	char tool[64];
};
struct stages {
	struct stage *at;
	size_t n, room;
};

static bool
text_of(
    const struct json_span *object, const char *name, char *dst, size_t size)
{
	struct json_span v = json_member(object, name);

	dst[0] = '\0';
	if (v.type != JSON_STRING || v.len - 2 >= size)
		return false;
	dst[json_decode(&v, dst)] = '\0';
	return true;
}

static void
add(struct tally *t, const char *tool, const struct json_span *name,
    uint64_t value)
{
	char text[64];
	struct sum *s;

	if (name->len - 2 >= sizeof text)
		return;
	text[json_decode(name, text)] = '\0';
	for (size_t i = 0; i < t->sums; i++) {
		s = &t->sum[i];
		if (strcmp(s->tool, tool) == 0 && strcmp(s->name, text) == 0) {
			s->value += value;
			return;
		}
	}
	if (t->sums == SUMS)
		return;
	s = &t->sum[t->sums++];
	snprintf(s->tool, sizeof s->tool, "%s", tool);
	snprintf(s->name, sizeof s->name, "%s", text);
	s->value = value;
}

static void
grave(struct tally *t, int status, const char *tool)
{
	int g = rc_graver(t->status, status);

	if (g == t->status)
		return;
	t->status = g;
	snprintf(t->tool, sizeof t->tool, "%s", tool);
}

static void
started(struct stages *open, int64_t pid, const char *tool)
{
	if (open->n == open->room) {
		open->room = open->room == 0 ? 64 : 2 * open->room;
		open->at =
		    xreallocarray(open->at, open->room, sizeof *open->at);
	}
	open->at[open->n].pid = pid;
	snprintf(open->at[open->n].tool, sizeof open->at[0].tool, "%s", tool);
	open->n++;
}

/* The youngest of that process number: numbers come again. */
static void
ended(struct stages *open, int64_t pid, const char *tool)
{
	for (size_t i = open->n; i-- > 0;)
		if (open->at[i].pid == pid &&
		    strcmp(open->at[i].tool, tool) == 0) {
			open->at[i] = open->at[--open->n];
			return;
		}
}

static void
take_end(struct tally *t, const struct json_span *o, const char *tool)
{
	struct json_span v = json_member(o, "status"), counts, key;
	struct json_iter it;
	int64_t n;

	if (json_i64(&v, &n) && n >= 0 && n < 256)
		grave(t, (int)n, tool);
	counts = json_member(o, "counts");
	if (counts.type != JSON_OBJECT)
		return;
	json_iter_init(&it, &counts);
	while (json_next_member(&it, &key, &v))
		if (json_i64(&v, &n) && n >= 0)
			add(t, tool, &key, (uint64_t)n);
}

static void
take_note(struct tally *t, const struct json_span *o)
{
	char day[DATE_LEN + 1];
	int32_t d;
	struct json_span v;
	int64_t n;

	if (text_of(o, "data_through", day, sizeof day) &&
	    date_parse(day, strlen(day), &d) && d > t->data_through)
		t->data_through = d;
	v = json_member(o, "records_written");
	if (json_i64(&v, &n) && n > 0)
		t->records += (uint64_t)n;
	if (json_member(o, "partial").type == JSON_TRUE)
		t->partial = true;
	if (json_member(o, "reason").type == JSON_STRING)
		(void)text_of(o, "reason", t->reason, sizeof t->reason);
	if (json_member(o, "message").type == JSON_STRING)
		(void)text_of(o, "message", t->message, sizeof t->message);
}

static void
take_line(struct tally *t, struct stages *open, const char *p, size_t n)
{
	struct json_error e;
	struct json_span o, v;
	char event[16], tool[64];
	int64_t pid = 0;

	if (!json_check(p, n, true, &e))
		return;
	o = json_value(p);
	if (!text_of(&o, "event", event, sizeof event))
		return;
	if (strcmp(event, "note") == 0) {
		take_note(t, &o);
		return;
	}
	v = json_member(&o, "pid");
	if (!text_of(&o, "tool", tool, sizeof tool) || !json_i64(&v, &pid))
		return;
	if (strcmp(event, "start") == 0) {
		t->stages++;
		started(open, pid, tool);
	} else if (strcmp(event, "end") == 0) {
		ended(open, pid, tool);
		take_end(t, &o, tool);
	}
}

void
tally_read(struct tally *t, const char *path)
{
	struct stages open = {NULL, 0, 0};
	struct buf b = BUF_INIT(STATS_MAX);

	/* t is zeroed, but for what was known before */
	t->data_through = INT32_MIN;
	if (file_read(path, STATS_MAX - 1, &b) == RC_OK) {
		for (size_t at = 0; at < b.len;) {
			const char *nl = memchr(b.p + at, '\n', b.len - at);
			size_t n =
			    nl == NULL ? b.len - at : (size_t)(nl - (b.p + at));

			take_line(t, &open, b.p + at, n);
			at += n + 1;
		}
	}
	for (size_t i = 0; i < open.n; i++) {
		t->killed++;
		grave(t, KILLED, open.at[i].tool);
	}
	free(open.at);
	buf_release(&b);
}

uint64_t
tally_sum(const struct tally *t, const char *name, const char *suffix)
{
	uint64_t all = 0;

	for (size_t i = 0; i < t->sums; i++) {
		const struct sum *s = &t->sum[i];
		size_t n = strlen(s->tool), k = strlen(suffix);

		if (strcmp(s->name, name) == 0 && n >= k &&
		    strcmp(s->tool + n - k, suffix) == 0)
			all += s->value;
	}
	return all;
}

uint64_t
tally_max(const struct tally *t, const char *name)
{
	uint64_t most = 0;

	for (size_t i = 0; i < t->sums; i++)
		if (strcmp(t->sum[i].name, name) == 0 && t->sum[i].value > most)
			most = t->sum[i].value;
	return most;
}
