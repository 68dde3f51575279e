/* Reading the raw layer: replay, verify, list. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "raw-store.h"
#include "stats.h"
#include "sys.h"

struct reader {
	const struct ask *ask;
	struct out out;
	struct part_own own;
	struct buf line;
	uint64_t found, rows;
};

/* ---- replay ---- */

static bool
in_time(const struct ask *a, const struct manifest *m)
{
	const char *at = *m->fetched_at != '\0' ? m->fetched_at : m->stored_at;
	int64_t us;

	if (!a->as_of_given)
		return true;
	return time_parse(at, strlen(at), &us) && us <= a->as_of_us;
}

/*
 * The newest version that is complete (or surely empty), else the newest
 * partial one; version 0 where there is none. A damaged manifest might be the
 * one: then no other is taken for it.
 */
static int
choose(const struct reader *r, const struct shelf_day *d, unsigned *version)
{
	size_t n;
	unsigned *all = shelf_versions(d->fd, &n);
	unsigned partial = 0;
	int status = RC_OK;

	*version = 0;
	while (status == RC_OK && *version == 0 && n-- > 0) {
		struct manifest m;

		status = manifest_read(&m, d->fd, all[n], d->where);
		if (status == RC_OK && in_time(r->ask, &m)) {
			if (m.outcome == OUTCOME_COMPLETE ||
			    m.outcome == OUTCOME_EMPTY)
				*version = m.version;
			else if (partial == 0)
				partial = m.version;
		}
		manifest_release(&m);
	}
	if (*version == 0)
		*version = partial;
	free(all);
	return status;
}

static void
control(struct reader *r)
{
	if (!r->ask->plain)
		out_record(&r->out, r->line.p, r->line.len);
	buf_reset(&r->line);
}

static int
replay_version(
    struct reader *r, const struct shelf_day *d, const struct manifest *m)
{
	struct part_end e;
	const char *wrong;
	int status;

	r->found++;
	buf_add(&r->line, m->begin.p, m->begin.len);
	control(r);
	status = shelf_read(d, m, &r->out);
	if (status != RC_OK)
		return status;
	wrong = part_parse_end(&r->own, &m->end, &e);
	if (wrong != NULL) {
		warn_msg(d->where, "version %u: %s", m->version, wrong);
		return RC_CONTRACT;
	}
	e.outcome = m->outcome;
	part_end_again(&r->line, &e, m->rows, m->rejected);
	control(r);
	r->rows += m->rows;
	return r->out.failed ? RC_IO : RC_OK;
}

static int
replay_day(const struct shelf_day *d, void *ctx)
{
	struct reader *r = ctx;
	struct manifest m;
	unsigned version = 0;
	int status = d->fd < 0 ? RC_OK : choose(r, d, &version);

	if (status != RC_OK)
		return status;
	if (version == 0 && !(r->ask->span.from_given && r->ask->span.to_given))
		return RC_OK;
	if (version == 0) {
		warn_msg(d->where, "nothing is stored%s",
		    r->ask->as_of_given ? " as of that time" : "");
		return RC_PARTIAL;
	}
	status = manifest_read(&m, d->fd, version, d->where);
	if (status == RC_OK)
		status = replay_version(r, d, &m);
	manifest_release(&m);
	progress_update(r->rows, r->out.bytes, 0);
	return status;
}

/* ---- verify ---- */

static void
verify_orphans(const struct shelf_day *d)
{
	size_t n;
	char **names = shelf_names(d->fd, &n);

	for (size_t i = 0; i < n; i++) {
		char *dot = strstr(names[i], ".ndjson.gz");
		char manifest[SHELF_NAME + 8];
		struct stat st;

		if (dot == NULL || dot - names[i] > 32)
			continue;
		snprintf(manifest, sizeof manifest, "%.*s.json",
		    (int)(dot - names[i]), names[i]);
		if (fstatat(d->fd, manifest, &st, 0) < 0)
			warn_msg(d->where,
			    "warning: %s has no manifest: a run was cut, "
			    "storing the day again replaces it",
			    names[i]);
	}
	shelf_names_free(names, n);
}

static int
verify_day(const struct shelf_day *d, void *ctx)
{
	struct reader *r = ctx;
	size_t n;
	unsigned *all;
	int status = RC_OK;

	if (d->fd < 0)
		return RC_OK;
	all = shelf_versions(d->fd, &n);
	for (size_t i = 0; i < n; i++) {
		struct manifest m;
		int one = manifest_read(&m, d->fd, all[i], d->where);

		r->found++;
		if (one == RC_OK)
			one = shelf_read(d, &m, NULL);
		if (one == RC_OK)
			r->rows += m.rows;
		manifest_release(&m);
		status = rc_graver(status, one);
		progress_update(r->rows, 0, 0);
	}
	free(all);
	verify_orphans(d);
	return status;
}

/* ---- list ---- */

/* What begin says the partition was made of, texts without escapes. */
static void
list_origin(struct jsonw *w, const struct manifest *m)
{
	static const char *const names[] = {
	    "input_sha256", "salt_version", "pii_policy"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct json_span v = json_member(&m->begin, names[i]);

		if (v.type == JSON_STRING)
			jsonw_raw(w, names[i], v.p, v.len);
	}
}

static void
list_version(
    struct reader *r, const struct shelf_day *d, const struct manifest *m)
{
	struct jsonw w;

	jsonw_begin(&w, &r->line, '{');
	jsonw_str(&w, "source_system", d->source);
	jsonw_str(&w, "feed", d->feed);
	jsonw_str(&w, "date", d->date);
	jsonw_u64(&w, "version", m->version);
	jsonw_str(&w, "outcome", outcome_word(m->outcome));
	jsonw_u64(&w, "rows", m->rows);
	jsonw_u64(&w, "bytes", m->bytes);
	jsonw_str(&w, "sha256", m->sha256);
	jsonw_u64(&w, "gz_bytes", m->packed_bytes);
	jsonw_u64(&w, "rejected", m->rejected);
	if (*m->fetched_at != '\0')
		jsonw_str(&w, "fetched_at", m->fetched_at);
	list_origin(&w, m);
	jsonw_str(&w, "stored_at", m->stored_at);
	jsonw_end(&w);
	out_record(&r->out, r->line.p, r->line.len);
	buf_reset(&r->line);
}

static int
list_day(const struct shelf_day *d, void *ctx)
{
	struct reader *r = ctx;
	size_t n;
	unsigned *all;
	int status = RC_OK;

	if (d->fd < 0)
		return RC_OK;
	all = shelf_versions(d->fd, &n);
	for (size_t i = 0; i < n; i++) {
		struct manifest m;
		int one = manifest_read(&m, d->fd, all[i], d->where);

		r->found++;
		if (one == RC_OK && in_time(r->ask, &m))
			list_version(r, d, &m);
		manifest_release(&m);
		status = rc_graver(status, one);
	}
	free(all);
	return status;
}

/* ---- all three ---- */

static int
ask_run(const struct ask *a, int (*visit)(const struct shelf_day *d, void *ctx),
    int none)
{
	struct reader r = {.ask = a};
	int status;

	sig_init();
	stats_start();
	progress_start(a->quiet);
	out_init(&r.out, STDOUT_FILENO, "stdout", 0);
	buf_init(&r.line, SIZE_MAX / 2);
	status = shelf_walk(a->dir, &a->span, visit, &r);
	progress_end();
	if (r.found == 0 && (status == RC_OK || status == RC_PARTIAL)) {
		status = none;
		if (none != RC_OK)
			warn_msg(a->dir, "nothing is stored in that span");
	}
	stats_add("records_out", r.rows);
	stats_add("versions", r.found);
	stats_add("bytes_out", r.out.bytes);
	status = rc_graver(status, out_close(&r.out));
	part_release(&r.own);
	buf_release(&r.line);
	stats_end(status);
	if (sig_pending() != 0)
		sig_die(sig_pending());
	return status;
}

int
replay_run(const struct ask *a)
{
	return ask_run(a, replay_day, RC_NOTREADY);
}

int
verify_run(const struct ask *a)
{
	return ask_run(a, verify_day, RC_NOTREADY);
}

int
list_run(const struct ask *a)
{
	return ask_run(a, list_day, RC_OK);
}
