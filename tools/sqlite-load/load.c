#include "load.h"

#include <string.h>

#include "diag.h"
#include "exits.h"

/* ---- the table ---- */

static int
settle_mode(struct load *l)
{
	struct table *t = &l->t;
	struct loader *run = &l->run;

	if (l->mode == MODE_DEFAULT)
		l->mode = t->versioned ? MODE_REPLACE
			  : t->has_key ? MODE_UPSERT
				       : MODE_APPEND;
	run->versioned = t->versioned;
	run->whole = !t->versioned;
	run->replaces = l->mode == MODE_REPLACE;
	if (t->versioned && l->mode == MODE_IGNORE) {
		warn_msg("--mode",
		    "a table under batch rules takes replace, upsert, append");
		return RC_USAGE;
	}
	if (!t->has_key && (l->mode == MODE_UPSERT || l->mode == MODE_IGNORE)) {
		warn_msg("--mode", "table %s has no key for %s", t->name,
		    mode_word(l->mode));
		return RC_USAGE;
	}
	if (!t->versioned && (run->batch != NULL || run->stage)) {
		warn_msg(run->batch != NULL ? "--batch" : "--stage",
		    "table %s is not under batch rules", t->name);
		return RC_USAGE;
	}
	return RC_OK;
}

int
load_open(struct load *l)
{
	const char *table = l->run.table;
	char shown[DIAG_QUOTE];
	int rc = table_open(&l->t, l->db, table, l->run.key);

	if (rc == RC_NOTREADY && l->create) {
		l->run.versioned = l->made.versioned;
		l->run.whole = !l->made.versioned;
		l->run.replaces = l->mode == MODE_REPLACE;
		return RC_OK;
	}
	if (rc == RC_NOTREADY) {
		warn_msg(l->db->path, "no table %s (see --create)",
		    diag_quote(shown, table, strlen(table)));
		return RC_CONTRACT;
	}
	l->have_table = rc == RC_OK;
	return rc == RC_OK ? settle_mode(l) : rc;
}

void
load_close(struct load *l)
{
	if (l->have_table)
		table_close(&l->t);
	l->have_table = false;
}

/* ---- the transaction ---- */

static int
exec(struct load *l, const char *sql)
{
	if (sqlite3_exec(l->db->h, sql, NULL, NULL, NULL) == SQLITE_OK)
		return RC_OK;
	return db_fail(l->db, "cannot write");
}

static int
make_table(struct load *l, const struct batch *b)
{
	int rc = create_table(l->db, &l->made, b);

	if (rc == RC_OK)
		rc = table_open(&l->t, l->db, l->run.table, l->run.key);
	l->have_table = rc == RC_OK;
	return rc == RC_OK ? settle_mode(l) : rc;
}

static int
empty_table(struct load *l)
{
	struct buf sql = BUF_INIT(1024);
	int rc;

	buf_str(&sql, "DELETE FROM ");
	db_name(&sql, l->t.store);
	rc = db_run(l->db, buf_cstr(&sql), "");
	buf_release(&sql);
	return rc;
}

/*
 * The lock is taken with the first record, not with the begin: the stage
 * before may still be computing. Up to the savepoint old staged rows go.
 */
static int
start(struct load *l, const struct batch *b)
{
	struct loader *run = &l->run;
	int rc;

	if (l->started)
		return RC_OK;
	rc = db_begin(l->db);
	if (rc != RC_OK)
		return rc;
	l->started = true;
	if (!l->have_table)
		rc = make_table(l, b);
	if (rc == RC_OK)
		rc = table_begin(&l->t, l->mode);
	if (rc == RC_OK && l->t.versioned)
		rc = batch_fresh(&l->t, run->cur->batch,
		    run->policy.fingerprint, &l->generation);
	else if (rc == RC_OK && l->mode == MODE_REPLACE)
		rc = empty_table(l);
	return rc == RC_OK && l->t.versioned ? exec(l, "SAVEPOINT fresh") : rc;
}

static int
place(struct loader *run, const struct batch *b)
{
	struct load *l = run->ctx;
	struct slot *s = run->cur;
	struct place at;
	int rc = start(l, b);

	if (rc != RC_OK)
		return rc;
	s->generation = l->t.versioned ? l->generation : 0;
	at = (struct place){
	    s->source, s->feed, s->date, s->batch, l->generation, s->run_id};
	table_place(&l->t, &at);
	return l->t.versioned ? RC_OK : exec(l, "SAVEPOINT partition");
}

static int
put(struct loader *run, const struct record *rec, size_t *byte,
    const char **why)
{
	struct load *l = run->ctx;
	int rc = table_put(&l->t, rec);

	*why = l->t.why;
	*byte = l->t.byte;
	return rc;
}

/* After what broke the database nothing can be loaded any more. */
static int
drop(struct loader *run, bool all)
{
	struct load *l = run->ctx;
	int code = sqlite3_errcode(l->db->h);

	if (!all)
		return run->placed ? exec(l, "ROLLBACK TO partition") : RC_OK;
	if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
		run->damaged = true;
	db_rollback(l->db);
	l->started = false;
	return RC_OK;
}

static int
end(struct loader *run)
{
	struct load *l = run->ctx;

	if (!l->t.versioned)
		return RC_OK;
	return batch_stage(&l->t, run->cur, l->mode, &run->policy);
}

/* ---- a batch ---- */

/* It is what is visible: only the later time of fetching is kept. */
static int
unchanged(struct load *l, struct slot **s, size_t n, int64_t generation)
{
	int rc = exec(l, "ROLLBACK TO fresh");

	for (size_t i = 0; rc == RC_OK && i < n; i++) {
		s[i]->generation = generation;
		s[i]->state = "published";
		s[i]->unchanged = true;
		rc = batch_seen(&l->t, s[i]);
	}
	return rc;
}

/* The numbers of a batch stand: the same as before, staged, or published. */
static int
settle(struct load *l, struct slot **s, size_t n)
{
	struct loader *run = &l->run;
	int64_t same = 0;
	int status, rc = RC_OK;

	if (!run->policy.force)
		rc = batch_equal(&l->t, s, n, &run->policy, &same);
	if (rc == RC_OK && same != 0)
		return unchanged(l, s, n, same);
	if (rc != RC_OK || run->stage)
		return rc;
	rc = batch_publish(&l->t, s, n, &run->policy, false, &status);
	if (rc == RC_FINDINGS) {
		run->status = rc_graver(run->status, status);
		rc = RC_OK;
	}
	return rc;
}

static int
finish(struct loader *run, struct slot **s, size_t n)
{
	struct load *l = run->ctx;
	int rc = RC_OK;

	if (!l->started)
		return RC_OK;
	if (l->t.versioned)
		rc = settle(l, s, n);
	if (rc == RC_OK)
		rc = db_commit(l->db);
	if (rc != RC_OK)
		return loader_refuse(run, rc, "not written");
	l->started = false;
	for (size_t i = 0; !l->t.versioned && i < n; i++)
		if (slot_is(s[i], "refused") && s[i]->reason == NULL)
			s[i]->state = "loaded";
	return RC_OK;
}

void
load_init(struct load *l)
{
	static const struct engine engine = {.table_ok = table_name_ok,
	    .place = place,
	    .put = put,
	    .end = end,
	    .finish = finish,
	    .drop = drop};

	*l = (struct load){0};
	loader_init(&l->run, &engine, l);
}
