/*
 * Recordings: an answer is two files, HASH.N.head (JSON: status, headers) and
 * HASH.N.body (the bytes, unpacked), where HASH tells the request and N is
 * which of the answers to it. Secret parameters of URLs are taken out, in the
 * name as well as in the body, so that a replay finds its way.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "diag.h"
#include "exits.h"
#include "file.h"
#include "http_impl.h"
#include "json.h"
#include "mem.h"
#include "sha.h"
#include "sys.h"

enum { HEAD_MAX = 1 << 20, NAME_BYTES = 16, COPY = 128 << 10 };

int
replay_start(struct http *h)
{
	if (h->record != NULL && h->replay != NULL) {
		warn_msg("--record", "not together with --replay");
		return RC_USAGE;
	}
	if (h->record != NULL)
		h->record_fd = dir_open(h->record, true, true);
	else if (h->replay != NULL)
		h->record_fd = dir_open(h->replay, false, false);
	else
		return RC_OK;
	return h->record_fd >= 0 ? RC_OK : RC_CANTCREAT;
}

void
replay_close(struct http *h)
{
	if (h->record_fd >= 0)
		close(h->record_fd);
	free(h->names);
}

/* Which request it is, and the how manieth time. */
static void
name(struct flight *f)
{
	struct http *h = f->h;
	struct sha256 *s = sha256_new();
	char *url = url_redacted(f->url, f->r.secret_url);
	unsigned char d[SHA_LEN];
	char hex[SHA_HEX + 1];
	size_t i = 0;

	sha256_add(s, f->method, strlen(f->method));
	sha256_add(s, "\n", 1);
	sha256_add(s, url, strlen(url));
	sha256_add(s, "\n", 1);
	if (f->r.body != NULL)
		sha256_add(s, f->r.body, f->r.body_len);
	sha256_end(s, d);
	sha_hex(d, hex);
	hex[2 * NAME_BYTES] = '\0';
	while (i < h->name_count && strcmp(h->names[i].name, hex) != 0)
		i++;
	if (i == h->name_count) {
		if (i == h->name_cap) {
			h->name_cap = h->name_cap == 0 ? 64 : 2 * h->name_cap;
			h->names = xreallocarray(
			    h->names, h->name_cap, sizeof(*h->names));
		}
		memcpy(h->names[i].name, hex, sizeof(h->names[i].name));
		h->names[i].count = 0;
		h->name_count++;
	}
	free(f->recorded);
	f->recorded = xasprintf("%s.%u", hex, ++h->names[i].count);
	free(url);
}

/* Recording -------------------------------------------------------------- */

static bool
secret_header(const char *text)
{
	static const char *const list[] = {"Set-Cookie", "Authorization",
	    "Proxy-Authorization", "X-Goog-Api-Key", "X-Api-Key", NULL};

	for (size_t i = 0; list[i] != NULL; i++)
		if (strcasecmp(text, list[i]) == 0)
			return true;
	return false;
}

/* Adds bytes without the secrets that begin in the first `upto`; returns how
 * many were taken. */
static size_t
redact(struct buf *out, const char *p, size_t upto, size_t n)
{
	size_t at = 0, from = 0;

	while (at < upto) {
		size_t hidden = diag_secret_at(p + at, n - at);

		if (hidden == 0) {
			at++;
			continue;
		}
		buf_add(out, p + from, at - from);
		buf_str(out, "REDACTED");
		from = at += hidden;
	}
	if (at > from)
		buf_add(out, p + from, at - from);
	return at;
}

static void
member(struct jsonw *w, const char *key, const char *value)
{
	struct buf b = BUF_INIT(HEAD_MAX), shown = BUF_INIT(HEAD_MAX);
	size_t n = strlen(value);

	redact(&shown, value, n, n);
	json_write_clean(&b, buf_cstr(&shown), shown.len);
	buf_release(&shown);
	jsonw_raw(w, key, b.p, b.len);
	buf_release(&b);
}

static void
write_head(const struct flight *f, struct buf *out)
{
	char *url = url_redacted(f->url, f->r.secret_url), *to;
	struct jsonw w, list, one;

	jsonw_begin(&w, out, '{');
	member(&w, "method", f->method);
	member(&w, "url", url);
	jsonw_i64(&w, "status", f->a.status);
	jsonw_open(&w, "headers", &list, '[');
	for (size_t i = 0; i < f->hs.n; i++) {
		const char *key = f->hs.text.p + f->hs.at[i][0];
		const char *value = f->hs.text.p + f->hs.at[i][1];

		if (secret_header(key))
			continue;
		jsonw_open(&list, NULL, &one, '{');
		member(&one, "name", key);
		to = url_redacted(value, false);
		member(&one, "value", to);
		free(to);
		jsonw_end(&one);
	}
	jsonw_end(&list);
	jsonw_end(&w);
	buf_char(out, '\n');
	free(url);
}

/* Takes the values of secret parameters out of URLs in a text. */
struct cleaner {
	char name[24];
	size_t n; /* of the name so far */
	bool in_name, in_value;
};

static bool
ends_value(char c)
{
	return c == '&' || c == '"' || c == '\\' || c == '<' || c == '\'' ||
	       (unsigned char)c <= ' ';
}

static void
clean(struct cleaner *s, struct buf *out, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char c = p[i];

		if (s->in_value) {
			if (!ends_value(c))
				continue;
			s->in_value = false;
		}
		buf_char(out, c);
		if (c == '?' || c == '&') {
			s->in_name = true;
			s->n = 0;
		} else if (!s->in_name) {
			continue;
		} else if (c == '=') {
			s->in_name = false;
			if (url_secret_param(s->name, s->n)) {
				buf_str(out, "REDACTED");
				s->in_value = true;
			}
		} else if (s->n < sizeof(s->name) && !ends_value(c)) {
			s->name[s->n++] = c;
		} else {
			s->in_name = false;
		}
		/* an & may stand as \u0026 */
		if (c == '6' && out->len >= 6 &&
		    memcmp(out->p + out->len - 6, "\\u0026", 6) == 0) {
			s->in_name = true;
			s->n = 0;
		}
	}
}

/* The text without secrets, whose form is known to cleaner and to diag. */
static int
write_clean(struct cleaner *s, struct buf *out, const struct buf *text, int fd)
{
	size_t keep = out->len < 6 ? out->len : 6;

	/* what was written stays in sight: an & in six bytes */
	if (keep > 0)
		memmove(out->p, out->p + out->len - keep, keep);
	out->len = keep;
	clean(s, out, text->p, text->len);
	return out->len > keep
		   ? sys_write_all(fd, out->p + keep, out->len - keep)
		   : 0;
}

static int
write_body(struct flight *f, int fd)
{
	struct cleaner s = {.n = 0};
	struct buf out = BUF_INIT(SIZE_MAX / 2), text = BUF_INIT(SIZE_MAX / 2);
	size_t reach = diag_secret_reach(), have = 0;
	char *block = xmalloc(COPY + reach);
	ssize_t k = 1;
	int rc = 0;

	spool_rewind(f->a.body);
	while (rc == 0 && (k > 0 || have > 0)) {
		size_t taken;

		k = spool_read(f->a.body, block + have, COPY);
		if (k < 0) {
			rc = -1;
			break;
		}
		have += (size_t)k;
		buf_reset(&text);
		/* a secret may go on in the next block */
		taken = redact(&text, block,
		    k == 0         ? have
		    : have > reach ? have - reach
				   : 0,
		    have);
		have -= taken;
		memmove(block, block + taken, have);
		if (text.len > 0)
			rc = write_clean(&s, &out, &text, fd);
	}
	spool_rewind(f->a.body);
	buf_release(&out);
	buf_release(&text);
	free(block);
	return rc;
}

static int
keep_file(struct flight *f, const char *end, const struct buf *head)
{
	char *path = xasprintf("%s.%s", f->recorded, end);
	struct afile a;
	int rc = afile_open_at(&a, f->h->record_fd, path);

	if (rc == RC_OK) {
		int bad = head != NULL ? sys_write_all(a.fd, head->p, head->len)
				       : write_body(f, a.fd);

		if (bad < 0) {
			warn_sys(path, "cannot write");
			afile_drop(&a);
			rc = RC_IO;
		} else {
			rc = afile_commit(&a, 0600);
		}
	}
	free(path);
	return rc;
}

int
record_answer(struct flight *f)
{
	struct buf head = BUF_INIT(HEAD_MAX);
	int rc;

	if (f->h->record == NULL || f->r.unrecorded)
		return RC_OK;
	name(f);
	write_head(f, &head);
	rc = keep_file(f, "body", NULL);
	if (rc == RC_OK)
		rc = keep_file(f, "head", &head);
	buf_release(&head);
	return rc;
}

/* Replaying -------------------------------------------------------------- */

static bool
read_body(struct flight *f)
{
	char *path = xasprintf("%s.body", f->recorded);
	int fd = file_open_state(f->h->record_fd, path, 0);
	ssize_t k = -1;

	free(path);
	spool_reset(f->a.body);
	if (fd >= 0) {
		do
			k = spool_fill(f->a.body, fd, COPY);
		while (k > 0);
		close(fd);
	}
	spool_rewind(f->a.body);
	return k == 0;
}

static void
read_headers(struct flight *f, const struct json_span *list)
{
	struct buf line = BUF_INIT(HEAD_MAX);
	struct json_iter it;
	struct json_span one, v;

	headers_reset(&f->hs);
	if (list->type != JSON_ARRAY)
		return;
	json_iter_init(&it, list);
	while (json_next_element(&it, &one)) {
		if (one.type != JSON_OBJECT)
			continue;
		buf_reset(&line);
		v = json_member(&one, "name");
		if (v.type == JSON_STRING)
			json_decode_buf(&v, &line);
		buf_str(&line, ": ");
		v = json_member(&one, "value");
		if (v.type == JSON_STRING)
			json_decode_buf(&v, &line);
		headers_add(&f->hs, line.p, line.len);
	}
	buf_release(&line);
}

static bool
read_head(struct flight *f)
{
	char *path = xasprintf("%s.head", f->recorded);
	int fd = file_open_state(f->h->record_fd, path, 0);
	char *text = xmalloc(HEAD_MAX);
	struct json_error e;
	struct json_span root, v;
	size_t n = 0;
	ssize_t k = -1;
	int64_t status = 0;

	free(path);
	if (fd >= 0) {
		while (
		    n < HEAD_MAX - JSON_PAD &&
		    (k = sys_read(fd, text + n, HEAD_MAX - JSON_PAD - n)) > 0)
			n += (size_t)k;
		close(fd);
	}
	if (k == 0 && json_check(text, n, true, &e)) {
		root = json_value(text);
		v = json_member(&root, "status");
		json_i64(&v, &status);
		v = json_member(&root, "headers");
		read_headers(f, &v);
	}
	free(text);
	f->a.status = (int)status;
	return status >= 100 && status < 1000;
}

bool
replay_answer(struct flight *f)
{
	name(f);
	return read_head(f) && read_body(f);
}

bool
http_taping(const struct http *h)
{
	return h->record != NULL || h->replay != NULL;
}
