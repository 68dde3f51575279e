#include "gens.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "diag.h"
#include "exits.h"

enum { SQL_MAX = 1 << 20 };

static bool
volatile_name(const char *name)
{
	size_t n = strlen(name);

	return strcmp(name, "run_id") == 0 ||
	       (n > 3 && strcmp(name + n - 3, "_at") == 0);
}

static void
add_bytes(XXH3_state_t *sum, char type, const void *p, size_t n)
{
	uint64_t len = n;

	XXH3_128bits_update(sum, &type, 1);
	XXH3_128bits_update(sum, &len, sizeof len);
	XXH3_128bits_update(sum, p, n);
}

static void
add_row(XXH3_state_t *sum, sqlite3_stmt *st)
{
	for (int i = 0; i < sqlite3_column_count(st); i++) {
		int64_t n;
		double x;

		switch (sqlite3_column_type(st, i)) {
		case SQLITE_INTEGER:
			n = sqlite3_column_int64(st, i);
			add_bytes(sum, 'i', &n, sizeof n);
			break;
		case SQLITE_FLOAT:
			x = sqlite3_column_double(st, i);
			add_bytes(sum, 'r', &x, sizeof x);
			break;
		case SQLITE_NULL:
			add_bytes(sum, 'n', "", 0);
			break;
		default:
			add_bytes(sum, 't', sqlite3_column_text(st, i),
			    (size_t)sqlite3_column_bytes(st, i));
			break;
		}
	}
}

static void
checksum_sql(const struct table *t, struct buf *sql)
{
	const char *comma = "";

	buf_str(sql, "SELECT ");
	for (size_t i = 0; i < t->n; i++) {
		if (t->col[i].managed != OWN || volatile_name(t->col[i].name))
			continue;
		buf_str(sql, comma);
		db_name(sql, t->col[i].name);
		comma = ", ";
	}
	buf_str(sql, *comma == '\0' ? "1 FROM " : " FROM ");
	db_name(sql, t->store);
	buf_str(sql, " WHERE ");
	table_at(sql, "", 1);
	comma = " ORDER BY ";
	for (size_t i = 0; i < t->n; i++) {
		if (t->col[i].managed != OWN || (t->has_key && !t->col[i].key))
			continue;
		buf_str(sql, comma);
		db_name(sql, t->col[i].name);
		comma = ", ";
	}
}

int
gens_checksum(
    struct table *t, const struct slot *s, char hex[33], uint64_t *rows)
{
	struct buf sql = BUF_INIT(SQL_MAX);
	XXH3_state_t *sum = XXH3_createState();
	sqlite3_stmt *st;
	XXH128_hash_t h;
	int rc;

	if (sum == NULL || XXH3_128bits_reset(sum) != XXH_OK)
		die(RC_OSERR, NULL, "out of memory");
	checksum_sql(t, &sql);
	rc = db_query(t->db, &st, buf_cstr(&sql), "tttti", ROWS_ARGS(s));
	buf_release(&sql);
	*rows = 0;
	while (rc == RC_OK && (rc = db_step(t->db, st)) == RC_OK) {
		add_row(sum, st);
		++*rows;
	}
	sqlite3_finalize(st);
	h = XXH3_128bits_digest(sum);
	XXH3_freeState(sum);
	snprintf(hex, 33, "%016" PRIx64 "%016" PRIx64, (uint64_t)h.high64,
	    (uint64_t)h.low64);
	return rc == RC_NOTREADY ? RC_OK : rc;
}

/* The rows are still those that were staged. */
int
gens_intact(struct table *t, struct slot *s)
{
	char hex[33];
	uint64_t rows;
	int rc = gens_checksum(t, s, hex, &rows);

	if (rc != RC_OK || (rows == s->rows && strcmp(hex, s->checksum) == 0))
		return rc;
	return slot_say(s, RC_CONTRACT,
	    "generation %" PRId64 " is damaged: its rows are not those that "
	    "were staged; move the database away and rebuild it from raw",
	    s->generation);
}
