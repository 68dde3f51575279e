/*
 * The stream reader: any bytes, plain or gzip, read at once and in small
 * pieces, must give the same records, partitions and statuses; what it hands
 * out must be what it says. Aborts where not.
 *
 * The first byte says how large the pieces are and whether bad lines go to
 * dead letters, the second how long a line may be.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "diag.h"
#include "exits.h"
#include "part.h"
#include "stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NAME "stream-under-test"

static int piece_fd = -1;
static size_t piece;

/* Short reads at will, and no messages of the reader's. */
ssize_t
read(int fd, void *p, size_t n)
{
	if (fd == piece_fd && piece > 0 && n > piece)
		n = piece;
	return syscall(SYS_read, fd, p, n);
}

ssize_t
write(int fd, const void *p, size_t n)
{
	if (fd == STDERR_FILENO && n > strlen(NAME) &&
	    memcmp(p, NAME, strlen(NAME)) == 0)
		return (ssize_t)n;
	return syscall(SYS_write, fd, p, n);
}

static void
must(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "stream: %s\n", what);
	abort();
}

/* All that the reader said, as text. */
struct trace {
	struct buf text;
	uint64_t in_part; /* records given since the begin */
};

static void
batch(struct trace *t, const struct stream *s)
{
	for (size_t i = 0; i < s->batch.n; i++) {
		const struct record *r = &s->batch.rec[i];
		struct json_error e;

		must(r->text[0] == '{' && r->text[r->len - 1] == '}' &&
			 json_check(r->text, r->len, true, &e),
		    "a record is no object");
		must(r->len <= s->max_line, "a record is too long");
		buf_fmt(&t->text, "%llu ", (unsigned long long)r->line);
		buf_add(&t->text, r->val[0].p, r->val[0].len);
		buf_add(&t->text, r->text, r->len);
		buf_char(&t->text, '\n');
	}
	t->in_part += s->batch.n;
}

static void
end(struct trace *t, const struct stream *s)
{
	struct buf again = BUF_INIT(1u << 26);
	struct part_own own = {{NULL}, {NULL}, BUF_INIT(1u << 26)};
	struct json_span span;
	struct part_end e;
	struct json_error wrong;

	must(s->end.records == t->in_part + s->rejected, "a count is wrong");
	part_end_again(&again, &s->end, s->end.records, s->end.rejected);
	must(json_check(again.p, again.len, true, &wrong), "end is no JSON");
	span = json_value(buf_cstr(&again));
	must(part_parse_end(&own, &span, &e) == NULL &&
		 e.records == s->end.records && e.outcome == s->end.outcome &&
		 e.rejected == s->end.rejected &&
		 strcmp(e.reason, s->end.reason) == 0,
	    "end is not the same again");
	buf_add(&t->text, again.p, again.len);
	buf_char(&t->text, '\n');
	part_release(&own);
	buf_release(&again);
}

static void
begin(struct trace *t, const struct stream *s)
{
	struct buf extra = BUF_INIT(1u << 20), again = BUF_INIT(1u << 26);
	struct json_error wrong;

	buf_str(&extra, ",\"kind\":\"k\",\"date\":1");
	part_begin_again(&again, &s->part, &extra);
	must(json_check(again.p, again.len, true, &wrong), "begin is no JSON");
	buf_add(&t->text, again.p, again.len);
	buf_char(&t->text, '\n');
	t->in_part = 0;
	buf_release(&extra);
	buf_release(&again);
}

static void
run(struct trace *t, int fd, size_t max_line, bool dead_letters)
{
	static char path[64];
	struct json_paths *ps = json_paths_new();
	struct rejects rejects;
	struct stream s;
	enum stream_what what;
	const char *why;

	snprintf(path, sizeof path, "/dev/shm/weir-fuzz.%d", (int)getpid());
	json_paths_add(ps, "a.b", &why);
	stream_init(&s);
	rejects_init(&rejects);
	rejects.path = dead_letters ? path : NULL;
	must(rejects_open(&rejects) == RC_OK, "no dead letters");
	s.paths = ps;
	s.max_line = max_line;
	s.rejects = &rejects;
	must(lseek(fd, 0, SEEK_SET) == 0, "lseek");
	stream_open_fd(&s, fd, "-");
	do {
		what = stream_next(&s);
		buf_fmt(&t->text, "%d ", what == STREAM_BATCH ? 0 : what);
		if (what == STREAM_BATCH)
			batch(t, &s);
		else if (what == STREAM_BEGIN)
			begin(t, &s);
		else if (what == STREAM_END)
			end(t, &s);
	} while (what != STREAM_EOF && what != STREAM_STOP);
	buf_fmt(&t->text, "%d %llu %llu", what == STREAM_STOP ? s.status : 0,
	    (unsigned long long)s.total_records,
	    (unsigned long long)rejects.count);
	rejects_close(&rejects, s.total_records);
	stream_close(&s);
	json_paths_free(ps);
	if (dead_letters)
		unlink(path);
}

/* How records fall into batches depends on the reads and says nothing. */
static void
no_batches(struct buf *b)
{
	size_t to = 0;

	for (size_t i = 0; i < b->len; i++) {
		bool starts = to == 0 || b->p[to - 1] == '\n';

		if (starts && b->len - i >= 2 && memcmp(b->p + i, "0 ", 2) == 0)
			i++;
		else
			b->p[to++] = b->p[i];
	}
	b->len = to;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct trace whole = {BUF_INIT(1u << 28), 0};
	struct trace parts = {BUF_INIT(1u << 28), 0};
	size_t max_line;
	bool dead;

	if (size < 2)
		return 0;
	diag_init(NAME);
	dead = (data[0] & 3) == 3;
	max_line = (size_t)data[1] * 8 + 16;
	piece_fd = memfd_create("stream", 0);
	must(piece_fd >= 0 && syscall(SYS_write, piece_fd, data + 2,
				  size - 2) == (long)(size - 2),
	    "memfd");
	piece = 0;
	run(&whole, piece_fd, max_line, dead);
	piece = (size_t)data[0] / 2 % 64 + 1;
	run(&parts, piece_fd, max_line, dead);
	close(piece_fd);
	piece_fd = -1;
	no_batches(&whole.text);
	no_batches(&parts.text);
	must(whole.text.len == parts.text.len &&
		 memcmp(whole.text.p, parts.text.p, whole.text.len) == 0,
	    "pieces give another result");
	buf_release(&whole.text);
	buf_release(&parts.text);
	return 0;
}
