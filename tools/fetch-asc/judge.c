/* What the answers of App Store Connect mean. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asc.h"
#include "diag.h"
#include "exits.h"
#include "mem.h"
#include "sha.h"
#include "sys.h"

enum { PACE_MS = 1000, SLOW_MS = 60000, PIECE = 64 << 10 };

void
fetched_init(struct fetched *f, struct asc *asc)
{
	memset(f, 0, sizeof *f);
	f->asc = asc;
	f->plain = spool_new();
	buf_init(&f->header, 2u << 20);
	f->size = -1;
}

void
fetched_release(struct fetched *f)
{
	spool_free(f->plain);
	buf_release(&f->header);
}

/* "user-hour-lim:3600;user-hour-rem:3121;" */
static void
pace(struct asc *c, const struct http_answer *a)
{
	const char *text = http_header(a, "X-Rate-Limit");
	const char *lim = strstr(text, "user-hour-lim:");
	const char *rem = strstr(text, "user-hour-rem:");
	long limit = lim == NULL ? 0 : strtol(lim + 14, NULL, 10);
	long rest = rem == NULL ? 0 : strtol(rem + 14, NULL, 10);

	if (lim != NULL && rem != NULL && limit > 0)
		http_pace(c->http, rest < limit / 10 ? SLOW_MS : PACE_MS);
}

/* The answer's body as lower-case text, as far as it matters. */
static void
words(const struct http_answer *a, char *out, size_t room)
{
	size_t n = 0;
	const char *p = a->body == NULL ? NULL : spool_memory(a->body, &n);

	if (p == NULL)
		n = 0;
	n = n < room - 1 ? n : room - 1;
	for (size_t i = 0; i < n; i++)
		out[i] = (char)(p[i] >= 'A' && p[i] <= 'Z' ? p[i] + 32
				: p[i] == '\0'             ? ' '
							   : p[i]);
	out[n] = '\0';
}

static bool
version_named(struct fetched *f, const char *text)
{
	static const char lead[] = "latest version for this report is ";
	const char *p = strstr(text, lead);
	size_t n;

	if (p == NULL)
		return false;
	p += sizeof lead - 1;
	n = strspn(p, "0123456789_");
	if (n == 0 || n >= sizeof f->latest)
		return false;
	memcpy(f->latest, p, n);
	f->latest[n] = '\0';
	return true;
}

/* When it was fetched, by the server's clock: a replay says the same. */
static void
take_time(struct fetched *f, const struct http_answer *a)
{
	static const char *const month[] = {"Jan", "Feb", "Mar", "Apr", "May",
	    "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	int d, y, h, m, s;
	char name[4];

	time_format(sys_real_ns() / 1000000000 * 1000, f->time);
	if (sscanf(http_header(a, "Date"), "%*3s, %2d %3s %4d %2d:%2d:%2d", &d,
		name, &y, &h, &m, &s) != 6)
		return;
	for (int i = 0; i < 12; i++) {
		int64_t day;

		if (strcmp(month[i], name) != 0 || y < 1970 || y > 9999)
			continue;
		day = date_from_civil(y, i + 1, d);
		time_format(
		    (day * 86400 + h * 3600 + m * 60 + s) * 1000, f->time);
	}
}

static bool
digests(struct fetched *f, const struct http_answer *a, char md5[33])
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	struct sha256 *sha = sha256_new();
	unsigned char sum[SHA_LEN], d[EVP_MAX_MD_SIZE];
	char *p = xmalloc(PIECE);
	unsigned len = 0;
	ssize_t n;

	if (c == NULL || EVP_DigestInit_ex(c, EVP_md5(), NULL) != 1)
		die(RC_INTERNAL, NULL, "no MD5 here");
	spool_rewind(a->body);
	while ((n = spool_read(a->body, p, PIECE)) > 0) {
		sha256_add(sha, p, (size_t)n);
		if (f->md5 != NULL)
			EVP_DigestUpdate(c, p, (size_t)n);
	}
	EVP_DigestFinal_ex(c, d, &len);
	EVP_MD_CTX_free(c);
	sha256_end(sha, sum);
	sha_hex(sum, f->sum);
	free(p);
	for (unsigned i = 0; i < 16; i++)
		snprintf(md5 + 2 * i, 3, "%02x", d[i]);
	return n == 0;
}

static enum verdict
refuse(struct http_judgement *out, enum verdict v, int rc, const char *why)
{
	snprintf(out->why, sizeof out->why, "%s", why);
	out->rc = rc;
	return v;
}

/* A file that came: is it whole, and a report? */
static enum verdict
take_file(
    struct fetched *f, const struct http_answer *a, struct http_judgement *out)
{
	char md5[33], *why = NULL;
	enum verdict v;
	int rc;

	take_time(f, a);
	spool_reset(f->plain);
	buf_reset(&f->header);
	if (f->size >= 0 && spool_size(a->body) != (uint64_t)f->size)
		return refuse(out, HTTP_RETRY, RC_CONTRACT,
		    "the file has another size than its list says");
	if (!digests(f, a, md5))
		return refuse(
		    out, HTTP_CONTRACT, RC_IO, "cannot read it again");
	if (f->md5 != NULL && strcasecmp(md5, f->md5) != 0)
		return refuse(out, HTTP_RETRY, RC_CONTRACT,
		    "the file has another MD5 than its list says");
	rc = unpack(a->body, f->plain, &f->header, f->asc->max_body, &why);
	if (rc == RC_OK && f->header.len > 0 &&
	    strcspn(buf_cstr(&f->header), "\t,") == f->header.len)
		return refuse(out, a->odd == 0 ? HTTP_RETRY : HTTP_CONTRACT,
		    RC_CONTRACT, "the file has no columns");
	if (rc == RC_OK)
		return HTTP_OK;
	v = refuse(
	    out, rc == RC_TRANSIENT ? HTTP_RETRY : HTTP_CONTRACT, rc, why);
	free(why);
	return v;
}

enum verdict
judge_report(void *ctx, const struct http_answer *a, struct http_judgement *out)
{
	struct fetched *f = ctx;
	enum verdict v = http_judge(a, out);
	char text[4096];

	pace(f->asc, a);
	if (a->status == 200)
		return v == HTTP_OK ? take_file(f, a, out) : v;
	words(a, text, sizeof text);
	take_time(f, a);
	if (a->status == 404 && strstr(text, "no sales for the date") != NULL)
		return HTTP_EMPTY;
	if (a->status == 404 && strstr(text, "not available yet") != NULL)
		return HTTP_NOT_READY;
	if (a->status == 410 ||
	    (a->status == 404 && strstr(text, "no longer available") != NULL))
		return HTTP_GONE;
	if (a->status == 400 && version_named(f, text))
		return HTTP_SPLIT;
	return v;
}

enum verdict
judge_json(void *ctx, const struct http_answer *a, struct http_judgement *out)
{
	enum verdict v = http_judge(a, out);
	struct json_error e;
	const char *p;
	size_t n;

	pace(ctx, a);
	if (a->status == 409)
		return HTTP_EXISTS;
	if (v != HTTP_OK)
		return v;
	p = spool_memory(a->body, &n);
	if (p == NULL)
		return refuse(out, HTTP_CONTRACT, 0, "the page is too large");
	if (!json_check(p, n, true, &e))
		return refuse(out, a->odd == 0 ? HTTP_RETRY : HTTP_CONTRACT,
		    RC_CONTRACT, "the answer is not JSON");
	return HTTP_OK;
}

enum verdict
judge_file(void *ctx, const struct http_answer *a, struct http_judgement *out)
{
	struct fetched *f = ctx;
	enum verdict v = http_judge(a, out);

	f->gone_url = a->status == 403 || a->status == 400;
	if (f->gone_url)
		return refuse(out, HTTP_CONTRACT, RC_TRANSIENT,
		    "the address of the file has ended");
	return a->status == 200 && v == HTTP_OK ? take_file(f, a, out) : v;
}
