/* Where a run is written down: runs.ndjson, the common log, the warehouse and
 * a Prometheus textfile. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "file.h"
#include "json.h"
#include "mem.h"
#include "runlog.h"
#include "sys.h"

#define RUNS "runs.ndjson"
#define RECORD_MAX (1u << 20)
#define RUNS_MAX (1u << 30)
#define TAIL_READ (1 << 20) /* how far back an older run is looked for */

enum { RESEND = 20 }; /* records handed to the warehouse each time */

const char *
run_status_word(const struct run *run)
{
	int status = run->status;

	if (status == RC_OK)
		return "success";
	return status == RC_PARTIAL || status == RC_NOTREADY ||
		       status == RC_WARNINGS || run->tally.partial
		   ? "partial"
		   : "failed";
}

/* Was it said by the tool: "tool: text", and no warning? */
static bool
said_by(const char *line, const char *tool)
{
	size_t n = strlen(tool);

	return n > 0 && strncmp(line, tool, n) == 0 && line[n] == ':' &&
	       strstr(line, ": warning: ") == NULL;
}

void
run_message(const struct run *run, struct buf *out)
{
	const struct tail *t = &run->tail;
	unsigned kept = t->count < TAIL_LINES ? t->count : TAIL_LINES;
	const char *line;

	if (run->tally.message[0] != '\0') {
		redact(out, run->tally.message, strlen(run->tally.message));
		return;
	}
	for (unsigned i = 1; i <= kept; i++) {
		line = t->line[(t->count - i) % TAIL_LINES];
		if (said_by(line, run->tally.tool)) {
			redact(out, line, strlen(line));
			return;
		}
	}
	if (kept > 0) {
		line = t->line[(t->count - 1) % TAIL_LINES];
		redact(out, line, strlen(line));
	} else if (run->tally.killed > 0) {
		buf_fmt(out, "%s was killed", run->tally.tool);
	} else {
		buf_fmt(out, "ended with status %d", run->status);
	}
}

static void
w_time(struct jsonw *w, const char *name, int64_t ms)
{
	char text[TIME_LEN + 1];

	time_format(ms, text);
	jsonw_str(w, name, text);
}

static void
w_counts(struct jsonw *w, const struct tally *t)
{
	struct jsonw tools, one;

	jsonw_open(w, "counts", &tools, '{');
	for (size_t i = 0; i < t->sums; i++) {
		bool seen = false;

		for (size_t k = 0; k < i; k++)
			seen =
			    seen || strcmp(t->sum[k].tool, t->sum[i].tool) == 0;
		if (seen)
			continue;
		jsonw_open(&tools, t->sum[i].tool, &one, '{');
		for (size_t k = i; k < t->sums; k++)
			if (strcmp(t->sum[k].tool, t->sum[i].tool) == 0)
				jsonw_u64(
				    &one, t->sum[k].name, t->sum[k].value);
		jsonw_end(&one);
	}
	jsonw_end(&tools);
}

/* As the pipeline says it, else what the loaders took. */
static uint64_t
records_written(const struct tally *t)
{
	uint64_t n = t->records + tally_sum(t, "records_written", "");

	return n != 0 ? n : tally_sum(t, "rows_written", "-load");
}

static void
w_head(struct jsonw *w, const struct run *run)
{
	jsonw_str(w, "run_id", run->id);
	jsonw_str(w, "pipeline", run->pipeline);
	jsonw_str(w, "source_system", run->source);
	w_time(w, "start_time", run->start_ms);
}

static void
w_error(struct jsonw *w, const struct run *run)
{
	struct buf text = BUF_INIT(RECORD_MAX);

	if (run->status == RC_OK) {
		jsonw_null(w, "error_class");
		jsonw_null(w, "error_message");
		return;
	}
	jsonw_str(w, "error_class", rc_class(run->status));
	run_message(run, &text);
	if (w->first)
		w->first = false;
	else
		buf_char(w->out, ',');
	buf_str(w->out, "\"error_message\":");
	json_write_clean(w->out, text.p, text.len);
	buf_release(&text);
}

static void
put_seconds(struct jsonw *w, const struct run *run)
{
	int64_t ms = (run->end_mono_ns - run->start_mono_ns) / 1000000;
	char text[40];

	snprintf(text, sizeof text, "%lld.%03d", (long long)(ms / 1000),
	    (int)(ms % 1000));
	jsonw_raw(w, "seconds", text, strlen(text));
}

static void
run_json(const struct run *run, struct buf *out)
{
	const struct tally *t = &run->tally;
	char day[DATE_LEN + 1];
	struct jsonw w;

	jsonw_begin(&w, out, '{');
	w_head(&w, run);
	w_time(&w, "end_time", run->end_ms);
	jsonw_str(&w, "status", run_status_word(run));
	jsonw_u64(&w, "records_written", records_written(t));
	w_error(&w, run);
	jsonw_i64(&w, "exit_status", run->status);
	put_seconds(&w, run);
	jsonw_u64(&w, "api_calls",
	    tally_sum(t, "api_calls", "") + tally_sum(t, "requests", ""));
	jsonw_u64(&w, "retries", tally_sum(t, "retries", ""));
	jsonw_u64(&w, "bytes_read", tally_max(t, "bytes_in"));
	if (tally_sum(t, "bytes_billed", "") > 0)
		jsonw_u64(&w, "bytes_billed", tally_sum(t, "bytes_billed", ""));
	jsonw_u64(&w, "stages", t->stages);
	jsonw_u64(&w, "stages_killed", t->killed);
	if (t->data_through != INT32_MIN) {
		date_format(t->data_through, day);
		jsonw_str(&w, "data_through", day);
	}
	if (t->reason[0] != '\0')
		jsonw_str(&w, "reason", t->reason);
	w_counts(&w, t);
	jsonw_end(&w);
}

/* One write at the end of the file; a torn last line gets its newline. */
static int
append(int dir, const char *name, const char *shown, const struct buf *line)
{
	struct buf b = BUF_INIT(RECORD_MAX + 2);
	int fd = openat(dir, name,
	    O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
	    0600);
	struct stat st;
	char last = '\n';
	int rc = RC_IO;

	if (fd < 0) {
		warn_sys(shown, "cannot open");
		return RC_CANTCREAT;
	}
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		warn_msg(shown, "not a regular file");
		close(fd);
		return RC_CANTCREAT;
	}
	if (st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) != 1)
		last = '\n';
	if (last != '\n')
		buf_char(&b, '\n');
	buf_add(&b, line->p, line->len);
	buf_char(&b, '\n');
	if (sys_write_all(fd, b.p, b.len) < 0 || fsync(fd) < 0)
		warn_sys(shown, "cannot write");
	else
		rc = RC_OK;
	close(fd);
	buf_release(&b);
	return rc;
}

static char *
open_name(const struct run *run)
{
	return xasprintf("%s.open", run->pipeline);
}

/* The last bytes of the run list, whole lines. */
static void
read_tail(const struct run *run, struct buf *out, off_t most)
{
	int fd = file_open_state(run->runs_fd, RUNS, O_RDONLY);
	struct stat st;
	off_t at = 0;
	ssize_t n = 0;
	char *nl;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_size > most)
		at = st.st_size - most;
	if (lseek(fd, at, SEEK_SET) >= 0)
		while (buf_grow(out, 65536) &&
		       (n = sys_read(fd, out->p + out->len, 65536)) > 0)
			out->len += (size_t)n;
	close(fd);
	if (at > 0 && out->len > 0 &&
	    (nl = memchr(out->p, '\n', out->len)) != NULL) {
		size_t cut = (size_t)(nl + 1 - out->p);

		memmove(out->p, out->p + cut, out->len - cut);
		out->len -= cut;
	}
}

static bool
is_written(const struct run *run, const char *id)
{
	struct buf b = BUF_INIT(2 * TAIL_READ);
	char *needle = xasprintf("{\"run_id\":\"%s\",", id);
	bool found;

	read_tail(run, &b, TAIL_READ);
	found = b.len > 0 && memmem(b.p, b.len, needle, strlen(needle)) != NULL;
	free(needle);
	buf_release(&b);
	return found;
}

/* A start record without an end: its run-log died. It gets its record now. */
static int
close_left(const struct run *run, const struct buf *text)
{
	struct json_error e;
	struct json_span o, id, v;
	struct buf line = BUF_INIT(RECORD_MAX), name = BUF_INIT(4096);
	struct jsonw w;
	int rc = RC_OK;

	if (!json_check(text->p, text->len, true, &e))
		return RC_OK; /* half written: the run had not begun */
	o = json_value(text->p);
	id = json_member(&o, "run_id");
	if (id.type != JSON_STRING)
		return RC_OK;
	json_decode_buf(&id, &name);
	if (!is_written(run, buf_cstr(&name))) {
		warn_msg(run->pipeline, "warning: run %s never ended",
		    buf_cstr(&name));
		jsonw_begin(&w, &line, '{');
		jsonw_span(&w, "run_id", &id);
		jsonw_str(&w, "pipeline", run->pipeline);
		v = json_member(&o, "source_system");
		jsonw_span(&w, "source_system", &v);
		v = json_member(&o, "start_time");
		jsonw_span(&w, "start_time", &v);
		jsonw_null(&w, "end_time");
		jsonw_str(&w, "status", "failed");
		jsonw_u64(&w, "records_written", 0);
		jsonw_str(&w, "error_class", "signal");
		jsonw_str(&w, "error_message",
		    "the run never ended: killed, or the machine stopped");
		jsonw_i64(&w, "exit_status", 128 + 9);
		jsonw_end(&w);
		rc = append(run->runs_fd, RUNS, RUNS, &line);
	}
	buf_release(&name);
	buf_release(&line);
	return rc;
}

static int
look_for_left(struct run *run, const char *name)
{
	int fd = file_open_state(run->runs_fd, name, O_RDONLY);
	struct buf text = BUF_INIT(65536);
	ssize_t n;
	int rc = RC_OK;

	if (fd < 0 && errno == ENOENT)
		return RC_OK;
	if (fd < 0) {
		warn_sys(name, "cannot open");
		return RC_CANTCREAT;
	}
	while (buf_grow(&text, 4096) &&
	       (n = sys_read(fd, text.p + text.len, 4096)) > 0)
		text.len += (size_t)n;
	close(fd);
	if (text.len > 0)
		rc = close_left(run, &text);
	buf_release(&text);
	return rc;
}

int
record_open(struct run *run)
{
	char *name = open_name(run);
	struct buf text = BUF_INIT(RECORD_MAX);
	struct afile a;
	struct jsonw w;
	int rc = look_for_left(run, name);

	if (rc != RC_OK)
		goto done;
	jsonw_begin(&w, &text, '{');
	w_head(&w, run);
	jsonw_i64(&w, "pid", getpid());
	jsonw_end(&w);
	buf_char(&text, '\n');
	if ((rc = afile_open_at(&a, run->runs_fd, name)) != RC_OK)
		goto done;
	if (sys_write_all(a.fd, text.p, text.len) < 0) {
		warn_sys(name, "cannot write");
		afile_drop(&a);
		rc = RC_IO;
	} else {
		rc = afile_commit(&a, 0600);
	}
done:
	buf_release(&text);
	free(name);
	return rc;
}

void
record_done(struct run *run)
{
	char *name = open_name(run);

	unlinkat(run->runs_fd, name, 0);
	free(name);
}

static int
common_log(const struct run *run)
{
	struct buf line = BUF_INIT(RECORD_MAX);
	const char *word = run_status_word(run);
	struct jsonw w;
	int rc;

	jsonw_begin(&w, &line, '{');
	w_time(&w, "time", run->end_ms);
	jsonw_str(&w, "severity",
	    strcmp(word, "success") == 0   ? "INFO"
	    : strcmp(word, "partial") == 0 ? "WARNING"
					   : "ERROR");
	jsonw_str(&w, "message", "Pipeline execution completed");
	jsonw_str(&w, "run_id", run->id);
	jsonw_str(&w, "pipeline", run->pipeline);
	jsonw_str(&w, "source_system", run->source);
	jsonw_str(&w, "status", word);
	jsonw_u64(&w, "records_written", records_written(&run->tally));
	w_error(&w, run);
	jsonw_end(&w);
	rc = run->log != NULL
		 ? append(AT_FDCWD, run->log, run->log, &line)
		 : append(run->runs_fd, "weir.log", "weir.log", &line);
	buf_release(&line);
	return rc == RC_OK ? RC_OK : RC_PARTIAL;
}

int
record_close(struct run *run)
{
	struct buf line = BUF_INIT(RECORD_MAX);
	int rc, log;

	run_json(run, &line);
	rc = append(run->runs_fd, RUNS, RUNS, &line);
	buf_release(&line);
	log = common_log(run);
	return rc_graver(rc, log);
}

/* Our own programs stand beside each other. */
static char *
beside(const char *tool)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	char *path, *slash;

	if (n <= 0)
		return xstrdup(tool);
	self[n] = '\0';
	if ((slash = strrchr(self, '/')) != NULL)
		*slash = '\0';
	path = xasprintf("%s/%s", self, tool);
	if (access(path, X_OK) < 0) {
		free(path);
		return xstrdup(tool);
	}
	return path;
}

/* The last records; a run that could not be stored then comes now. */
static void
db_rows(const struct run *run, struct buf *out)
{
	struct buf all = BUF_INIT(2 * TAIL_READ);
	size_t from, lines = 0;

	read_tail(run, &all, TAIL_READ);
	for (from = all.len; from > 0; from--)
		if (all.p[from - 1] == '\n' && lines++ == RESEND)
			break;
	for (size_t at = from; at < all.len;) {
		const char *nl = memchr(all.p + at, '\n', all.len - at);
		size_t n =
		    nl == NULL ? all.len - at : (size_t)(nl - (all.p + at));

		buf_add(out, all.p + at, n);
		buf_char(out, '\n');
		at += n + 1;
	}
	buf_release(&all);
}

_Noreturn static void
db_exec(const struct run *run, int in)
{
	char *tool = beside("sqlite-load");
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	unsetenv("WEIR_STATS");
	if (dup2(in, STDIN_FILENO) >= 0 && null >= 0 &&
	    dup2(null, STDOUT_FILENO) >= 0)
		execlp(tool, tool, "--db", run->db, "--table", "pipeline_runs",
		    "--mode", "upsert", "--plain", "--quiet", (char *)NULL);
	warn_sys(tool, "cannot run");
	_exit(RC_OSERR);
}

int
record_db(const struct run *run)
{
	struct buf rows = BUF_INIT(RECORD_MAX);
	int fd[2], st = 0;
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC) < 0) {
		warn_sys(NULL, "cannot make a pipe");
		return RC_OSERR;
	}
	if ((pid = fork()) == 0)
		db_exec(run, fd[0]);
	close(fd[0]);
	db_rows(run, &rows);
	if (pid > 0)
		(void)sys_write_all(fd[1], rows.p, rows.len);
	close(fd[1]);
	buf_release(&rows);
	if (pid < 0 || waitpid(pid, &st, 0) != pid) {
		warn_sys(NULL, "cannot fork");
		return RC_OSERR;
	}
	if (!WIFEXITED(st) || WEXITSTATUS(st) != RC_OK) {
		warn_msg(run->db, "the run is not in pipeline_runs yet");
		return WIFEXITED(st) ? WEXITSTATUS(st) : RC_IO;
	}
	return RC_OK;
}

struct metric {
	const char *name, *help;
	bool there;
	double value;
};

static void
prom_label(struct buf *b, const char *name, const char *v)
{
	buf_fmt(b, "%s=\"", name);
	for (; *v != '\0'; v++) {
		if (*v == '\n') {
			buf_str(b, "\\n");
			continue;
		}
		if (*v == '\\' || *v == '"')
			buf_char(b, '\\');
		buf_char(b, *v);
	}
	buf_char(b, '"');
}

static void
prom_metric(const struct run *run, struct buf *b, const struct metric *m)
{
	if (!m->there)
		return;
	buf_fmt(b, "# HELP analytics_%s %s\n# TYPE analytics_%s gauge\n",
	    m->name, m->help, m->name);
	buf_fmt(b, "analytics_%s{", m->name);
	prom_label(b, "tool", run->pipeline);
	buf_char(b, ',');
	prom_label(b, "source", run->source);
	buf_fmt(b, "} %.3f\n", m->value);
}

/* The number an earlier file has for a metric. */
static bool
prom_old(const char *path, const char *name, double *value)
{
	struct buf b = BUF_INIT(1 << 20);
	char *key = xasprintf("\nanalytics_%s{", name), *at, *end;
	bool found = false;

	if (access(path, R_OK) == 0 && file_read(path, 1 << 19, &b) == RC_OK &&
	    (at = strstr(buf_cstr(&b), key)) != NULL &&
	    (at = strstr(at, "} ")) != NULL) {
		*value = strtod(at + 2, &end);
		found = end != at + 2;
	}
	free(key);
	buf_release(&b);
	return found;
}

int
record_textfile(const struct run *run)
{
	char *path = xasprintf("%s/weir_%s.prom", run->textfile, run->pipeline);
	double success = 0, through = 0;
	bool ok = run->status == RC_OK;
	bool has_success =
	    ok ||
	    prom_old(path, "run_last_success_timestamp_seconds", &success);
	bool has_through = run->tally.data_through != INT32_MIN;
	struct buf b = BUF_INIT(1 << 20);
	int rc;

	if (ok)
		success = (double)run->end_ms / 1000;
	if (has_through)
		through = (double)run->tally.data_through * 86400;
	else
		has_through =
		    prom_old(path, "data_through_timestamp_seconds", &through);
	const struct metric all[] = {
	    {"run_start_timestamp_seconds", "Unix time of the last start.",
		true, (double)run->start_ms / 1000},
	    {"run_end_timestamp_seconds", "Unix time of the last end.", true,
		(double)run->end_ms / 1000},
	    {"run_last_success_timestamp_seconds",
		"Unix time of the last successful run.", has_success, success},
	    {"run_status", "Of the last run: 0 success, 1 partial, 2 failed.",
		true,
		ok                                             ? 0
		: strcmp(run_status_word(run), "partial") == 0 ? 1
							       : 2},
	    {"run_records_written", "Records written by the last run.", true,
		(double)records_written(&run->tally)},
	    {"run_duration_seconds", "Duration of the last run.", true,
		(double)(run->end_mono_ns - run->start_mono_ns) / 1e9},
	    {"data_through_timestamp_seconds",
		"Unix time of the start of the last day with data.",
		has_through, through},
	};
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		prom_metric(run, &b, &all[i]);
	rc = file_replace(path, b.p, b.len, 0644);
	buf_release(&b);
	free(path);
	return rc == RC_OK ? RC_OK : RC_PARTIAL;
}

/* --last: the records themselves, oldest first. */
int
record_list(const struct run *run, uint64_t n)
{
	struct buf all = BUF_INIT(RUNS_MAX), out = BUF_INIT(RUNS_MAX);
	char *mine = run->pipeline == NULL
			 ? NULL
			 : xasprintf(",\"pipeline\":\"%s\",", run->pipeline);
	size_t end, from;
	uint64_t found = 0;
	int rc;

	read_tail(run, &all, RUNS_MAX / 2);
	/* from the end, so that only what is shown is looked at */
	for (end = all.len; end > 0 && found < n; end = from) {
		from = end - 1;
		while (from > 0 && all.p[from - 1] != '\n')
			from--;
		if (mine != NULL && memmem(all.p + from, end - from, mine,
					strlen(mine)) == NULL)
			memset(all.p + from, '\n', end - from);
		else
			found++;
	}
	for (size_t at = end; at < all.len;) {
		const char *nl = memchr(all.p + at, '\n', all.len - at);
		size_t len =
		    nl == NULL ? all.len - at : (size_t)(nl - (all.p + at));
		struct json_error e;

		if (len > 0 && json_check(all.p + at, len, true, &e)) {
			buf_add(&out, all.p + at, len);
			buf_char(&out, '\n');
		}
		at += len + 1;
	}
	rc = out.len == 0                                       ? RC_OK
	     : sys_write_all(STDOUT_FILENO, out.p, out.len) < 0 ? RC_IO
								: RC_OK;
	if (close(STDOUT_FILENO) < 0 || rc != RC_OK) {
		warn_sys("stdout", "cannot write");
		rc = RC_IO;
	}
	free(mine);
	buf_release(&all);
	buf_release(&out);
	return rc;
}
