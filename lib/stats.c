/* Counts of a run, and the progress line. */
#include "stats.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "date.h"
#include "diag.h"
#include "exits.h"
#include "json.h"
#include "sys.h"

enum {
	COUNTS_MAX = 48,
	TEXTS_MAX = 8,
	TEXT_LEN = 200,
	LINE_BYTES = 4096, /* one append under this size is whole */
	HALF_SECOND = 500000000,
};

static struct {
	const char *name;
	uint64_t n;
} counts[COUNTS_MAX];
static size_t count_n;

static struct {
	const char *name;
	char value[TEXT_LEN];
} texts[TEXTS_MAX];
static size_t text_n;

static int64_t started_ns;

/* Opened anew for each line: the file may be moved away meanwhile. */
static void
append_line(struct buf *b)
{
	const char *path = getenv("WEIR_STATS");
	int fd;

	if (path == NULL || *path == '\0')
		return;
	buf_char(b, '\n');
	fd = open(path,
	    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW |
		O_NONBLOCK | O_NOCTTY,
	    0600);
	if (fd < 0 || b->over || write(fd, b->p, b->len) != (ssize_t)b->len)
		warn_sys(path, "warning: cannot write the statistics");
	if (fd >= 0)
		close(fd);
}

static void
line_begin(struct jsonw *w, struct buf *b, const char *event)
{
	char now[TIME_LEN + 1];

	time_format(sys_real_ns() / 1000000, now);
	jsonw_begin(w, b, '{');
	jsonw_str(w, "event", event);
	jsonw_str(w, "tool", diag_tool());
	jsonw_i64(w, "pid", getpid());
	jsonw_str(w, "time", now);
}

void
stats_start(void)
{
	struct buf b = BUF_INIT(LINE_BYTES);
	struct jsonw w;

	started_ns = sys_mono_ns();
	if (getenv("WEIR_STATS") == NULL)
		return;
	line_begin(&w, &b, "start");
	jsonw_end(&w);
	append_line(&b);
	buf_release(&b);
}

void
stats_add(const char *name, uint64_t n)
{
	size_t i = 0;

	while (i < count_n && strcmp(counts[i].name, name) != 0)
		i++;
	if (i == COUNTS_MAX)
		return;
	if (i == count_n) {
		counts[count_n].name = name;
		counts[count_n++].n = 0;
	}
	counts[i].n += n;
}

void
stats_text(const char *name, const char *text)
{
	size_t i = 0, n = strlen(text);

	while (i < text_n && strcmp(texts[i].name, name) != 0)
		i++;
	if (i == TEXTS_MAX)
		return;
	if (i == text_n)
		texts[text_n++].name = name;
	n = n < TEXT_LEN - 1 ? n : TEXT_LEN - 1;
	memcpy(texts[i].value, text, n);
	texts[i].value[n] = '\0';
}

static void
put_seconds(struct jsonw *w, int64_t ns)
{
	char text[32];
	int64_t ms = ns / 1000000;

	snprintf(text, sizeof(text), "%lld.%03lld", (long long)(ms / 1000),
	    (long long)(ms % 1000));
	jsonw_raw(w, "seconds", text, strlen(text));
}

void
stats_end(int status)
{
	struct buf b = BUF_INIT(LINE_BYTES), clean = BUF_INIT(LINE_BYTES);
	struct jsonw w, inner;

	if (getenv("WEIR_STATS") == NULL)
		return;
	line_begin(&w, &b, "end");
	jsonw_i64(&w, "status", status);
	jsonw_str(&w, "class", rc_class(status));
	put_seconds(&w, sys_mono_ns() - started_ns);
	for (size_t i = 0; i < text_n; i++) {
		buf_reset(&clean);
		json_write_clean(
		    &clean, texts[i].value, strlen(texts[i].value));
		jsonw_raw(&w, texts[i].name, clean.p, clean.len);
	}
	jsonw_open(&w, "counts", &inner, '{');
	for (size_t i = 0; i < count_n; i++)
		jsonw_u64(&inner, counts[i].name, counts[i].n);
	jsonw_end(&inner);
	jsonw_end(&w);
	append_line(&b);
	buf_release(&b);
	buf_release(&clean);
}

/* The progress line: only where a person looks at stderr. */
static struct {
	bool on, shown;
	int64_t from_ns, last_ns;
} progress;

void
progress_start(bool quiet)
{
	memset(&progress, 0, sizeof(progress));
	progress.on = !quiet && isatty(STDERR_FILENO) == 1;
	progress.from_ns = progress.last_ns = sys_mono_ns();
}

/* A terminal that is stopped must not stop the run. */
static void
show(const char *text, size_t n)
{
	struct pollfd pfd = {.fd = STDERR_FILENO, .events = POLLOUT};

	if (poll(&pfd, 1, 0) == 1 && (pfd.revents & POLLOUT) != 0)
		(void)!write(STDERR_FILENO, text, n);
}

static void
progress_show(uint64_t records, uint64_t bytes, uint64_t total, int64_t ns)
{
	char line[160];
	uint64_t ms = (uint64_t)(ns / 1000000) + 1;
	int n;

	/* "\r" and "erase to the end of the line" */
	n = snprintf(line, sizeof(line),
	    "\r%s: %llu records, %llu rows/s, %llu MB/s", diag_tool(),
	    (unsigned long long)records,
	    (unsigned long long)(records * 1000 / ms),
	    (unsigned long long)(bytes / ms / 1000));
	if (total > 0 && bytes > 0 && bytes <= total && n > 0)
		n += snprintf(line + n, sizeof(line) - (size_t)n,
		    ", %llu %%, %llu s left",
		    (unsigned long long)(bytes / (total / 100 + 1)),
		    (unsigned long long)((total - bytes) / (bytes / ms + 1) /
					 1000));
	if (n < 0 || (size_t)n + 4 > sizeof(line))
		return;
	memcpy(line + n, "\033[K", 3);
	show(line, (size_t)n + 3);
	progress.shown = true;
}

void
progress_update(uint64_t records, uint64_t bytes, uint64_t total)
{
	int64_t now;

	if (!progress.on)
		return;
	now = sys_mono_ns();
	if (now - progress.last_ns < HALF_SECOND)
		return;
	progress.last_ns = now;
	progress_show(records, bytes, total, now - progress.from_ns);
}

void
progress_end(void)
{
	if (progress.shown)
		show("\r\033[K", 4);
	progress.shown = false;
}
