/*
 * The ledger: lines of JSON, the last one with the checksum of all before it.
 *
 *	{"store":"weir-dedup","version":1,"id":…,"secret":…,"key":…,"day":…}
 *	{"file":"2026-11-20","bytes":320}
 *	{"batch":"B","generation":1,"state":"published",…,"segments":[…]}
 *	{"lines":3,"sum":"…"}
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "diag.h"
#include "exits.h"
#include "file.h"
#include "mem.h"
#include "store.h"
#include "sys.h"

#define LEDGER "store"
#define LEDGER_MAX ((size_t)1 << 30)
#define SUM_HEX 32

static const char *const state_word[] = {
    "published", "replaced", "rolled_back"};

/* ---- generations ---- */

void
gen_release(struct gen *g)
{
	for (size_t i = 0; i < g->nagain; i++)
		free(g->again[i]);
	free(g->again);
	free(g->owners);
	free(g->seg);
	memset(g, 0, sizeof *g);
}

void
gen_own(struct gen *g, const char *batch, uint32_t number)
{
	struct owner *o;

	g->owners = xreallocarray(g->owners, g->nowners + 1, sizeof *g->owners);
	o = &g->owners[g->nowners++];
	memset(o, 0, sizeof *o);
	memcpy(o->batch, batch, strlen(batch));
	o->number = number;
}

bool
gen_owned_by(const struct gen *g, const char *batch)
{
	for (size_t i = 0; i < g->nowners; i++)
		if (strcmp(g->owners[i].batch, batch) == 0)
			return true;
	return false;
}

void
ledger_release(struct ledger *l)
{
	for (size_t i = 0; i < l->ngen; i++)
		gen_release(&l->gen[i]);
	free(l->gen);
	free(l->file);
	free(l->key);
	free(l->day);
	explicit_bzero(l, sizeof *l);
}

struct gen *
ledger_gen(const struct ledger *l, const char *batch, uint32_t n)
{
	for (size_t i = 0; i < l->ngen; i++)
		if (l->gen[i].number == n &&
		    strcmp(l->gen[i].batch, batch) == 0)
			return &l->gen[i];
	return NULL;
}

/* The latest generation of the batch in that state, below a number. */
static struct gen *
latest(const struct ledger *l, const char *batch, enum gen_state state,
    uint32_t below)
{
	struct gen *best = NULL;

	for (size_t i = 0; i < l->ngen; i++) {
		struct gen *g = &l->gen[i];

		if (g->state == state && g->number < below &&
		    (best == NULL || g->number > best->number) &&
		    strcmp(g->batch, batch) == 0)
			best = g;
	}
	return best;
}

struct gen *
ledger_visible(const struct ledger *l, const char *batch)
{
	return latest(l, batch, GEN_PUBLISHED, UINT32_MAX);
}

struct gen *
ledger_before(const struct ledger *l, const char *batch, uint32_t number)
{
	return latest(l, batch, GEN_REPLACED, number);
}

static struct gen *
append_gen(struct ledger *l, const char *batch)
{
	struct gen *g;

	l->gen = xreallocarray(l->gen, l->ngen + 1, sizeof *l->gen);
	g = &l->gen[l->ngen++];
	memset(g, 0, sizeof *g);
	memcpy(g->batch, batch, strlen(batch));
	return g;
}

struct gen *
ledger_add(struct ledger *l, const char *batch)
{
	struct gen *g;
	uint32_t number = 1;

	for (size_t i = 0; i < l->ngen; i++)
		if (strcmp(l->gen[i].batch, batch) == 0 &&
		    l->gen[i].number >= number)
			number = l->gen[i].number + 1;
	g = append_gen(l, batch);
	g->number = number;
	return g;
}

struct day_file *
ledger_file(const struct ledger *l, int32_t day)
{
	for (size_t lo = 0, hi = l->nfile; lo < hi;) {
		size_t mid = (lo + hi) / 2;

		if (l->file[mid].day == day)
			return &l->file[mid];
		if (l->file[mid].day < day)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

struct day_file *
ledger_add_file(struct ledger *l, int32_t day)
{
	size_t at = l->nfile;

	l->file = xreallocarray(l->file, l->nfile + 1, sizeof *l->file);
	for (; at > 0 && l->file[at - 1].day > day; at--)
		l->file[at] = l->file[at - 1];
	l->nfile++;
	l->file[at] = (struct day_file){day, 0};
	return &l->file[at];
}

/* ---- writing ---- */

static void
hex(const void *p, size_t n, char *out)
{
	static const char digit[] = "0123456789abcdef";
	const unsigned char *b = p;

	for (size_t i = 0; i < n; i++) {
		*out++ = digit[b[i] >> 4];
		*out++ = digit[b[i] & 15];
	}
	*out = '\0';
}

static void
sum_text(struct sum sum, char out[SUM_HEX + 1])
{
	snprintf(out, SUM_HEX + 1, "%016" PRIx64 "%016" PRIx64, sum.hi, sum.lo);
}

static struct sum
sum_of(const void *p, size_t n)
{
	XXH128_hash_t h = XXH3_128bits(p, n);

	return (struct sum){h.low64, h.high64};
}

static void
write_head(struct buf *b, const struct ledger *l)
{
	char text[2 * FP_SECRET + 1], floor[FILE_NAME];
	struct jsonw w;

	jsonw_begin(&w, b, '{');
	jsonw_str(&w, "store", "weir-dedup");
	jsonw_u64(&w, "version", STORE_VERSION);
	hex(&l->id, sizeof l->id, text);
	jsonw_str(&w, "id", text);
	hex(l->secret.secret, FP_SECRET, text);
	jsonw_str(&w, "secret", text);
	explicit_bzero(text, sizeof text);
	jsonw_str(&w, "key", l->key);
	jsonw_str(&w, "day", l->day);
	if (l->floor != DAY_ALL) {
		day_text(l->floor, floor);
		jsonw_str(&w, "retained_from", floor);
	}
	jsonw_end(&w);
	buf_char(b, '\n');
}

static void
write_segments(struct jsonw *w, const struct gen *g)
{
	struct jsonw all, one;

	jsonw_open(w, "segments", &all, '[');
	for (size_t i = 0; i < g->nseg; i++) {
		const struct segment *x = &g->seg[i];
		char day[FILE_NAME], sum[SUM_HEX + 1];

		day_text(x->day, day);
		sum_text(x->sum, sum);
		jsonw_open(&all, NULL, &one, '[');
		jsonw_str(&one, NULL, day);
		jsonw_u64(&one, NULL, x->at);
		jsonw_u64(&one, NULL, x->ids);
		jsonw_str(&one, NULL, sum);
		jsonw_end(&one);
	}
	jsonw_end(&all);
}

static void
write_owners(struct jsonw *w, const struct gen *g)
{
	struct jsonw all, one;

	jsonw_open(w, "on_account_of", &all, '[');
	for (size_t i = 0; i < g->nowners; i++) {
		jsonw_open(&all, NULL, &one, '{');
		jsonw_str(&one, "batch", g->owners[i].batch);
		jsonw_u64(&one, "generation", g->owners[i].number);
		jsonw_end(&one);
	}
	jsonw_end(&all);
}

void
gen_write(struct buf *b, const struct gen *g, int flags)
{
	struct jsonw w, again;

	jsonw_begin(&w, b, '{');
	jsonw_str(&w, "batch", g->batch);
	if (g->number > 0) {
		jsonw_u64(&w, "generation", g->number);
		jsonw_str(&w, "state", state_word[g->state]);
	} else {
		jsonw_str(&w, "state", "pending");
	}
	jsonw_u64(&w, "ids", g->ids);
	jsonw_u64(&w, "dropped", g->dropped);
	write_owners(&w, g);
	jsonw_open(&w, "run_again", &again, '[');
	for (size_t i = 0; i < g->nagain; i++)
		jsonw_str(&again, NULL, g->again[i]);
	jsonw_end(&again);
	if ((flags & GEN_SEGMENTS) != 0)
		write_segments(&w, g);
	jsonw_end(&w);
	buf_char(b, '\n');
}

static void
write_all(struct buf *b, const struct ledger *l)
{
	struct jsonw w;
	char day[FILE_NAME], sum[SUM_HEX + 1];

	write_head(b, l);
	for (size_t i = 0; i < l->nfile; i++) {
		day_text(l->file[i].day, day);
		jsonw_begin(&w, b, '{');
		jsonw_str(&w, "file", day);
		jsonw_u64(&w, "bytes", l->file[i].bytes);
		jsonw_end(&w);
		buf_char(b, '\n');
	}
	for (size_t i = 0; i < l->ngen; i++)
		gen_write(b, &l->gen[i], GEN_SEGMENTS);
	sum_text(sum_of(b->p, b->len), sum);
	jsonw_begin(&w, b, '{');
	jsonw_u64(&w, "lines", 1 + l->nfile + l->ngen);
	jsonw_str(&w, "sum", sum);
	jsonw_end(&w);
	buf_char(b, '\n');
}

int
ledger_write(struct store *s)
{
	struct buf b = BUF_INIT(LEDGER_MAX);
	struct afile a;
	int rc = afile_open_at(&a, s->dir, LEDGER);

	if (rc != RC_OK)
		return rc;
	write_all(&b, &s->l);
	if (b.over) {
		warn_msg(LEDGER, "too many batches for one store");
		afile_drop(&a);
		rc = RC_CONTRACT;
	} else if (sys_write_all(a.fd, b.p, b.len) < 0) {
		rc = store_io(s, LEDGER, "cannot write");
		afile_drop(&a);
	} else {
		rc = afile_commit(&a, 0);
	}
	if (b.p != NULL)
		explicit_bzero(b.p, b.len);
	buf_release(&b);
	return rc;
}

/* ---- reading ---- */

static bool
unhex(const struct json_span *v, void *out, size_t n)
{
	unsigned char *b = out;

	if (v->type != JSON_STRING || v->len != 2 * n + 2)
		return false;
	for (size_t i = 0; i < 2 * n; i++) {
		char c = v->p[1 + i];
		int d = c >= '0' && c <= '9'   ? c - '0'
			: c >= 'a' && c <= 'f' ? c - 'a' + 10
					       : -1;
		if (d < 0)
			return false;
		b[i / 2] =
		    (unsigned char)((i & 1) == 0 ? d << 4 : b[i / 2] | d);
	}
	return true;
}

static bool
get_u64(const struct json_span *object, const char *name, uint64_t *v)
{
	struct json_span m = json_member(object, name);
	int64_t i;

	if (m.type != JSON_NUMBER || !json_i64(&m, &i) || i < 0)
		return false;
	*v = (uint64_t)i;
	return true;
}

static bool
get_u32(const struct json_span *object, const char *name, uint32_t *v)
{
	uint64_t wide;

	if (!get_u64(object, name, &wide) || wide > UINT32_MAX - 1)
		return false;
	*v = (uint32_t)wide;
	return true;
}

static char *
get_text(const struct json_span *object, const char *name)
{
	struct json_span m = json_member(object, name);
	char *text;

	if (m.type != JSON_STRING)
		return NULL;
	text = xmalloc(m.len + 1);
	text[json_decode(&m, text)] = '\0';
	return text;
}

static bool
batch_of(const struct json_span *v, char out[BATCH_LEN + 1])
{
	size_t n;

	if (v->type != JSON_STRING || v->len > BATCH_LEN + 2)
		return false;
	n = json_decode(v, out);
	out[n] = '\0';
	return strlen(out) == n && file_name_ok(out);
}

static bool
get_sum(const struct json_span *v, struct sum *sum)
{
	unsigned char b[16];

	if (!unhex(v, b, sizeof b))
		return false;
	sum->lo = sum->hi = 0;
	for (int i = 0; i < 8; i++) {
		sum->hi = sum->hi << 8 | b[i];
		sum->lo = sum->lo << 8 | b[8 + i];
	}
	return true;
}

bool
owners_read(const struct json_span *array, struct gen *g)
{
	struct json_iter it;
	struct json_span v, name;
	char batch[BATCH_LEN + 1];
	uint32_t number;

	if (array->type != JSON_ARRAY)
		return false;
	json_iter_init(&it, array);
	while (json_next_element(&it, &v)) {
		if (v.type != JSON_OBJECT)
			return false;
		name = json_member(&v, "batch");
		if (!batch_of(&name, batch) ||
		    !get_u32(&v, "generation", &number))
			return false;
		gen_own(g, batch, number);
	}
	return true;
}

static bool
again_read(const struct json_span *array, struct gen *g)
{
	struct json_iter it;
	struct json_span v;
	char batch[BATCH_LEN + 1];

	if (array->type != JSON_ARRAY)
		return false;
	json_iter_init(&it, array);
	while (json_next_element(&it, &v)) {
		if (!batch_of(&v, batch))
			return false;
		g->again =
		    xreallocarray(g->again, g->nagain + 1, sizeof *g->again);
		g->again[g->nagain++] = xstrdup(batch);
	}
	return true;
}

static bool
segment_read(const struct json_span *array, struct segment *x)
{
	struct json_iter it;
	struct json_span v[4];
	int64_t at, ids;

	if (array->type != JSON_ARRAY)
		return false;
	json_iter_init(&it, array);
	for (int i = 0; i < 4; i++)
		if (!json_next_element(&it, &v[i]))
			return false;
	if (!day_parse(&v[0], &x->day) || !json_i64(&v[1], &at) || at < 0 ||
	    !json_i64(&v[2], &ids) || ids < 0)
		return false;
	x->at = (uint64_t)at;
	x->ids = (uint64_t)ids;
	return get_sum(&v[3], &x->sum);
}

static bool
segments_read(const struct json_span *array, struct gen *g)
{
	struct json_iter it;
	struct json_span v;
	size_t cap = 0;

	if (array->type != JSON_ARRAY)
		return false;
	json_iter_init(&it, array);
	while (json_next_element(&it, &v)) {
		if (g->nseg == cap) {
			cap = cap == 0 ? 4 : 2 * cap;
			g->seg = xreallocarray(g->seg, cap, sizeof *g->seg);
		}
		if (!segment_read(&v, &g->seg[g->nseg]))
			return false;
		g->nseg++;
	}
	return true;
}

static bool
state_read(const struct json_span *v, enum gen_state *state)
{
	for (int i = 0; i < 3; i++) {
		if (json_is(v, state_word[i], strlen(state_word[i]))) {
			*state = (enum gen_state)i;
			return true;
		}
	}
	return false;
}

static bool
gen_read(const struct json_span *line, struct ledger *l)
{
	struct json_span name = json_member(line, "batch");
	struct json_span state = json_member(line, "state");
	struct json_span own = json_member(line, "on_account_of");
	struct json_span again = json_member(line, "run_again");
	struct json_span seg = json_member(line, "segments");
	char batch[BATCH_LEN + 1];
	struct gen *g;

	if (!batch_of(&name, batch) || state.type != JSON_STRING)
		return false;
	g = append_gen(l, batch);
	return get_u32(line, "generation", &g->number) && g->number > 0 &&
	       state_read(&state, &g->state) && get_u64(line, "ids", &g->ids) &&
	       get_u64(line, "dropped", &g->dropped) && owners_read(&own, g) &&
	       again_read(&again, g) && segments_read(&seg, g);
}

static bool
file_line(const struct json_span *line, struct ledger *l)
{
	struct json_span name = json_member(line, "file");
	int32_t day;

	return day_parse(&name, &day) && ledger_file(l, day) == NULL &&
	       get_u64(line, "bytes", &ledger_add_file(l, day)->bytes);
}

static bool
head_line(const struct json_span *line, struct ledger *l)
{
	struct json_span id = json_member(line, "id");
	struct json_span secret = json_member(line, "secret");
	struct json_span floor = json_member(line, "retained_from");

	l->key = get_text(line, "key");
	l->day = get_text(line, "day");
	l->floor = DAY_ALL;
	return l->key != NULL && l->day != NULL &&
	       unhex(&id, &l->id, sizeof l->id) &&
	       unhex(&secret, l->secret.secret, FP_SECRET) &&
	       (floor.type == JSON_ABSENT || day_parse(&floor, &l->floor));
}

static bool
one_line(struct ledger *l, const struct json_span *line, uint64_t number)
{
	struct json_span batch = json_member(line, "batch");

	if (number == 0)
		return head_line(line, l);
	return batch.type != JSON_ABSENT ? gen_read(line, l)
					 : file_line(line, l);
}

/* NULL, or what is wrong with the text, which is whole lines. */
static const char *
parse_lines(struct ledger *l, const char *p, const char *end, uint64_t *lines)
{
	for (*lines = 0; p < end; ++*lines) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		struct json_error e;
		struct json_span line;

		if (!json_check(p, (size_t)(nl - p), true, &e))
			return "a line is not JSON";
		line = json_value(p);
		if (!one_line(l, &line, *lines))
			return "a line is not what it should be";
		p = nl + 1;
	}
	return NULL;
}

/* The version stands outside of what the checksum of this version means. */
static const char *
check_version(const char *p, size_t n)
{
	const char *nl = n > 0 ? memchr(p, '\n', n) : NULL;
	struct json_error e;
	struct json_span line, name;
	uint64_t version;

	if (nl == NULL || !json_check(p, (size_t)(nl - p), true, &e))
		return n == 0 ? "the file is empty" : "the first line is gone";
	line = json_value(p);
	name = json_member(&line, "store");
	if (name.type != JSON_STRING || !json_is(&name, "weir-dedup", 10))
		return "not a store of ndjson-dedup";
	if (!get_u64(&line, "version", &version))
		return "no version";
	return version > STORE_VERSION ? "" : NULL;
}

static const char *
parse(struct ledger *l, const char *p, size_t n)
{
	const char *tail, *why;
	struct json_error e;
	struct json_span line, text;
	struct sum sum, is;
	uint64_t want, lines;

	if (n < 2 || p[n - 1] != '\n')
		return "the end is gone";
	tail = memrchr(p, '\n', n - 1);
	tail = tail == NULL ? p : tail + 1;
	if (!json_check(tail, n - 1 - (size_t)(tail - p), true, &e))
		return "the last line is not JSON";
	line = json_value(tail);
	text = json_member(&line, "sum");
	if (!get_sum(&text, &sum) || !get_u64(&line, "lines", &want))
		return "the checksum is gone";
	is = sum_of(p, (size_t)(tail - p));
	if (is.lo != sum.lo || is.hi != sum.hi)
		return "the checksum is wrong";
	why = parse_lines(l, p, tail, &lines);
	return why == NULL && lines != want ? "lines are missing" : why;
}

/* Without a ledger there must be nothing else either. */
static int
none(const struct store *s)
{
	int fd = openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;
	int rc = LEDGER_NONE;

	if (d == NULL)
		return store_cannot(s, ".");
	while (rc == LEDGER_NONE && (e = readdir(d)) != NULL)
		if (strncmp(e->d_name, "day-", 4) == 0)
			rc = store_damage(
			    s, LEDGER, "the file is gone, its days are here");
	closedir(d);
	return rc;
}

static int
slurp(const struct store *s, int fd, struct buf *b)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return store_io(s, LEDGER, "cannot read");
	if (st.st_size > (off_t)LEDGER_MAX)
		return store_damage(s, LEDGER, "too long");
	buf_room(b, (size_t)st.st_size + 1);
	for (;;) {
		ssize_t n = sys_read(fd, b->p + b->len, b->cap - b->len);

		if (n < 0)
			return store_io(s, LEDGER, "cannot read");
		if (n == 0)
			return RC_OK;
		b->len += (size_t)n;
		if (b->len == b->cap && !buf_grow(b, 1))
			return store_damage(s, LEDGER, "too long");
	}
}

int
ledger_read(struct store *s)
{
	struct buf b = BUF_INIT(LEDGER_MAX + 1);
	const char *why;
	int rc, fd = file_open_state(s->dir, LEDGER, O_RDONLY);

	if (fd < 0)
		return errno == ENOENT ? none(s) : store_cannot(s, LEDGER);
	ledger_release(&s->l);
	rc = slurp(s, fd, &b);
	close(fd);
	if (rc == RC_OK) {
		why = check_version(b.p, b.len);
		if (why == NULL)
			why = parse(&s->l, b.p, b.len);
		if (why != NULL && *why == '\0') {
			warn_msg(s->path, "made by a newer version of "
					  "ndjson-dedup");
			rc = RC_CONTRACT;
		} else if (why != NULL) {
			rc = store_damage(s, LEDGER, why);
		}
	}
	if (b.p != NULL)
		explicit_bzero(b.p, b.len);
	buf_release(&b);
	return rc;
}
