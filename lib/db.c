#include "db.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "date.h"
#include "db.h"
#include "db_func.h"
#include "diag.h"
#include "exits.h"
#include "file.h"
#include "mem.h"
#include "sys.h"

enum {
	SQL_MAX = 1 << 20,
	CACHE_KIB = 64 << 10,
	LOOK_STEPS = 20000, /* steps of the machine between looks at signals */
	WAL_WRITE_VERSION = 18, /* bytes of the file header: 2 is WAL */
	WAL_READ_VERSION = 19,
};

/* ---- errors ---- */

static int
status_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_NOMEM:
		return RC_OSERR;
	case SQLITE_FULL:
		return RC_IO;
	case SQLITE_IOERR:
		return code == SQLITE_IOERR_NOMEM ? RC_OSERR : RC_IO;
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
		return RC_CANTCREAT;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL:
		return RC_TRANSIENT;
	default:
		return RC_CONTRACT;
	}
}

int
db_fail(struct db *d, const char *what)
{
	int code = sqlite3_extended_errcode(d->h);
	int status = status_of(code), err = sqlite3_system_errno(d->h);
	char why[DIAG_QUOTE];
	const char *text = sqlite3_errmsg(d->h);

	if (status == RC_TRANSIENT)
		warn_msg(d->path,
		    "%s: another process holds the lock, waited %u s", what,
		    d->wait_s);
	else if (status == RC_IO && err != 0)
		warn_msg(d->path, "%s: %s: %s", what, text, strerror(err));
	else if ((code & 0xff) == SQLITE_CORRUPT ||
		 (code & 0xff) == SQLITE_NOTADB)
		warn_msg(d->path,
		    "%s: damaged: %s; move it away and rebuild it from raw",
		    what, text);
	else
		warn_msg(d->path, "%s: %s", what,
		    diag_quote(why, text, strlen(text)));
	return status;
}

static int
look_for_signal(void *ctx)
{
	(void)ctx;
	return sig_pending() != 0;
}

static int
wait_for_lock(void *ctx, int times)
{
	const struct timespec pause = {0, 20 * 1000000};
	struct db *d = ctx;
	int64_t now = sys_mono_ns();

	if (times == 0)
		d->give_up_ns = now + (int64_t)d->wait_s * 1000000000;
	if (now >= d->give_up_ns || sig_pending() != 0)
		return 0;
	nanosleep(&pause, NULL);
	return 1;
}

/* ---- statements ---- */

static int
bind_args(sqlite3_stmt *st, const char *types, va_list ap)
{
	int rc = SQLITE_OK;

	for (int i = 1; *types != '\0' && rc == SQLITE_OK; i++, types++) {
		const char *text;

		switch (*types) {
		case 't':
			text = va_arg(ap, const char *);
			rc = sqlite3_bind_text(
			    st, i, text, -1, SQLITE_TRANSIENT);
			break;
		case 'b':
			text = va_arg(ap, const char *);
			rc = sqlite3_bind_text64(st, i, text,
			    va_arg(ap, size_t), SQLITE_TRANSIENT, SQLITE_UTF8);
			break;
		case 'i':
			rc = sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
			break;
		default:
			rc = sqlite3_bind_value(
			    st, i, va_arg(ap, sqlite3_value *));
			break;
		}
	}
	return rc;
}

static int
query_args(struct db *d, sqlite3_stmt **st, const char *sql, const char *types,
    va_list ap)
{
	if (sqlite3_prepare_v3(d->h, sql, -1, 0, st, NULL) == SQLITE_OK &&
	    bind_args(*st, types, ap) == SQLITE_OK)
		return RC_OK;
	sqlite3_finalize(*st);
	*st = NULL;
	return db_fail(d, "cannot prepare");
}

int
db_query(
    struct db *d, sqlite3_stmt **st, const char *sql, const char *types, ...)
{
	va_list ap;
	int rc;

	va_start(ap, types);
	rc = query_args(d, st, sql, types, ap);
	va_end(ap);
	return rc;
}

int
db_step(struct db *d, sqlite3_stmt *st)
{
	switch (sqlite3_step(st)) {
	case SQLITE_ROW:
		return RC_OK;
	case SQLITE_DONE:
		return RC_NOTREADY;
	default:
		return db_fail(d, "cannot go on");
	}
}

int
db_run(struct db *d, const char *sql, const char *types, ...)
{
	sqlite3_stmt *st = NULL;
	va_list ap;
	int rc;

	va_start(ap, types);
	rc = query_args(d, &st, sql, types, ap);
	va_end(ap);
	while (rc == RC_OK)
		rc = db_step(d, st);
	sqlite3_finalize(st);
	return rc == RC_NOTREADY ? RC_OK : rc;
}

int
db_int(struct db *d, int64_t *out, int64_t def, const char *sql,
    const char *types, ...)
{
	sqlite3_stmt *st = NULL;
	va_list ap;
	int rc;

	*out = def;
	va_start(ap, types);
	rc = query_args(d, &st, sql, types, ap);
	va_end(ap);
	if (rc == RC_OK)
		rc = db_step(d, st);
	if (rc == RC_OK && sqlite3_column_type(st, 0) != SQLITE_NULL)
		*out = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return rc == RC_NOTREADY ? RC_OK : rc;
}

int
db_prepare(struct db *d, sqlite3_stmt **st, struct buf *sql)
{
	*st = NULL;
	if (sqlite3_prepare_v3(d->h, buf_cstr(sql), -1,
		SQLITE_PREPARE_PERSISTENT, st, NULL) == SQLITE_OK)
		return RC_OK;
	return db_fail(d, "cannot prepare");
}

int
db_begin(struct db *d)
{
	if (sqlite3_exec(d->h, "BEGIN IMMEDIATE", NULL, NULL, NULL) ==
	    SQLITE_OK)
		return RC_OK;
	return db_fail(d, "cannot begin");
}

int
db_commit(struct db *d)
{
	int rc;

	if (sqlite3_exec(d->h, "COMMIT", NULL, NULL, NULL) == SQLITE_OK)
		return RC_OK;
	rc = db_fail(d, "cannot commit");
	db_rollback(d);
	return rc;
}

void
db_rollback(struct db *d)
{
	if (d->h != NULL && sqlite3_get_autocommit(d->h) == 0)
		sqlite3_exec(d->h, "ROLLBACK", NULL, NULL, NULL);
}

int64_t
db_changes(const struct db *d)
{
	return sqlite3_total_changes64(d->h);
}

void
db_name(struct buf *sql, const char *name)
{
	buf_char(sql, '"');
	for (; *name != '\0'; name++) {
		if (*name == '"')
			buf_char(sql, '"');
		buf_char(sql, *name);
	}
	buf_char(sql, '"');
}

const char *
db_text(sqlite3_stmt *st, int col)
{
	const unsigned char *p = sqlite3_column_text(st, col);

	return p != NULL ? (const char *)p : "";
}

/* ---- the checksum of the definitions ---- */

static int
add_definition(XXH3_state_t *sum, sqlite3_stmt *st)
{
	for (int i = 0; i < 3; i++) {
		const char *p = db_text(st, i);

		if (XXH3_128bits_update(sum, p, strlen(p) + 1) != XXH_OK)
			return -1;
	}
	return 0;
}

/* Over the objects that meta names, or all where it is new. */
static int
definitions(struct db *d, bool fresh, char hex[33], int64_t *count)
{
	static const char *const sql[] = {
	    "SELECT type, name, sql FROM sqlite_schema"
	    " WHERE name IN (SELECT value FROM json_each((SELECT value"
	    " FROM meta WHERE name = 'objects'))) ORDER BY name",
	    "SELECT type, name, sql FROM sqlite_schema"
	    " WHERE name NOT LIKE 'sqlite_%' ORDER BY name",
	};
	XXH3_state_t *sum = XXH3_createState();
	sqlite3_stmt *st;
	XXH128_hash_t h;
	int rc;

	if (sum == NULL || XXH3_128bits_reset(sum) != XXH_OK)
		die(RC_OSERR, NULL, "out of memory");
	*count = 0;
	rc = db_query(d, &st, sql[fresh ? 1 : 0], "");
	while (rc == RC_OK && (rc = db_step(d, st)) == RC_OK) {
		add_definition(sum, st);
		++*count;
	}
	sqlite3_finalize(st);
	h = XXH3_128bits_digest(sum);
	XXH3_freeState(sum);
	snprintf(hex, 33, "%016llx%016llx", (unsigned long long)h.high64,
	    (unsigned long long)h.low64);
	return rc == RC_NOTREADY ? RC_OK : rc;
}

/* ---- making a database ---- */

static int
run_lines(struct db *d, const char *const *ddl)
{
	struct buf sql = BUF_INIT(SQL_MAX);
	int rc;

	for (; *ddl != NULL; ddl++)
		buf_str(&sql, *ddl);
	rc = sqlite3_exec(d->h, buf_cstr(&sql), NULL, NULL, NULL);
	buf_release(&sql);
	return rc == SQLITE_OK ? RC_OK : db_fail(d, "cannot make the tables");
}

static int
fill_meta(struct db *d)
{
	char hex[33];
	int64_t count;
	int rc = definitions(d, true, hex, &count);

	if (rc == RC_OK)
		rc = db_run(d,
		    "INSERT INTO meta SELECT 'objects', json_group_array(name)"
		    " FROM (SELECT name FROM sqlite_schema"
		    " WHERE name NOT LIKE 'sqlite_%' ORDER BY name)",
		    "");
	if (rc == RC_OK)
		rc = db_run(d,
		    "INSERT INTO meta VALUES ('definitions', ?1),"
		    " ('schema_version', ?2)",
		    "ti", hex, (int64_t)DB_VERSION);
	return rc;
}

/* The image of a new database, in memory. */
static int
make_image(struct db *d, const char *const *ddl)
{
	char set[96];
	int rc = RC_OK;

	snprintf(set, sizeof set,
	    "PRAGMA application_id = %d; PRAGMA user_version = %d",
	    ddl != NULL ? DB_APPLICATION : 0, ddl != NULL ? DB_VERSION : 0);
	if (sqlite3_open_v2(":memory:", &d->h,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
		NULL) != SQLITE_OK ||
	    sqlite3_exec(d->h, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
		return db_fail(d, "cannot make the tables");
	if (ddl != NULL) {
		rc = run_lines(d, ddl);
		if (rc == RC_OK)
			rc = fill_meta(d);
	} else if (sqlite3_exec(d->h, "CREATE TABLE x (x); DROP TABLE x", NULL,
		       NULL, NULL) != SQLITE_OK) {
		rc = db_fail(d, "cannot make the tables");
	}
	if (rc == RC_OK &&
	    sqlite3_exec(d->h, set, NULL, NULL, NULL) != SQLITE_OK)
		rc = db_fail(d, "cannot make the tables");
	return rc == RC_OK ? db_commit(d) : rc;
}

/*
 * Puts the image in place unless another was quicker: a rename would take
 * away what that one has written since.
 */
static int
link_image(const char *path, const unsigned char *p, size_t n)
{
	struct afile a;
	int rc = afile_open(&a, path);

	if (rc != RC_OK)
		return rc;
	if (sys_write_all(a.fd, p, n) < 0 || fsync(a.fd) < 0) {
		warn_sys(path, "cannot write");
		rc = RC_IO;
	} else if (linkat(a.dirfd, a.tmp, a.dirfd, a.name, 0) < 0 &&
		   errno != EEXIST) {
		warn_sys(path, "cannot make the database");
		rc = RC_CANTCREAT;
	} else if (unlinkat(a.dirfd, a.tmp, 0) < 0 || dir_sync(a.dirfd) < 0) {
		warn_sys(path, "cannot make the database");
		rc = RC_IO;
	}
	afile_drop(&a);
	return rc;
}

/* A journal that outlived its database would be played into the new one. */
static bool
journal_left(const char *path)
{
	static const char *const ends[] = {"-wal", "-journal"};
	bool left = false;

	for (size_t i = 0; i < 2; i++) {
		char *name = xasprintf("%s%s", path, ends[i]);
		struct stat st;

		if (lstat(name, &st) == 0 && st.st_size > 0 &&
		    lstat(path, &st) < 0) { /* it was not made just now */
			warn_msg(name, "damaged: a journal without its "
				       "database; move it away");
			left = true;
		}
		free(name);
	}
	return left;
}

static int
make(const char *path, const char *const *ddl)
{
	struct db d = {.path = path};
	unsigned char *image = NULL;
	sqlite3_int64 size = 0;
	int rc;

	if (journal_left(path))
		return RC_CONTRACT;
	rc = make_image(&d, ddl);

	if (rc == RC_OK) {
		image = sqlite3_serialize(d.h, "main", &size, 0);
		if (image == NULL)
			rc = db_fail(&d, "cannot make the tables");
	}
	if (rc == RC_OK) {
		image[WAL_WRITE_VERSION] = image[WAL_READ_VERSION] = 2;
		rc = link_image(path, image, (size_t)size);
	}
	sqlite3_free(image);
	sqlite3_close(d.h);
	return rc;
}

/* ---- opening ---- */

/* The directory's real path and the name; the caller frees. NULL: errno. */
static char *
real_path(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash == NULL   ? xstrdup(".")
		    : slash == path ? xstrdup("/")
				    : xstrndup(path, (size_t)(slash - path));
	char *real = realpath(dir, NULL), *all = NULL;

	free(dir);
	if (real != NULL)
		all = xasprintf("%s/%s", strcmp(real, "/") == 0 ? "" : real,
		    slash != NULL ? slash + 1 : path);
	free(real);
	return all;
}

static int
see_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash == NULL   ? xstrdup(".")
		    : slash == path ? xstrdup("/")
				    : xstrndup(path, (size_t)(slash - path));
	char *real = realpath(dir, NULL); /* a link to a directory is fine */
	int fd = dir_open(real != NULL ? real : dir, true, true);

	free(real);
	free(dir);
	if (fd < 0)
		return RC_CANTCREAT;
	close(fd);
	return RC_OK;
}

/*
 * SQLite takes a file that was cut inside of its last page for whole. With a
 * journal beside it, it may be just that: the journal has the page.
 */
static int
see_header(const char *path, off_t size)
{
	unsigned char head[18];
	char *wal = xasprintf("%s-wal", path);
	struct stat st;
	bool journal = lstat(wal, &st) == 0 && st.st_size > 0;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t n = fd >= 0 ? pread(fd, head, sizeof head, 0) : -1;
	off_t page;

	free(wal);
	if (n < 0)
		warn_sys(path, "cannot read the database");
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return RC_IO;
	page = n == (ssize_t)sizeof head ? head[16] << 8 | head[17] : 0;
	if (page == 1) /* so 65536 is written */
		page = 65536;
	if (page >= 512 && memcmp(head, "SQLite format 3", 16) == 0 &&
	    (journal || size % page == 0))
		return RC_OK;
	warn_msg(path, "damaged: %s; move it away and rebuild it from raw",
	    page >= 512 ? "it is cut or overwritten" : "not a database");
	return RC_CONTRACT;
}

/* RC_NOTREADY: it is not there. */
static int
see_file(const char *path, int flags, struct stat *st)
{
	if (lstat(path, st) < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return RC_NOTREADY;
		warn_sys(path, "cannot look at the database");
		return RC_CANTCREAT;
	}
	if (!S_ISREG(st->st_mode)) {
		warn_msg(path, "not a regular file (links are not followed)");
		return RC_CANTCREAT;
	}
	if ((flags & DB_WRITE) != 0 && st->st_uid != geteuid()) {
		warn_msg(
		    path, "belongs to another user (%u)", (unsigned)st->st_uid);
		return RC_CANTCREAT;
	}
	if (faccessat(AT_FDCWD, path,
		(flags & DB_WRITE) != 0 ? R_OK | W_OK : R_OK, AT_EACCESS) < 0) {
		warn_sys(path, "cannot open the database");
		return (flags & DB_WRITE) != 0 ? RC_CANTCREAT : RC_TRUNCATED;
	}
	if (st->st_size == 0) {
		warn_msg(path,
		    "damaged: the file is empty; move it away and rebuild it");
		return RC_CONTRACT;
	}
	return see_header(path, st->st_size);
}

/*
 * A WAL database in a directory that we cannot write to can be read where no
 * journal is left: nobody is writing then.
 */
static int
open_handle(struct db *d, const char *real, int flags)
{
	int how = SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE |
		  SQLITE_OPEN_NOMUTEX |
		  ((flags & DB_WRITE) != 0 ? SQLITE_OPEN_READWRITE
					   : SQLITE_OPEN_READONLY);
	char *uri, *wal;
	bool still;
	int code;

	code = sqlite3_open_v2(real, &d->h, how, NULL);
	/* whoever closes last, or recovers the journal, locks it */
	if (code == SQLITE_OK)
		code = sqlite3_busy_handler(d->h, wait_for_lock, d);
	if (code == SQLITE_OK)
		code = sqlite3_exec(
		    d->h, "SELECT 1 FROM sqlite_schema", NULL, NULL, NULL);
	if ((code & 0xff) != SQLITE_CANTOPEN &&
	    (code & 0xff) != SQLITE_READONLY)
		return code;
	wal = xasprintf("%s-wal", real);
	still = (flags & DB_WRITE) == 0 && access(wal, F_OK) < 0 &&
		strpbrk(real, "?#%") == NULL;
	free(wal);
	if (!still)
		return sqlite3_errcode(d->h);
	sqlite3_close(d->h);
	uri = xasprintf("file:%s?immutable=1", real);
	sqlite3_open_v2(uri, &d->h, how | SQLITE_OPEN_URI, NULL);
	free(uri);
	return sqlite3_errcode(d->h);
}

static int
settle(struct db *d)
{
	char set[200];

	snprintf(set, sizeof set,
	    "PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;"
	    "PRAGMA cache_size = -%d; PRAGMA foreign_keys = ON",
	    (int)CACHE_KIB);
	sqlite3_db_config(d->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_busy_handler(d->h, wait_for_lock, d);
	sqlite3_progress_handler(d->h, LOOK_STEPS, look_for_signal, NULL);
	if (sqlite3_exec(d->h, set, NULL, NULL, NULL) != SQLITE_OK)
		return db_fail(d, "cannot open");
	return db_functions(d->h) == SQLITE_OK ? RC_OK
					       : db_fail(d, "cannot open");
}

static int
damaged(struct db *d, const char *why)
{
	char text[DIAG_QUOTE];

	warn_msg(d->path, "damaged: %s; move it away and rebuild it from raw",
	    diag_quote(text, why, strlen(why)));
	return RC_CONTRACT;
}

static int
check_pages(struct db *d, bool whole)
{
	static const char *const some[] = {"meta", "batches", "lineage"};
	struct buf sql = BUF_INIT(SQL_MAX);
	int rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < (whole ? 1 : 3); i++) {
		sqlite3_stmt *st;

		buf_reset(&sql);
		buf_str(&sql, "PRAGMA quick_check");
		if (!whole)
			buf_fmt(&sql, "(\"%s\")", some[i]);
		rc = db_query(d, &st, buf_cstr(&sql), "");
		if (rc == RC_OK)
			rc = db_step(d, st);
		if (rc == RC_OK && strcmp(db_text(st, 0), "ok") != 0)
			rc = damaged(d, db_text(st, 0));
		sqlite3_finalize(st);
	}
	buf_release(&sql);
	return rc;
}

static int
check_definitions(struct db *d)
{
	sqlite3_stmt *st;
	char hex[33] = "";
	int64_t have, want;
	int rc = db_int(d, &have, 0,
	    "SELECT count(*) FROM sqlite_schema WHERE name = 'meta'", "");

	if (rc == RC_OK && have == 0)
		return damaged(d, "table meta is missing");
	if (rc == RC_OK)
		rc = db_int(d, &want, -1,
		    "SELECT json_array_length(value) FROM meta"
		    " WHERE name = 'objects' AND json_valid(value)",
		    "");
	if (rc == RC_OK)
		rc = definitions(d, false, hex, &have);
	if (rc == RC_OK && have != want)
		return damaged(d, "a table is missing");
	if (rc != RC_OK)
		return rc;
	rc = db_query(d, &st,
	    "SELECT 1 FROM meta WHERE name = 'definitions' AND value = ?1", "t",
	    hex);
	if (rc == RC_OK)
		rc = db_step(d, st);
	sqlite3_finalize(st);
	return rc == RC_NOTREADY
		   ? damaged(d, "its checksum is not that of the tables")
		   : rc;
}

static int
check(struct db *d, int flags, off_t size)
{
	int64_t id, version;
	int rc = db_int(d, &id, 0, "PRAGMA application_id", "");

	if (rc == RC_OK)
		rc = db_int(d, &version, 0, "PRAGMA user_version", "");
	if (rc != RC_OK)
		return rc;
	d->warehouse = id == DB_APPLICATION;
	if (!d->warehouse && (flags & DB_FOREIGN) == 0) {
		warn_msg(d->path, "not a warehouse of weir (see --foreign)");
		return RC_CONTRACT;
	}
	if (d->warehouse && version != DB_VERSION) {
		warn_msg(d->path, "schema version %lld, this program knows %d",
		    (long long)version, DB_VERSION);
		return RC_CONTRACT;
	}
	if (d->warehouse || size <= (off_t)DB_CHECK_BYTES)
		rc = check_pages(
		    d, !d->warehouse || size <= (off_t)DB_CHECK_BYTES);
	return rc == RC_OK && d->warehouse ? check_definitions(d) : rc;
}

int
db_open(struct db *d, const char *path, int flags, unsigned wait_s,
    const char *const *ddl)
{
	struct stat st;
	char *real;
	int rc;

	*d = (struct db){.path = path, .wait_s = wait_s};
	if ((flags & DB_WRITE) != 0 && (rc = see_directory(path)) != RC_OK)
		return rc;
	rc = see_file(path, flags, &st);
	if (rc == RC_NOTREADY && (flags & DB_MAKE) != 0) {
		rc = make(path, ddl);
		if (rc == RC_OK)
			rc = see_file(path, flags, &st);
	}
	if (rc == RC_NOTREADY) {
		warn_msg(path, "no such database");
		return RC_TRUNCATED;
	}
	if (rc != RC_OK)
		return rc;
	real = real_path(path);
	if (real == NULL) {
		warn_sys(path, "cannot open");
		return RC_TRUNCATED;
	}
	rc = open_handle(d, real, flags) == SQLITE_OK
		 ? RC_OK
		 : db_fail(d, "cannot open");
	free(real);
	if (rc == RC_OK)
		rc = settle(d);
	if (rc == RC_OK)
		rc = check(d, flags, st.st_size);
	if (rc != RC_OK)
		db_close(d);
	return rc;
}

void
db_close(struct db *d)
{
	sqlite3_close(d->h);
	d->h = NULL;
}
