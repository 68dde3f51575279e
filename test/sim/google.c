/*
 * Google: tokens (service accounts, users, the metadata server,
 * impersonation), the half of BigQuery that reads, and the GA4 Data API.
 *
 * Settings: google_sa=FILE (the key file of the one service account),
 * google_token=TEXT (a bearer token that always works), google_user=TEXT (a
 * refresh token), google_project, google_properties, bq_page_bytes,
 * bq_location, ga4_tokens, ga4_zone, ga4_threshold, ga4_sampled, ga4_other,
 * ga4_empty, ga4_restate (more rows on these days: DATE,DATE).
 *
 * A table is a file of --data, analytics_PROPERTY/TABLE.ndjson: what an
 * extract job of the export writes. It is read anew for each request, so that
 * a file that changed is a table that changed.
 */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "date.h"
#include "exits.h"
#include "file.h"
#include "google.h"
#include "mem.h"
#include "sim.h"

#define BIG (512u << 20)
#define AUD "https://oauth2.googleapis.com/token"
#define SCOPE "https://www.googleapis.com/auth/"

/* ---- error shapes ---- */

void
google_error(struct sim_answer *a, int code, const char *reason,
    const char *status, const char *fmt, ...)
{
	struct jsonw w, e, l, o;
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	buf_reset(&a->body);
	sim_json(a, code);
	jsonw_begin(&w, &a->body, '{');
	jsonw_open(&w, "error", &e, '{');
	jsonw_i64(&e, "code", code);
	jsonw_str(&e, "message", text);
	if (reason != NULL) {
		jsonw_open(&e, "errors", &l, '[');
		jsonw_open(&l, NULL, &o, '{');
		jsonw_str(&o, "message", text);
		jsonw_str(&o, "domain", "global");
		jsonw_str(&o, "reason", reason);
		jsonw_end(&o);
		jsonw_end(&l);
	}
	if (status != NULL)
		jsonw_str(&e, "status", status);
	jsonw_end(&e);
	jsonw_end(&w);
}

static void
oauth_error(struct sim_answer *a, int code, const char *error, const char *text)
{
	struct jsonw w;

	sim_json(a, code);
	jsonw_begin(&w, &a->body, '{');
	jsonw_str(&w, "error", error);
	jsonw_str(&w, "error_description", text);
	jsonw_end(&w);
}

/* ---- tokens ---- */

static struct token {
	struct token *next;
	const char *text, *scope;
	int64_t until;
} * tokens;

static const char *
token_issue(const char *scope, int64_t life)
{
	struct token *t = xcalloc(1, sizeof *t);

	t->text = sim_keep(
	    "ya29.sim-%016llx", (unsigned long long)sim_hash("token %llu",
				    (unsigned long long)sim_count()));
	t->scope = sim_keep("%s", scope);
	t->until = sim_now_s() + life;
	t->next = tokens;
	tokens = t;
	return t->text;
}

static void
token_answer(struct sim_answer *a, const char *scope)
{
	int64_t life = sim_setting_int("google_life", 3599);
	struct jsonw w;

	sim_json(a, 200);
	jsonw_begin(&w, &a->body, '{');
	jsonw_str(&w, "access_token", token_issue(scope, life));
	jsonw_i64(&w, "expires_in", life);
	jsonw_str(&w, "token_type", "Bearer");
	jsonw_end(&w);
}

static bool
has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; *p != '\0';) {
		size_t len = strcspn(p, " ,");

		if (len == n && memcmp(p, word, n) == 0)
			return true;
		p += len + (p[len] != '\0');
	}
	return false;
}

/* Is the call allowed? Else the error is in the answer, in the API's shape. */
bool
google_allowed(
    const struct sim_request *r, struct sim_answer *a, enum google_api api)
{
	const char *h = sim_header(r, "Authorization");
	const char *any = sim_setting("google_token", "");
	bool bq = api == API_BQ || api == API_BQ_WRITE;
	const char *reason = bq ? "authError" : NULL;
	struct token *t = tokens;

	if (h == NULL || strncmp(h, "Bearer ", 7) != 0 || r->expired) {
		google_error(a, 401, reason, "UNAUTHENTICATED",
		    "Request had invalid authentication credentials.");
		return false;
	}
	if (*any != '\0' && strcmp(h + 7, any) == 0)
		return true;
	while (t != NULL && strcmp(t->text, h + 7) != 0)
		t = t->next;
	if (t == NULL || t->until <= sim_now_s()) {
		google_error(a, 401, reason, "UNAUTHENTICATED",
		    "Request had invalid authentication credentials.");
		return false;
	}
	if (api == API_IAM ? has_word(t->scope, SCOPE "cloud-platform")
	    : bq           ? has_word(t->scope, SCOPE "bigquery") ||
		       (api == API_BQ &&
			   has_word(t->scope, SCOPE "bigquery.readonly")) ||
		       has_word(t->scope, SCOPE "cloud-platform")
		 : has_word(t->scope, SCOPE "analytics.readonly"))
		return true;
	google_error(a, 403, bq ? "insufficientPermissions" : NULL,
	    "PERMISSION_DENIED",
	    "Request had insufficient authentication scopes.");
	return false;
}

static size_t
unb64(const char *p, size_t n, unsigned char *out)
{
	unsigned bits = 0, have = 0;
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					  "abcdefghijklmnopqrstuvwxyz"
					  "0123456789-_";
		const char *at = p[i] == '\0' ? NULL : strchr(set, p[i]);

		if (at == NULL)
			return 0;
		bits = bits << 6 | (unsigned)(at - set);
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[len++] = (unsigned char)(bits >> have);
		}
	}
	return len;
}

/* The text member, "" where missing; lasts. */
static const char *
text_of(const struct json_span *o, const char *name)
{
	struct json_span v = json_member(o, name);
	struct buf b = BUF_INIT(1u << 20);
	const char *kept;

	if (v.type == JSON_STRING)
		json_decode_buf(&v, &b);
	kept = sim_keep("%s", buf_cstr(&b));
	buf_release(&b);
	return kept;
}

static bool
load_account(struct buf *file, struct json_span *root)
{
	const char *path = sim_setting("google_sa", NULL);
	struct json_error e;

	if (path == NULL || file_read(path, 1u << 20, file) != RC_OK)
		return false;
	buf_cstr(file);
	if (!json_check(file->p, file->len, true, &e))
		return false;
	*root = json_value(file->p);
	return true;
}

static bool
signature_ok(const char *pem, const char *jwt, size_t signed_len,
    const unsigned char *sig, size_t sig_len)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool ok;

	ok = key != NULL &&
	     EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, key) == 1 &&
	     EVP_DigestVerify(
		 c, sig, sig_len, (const unsigned char *)jwt, signed_len) == 1;
	EVP_MD_CTX_free(c);
	EVP_PKEY_free(key);
	BIO_free(bio);
	return ok;
}

/* NULL, or what is wrong with the assertion. */
static const char *
jwt_wrong(const char *jwt, const char **scope)
{
	const char *dot = strchr(jwt, '.'), *dot2;
	struct buf file = BUF_INIT(1u << 20);
	struct json_span sa, head, claims, v;
	struct json_error e;
	unsigned char *part;
	const char *wrong = NULL, *aud;
	int64_t iat = 0, exp = 0, now = sim_now_s();
	size_t n, n2;

	dot2 = dot == NULL ? NULL : strchr(dot + 1, '.');
	if (dot2 == NULL)
		return "Invalid JWT: not three parts.";
	if (!load_account(&file, &sa)) {
		buf_release(&file);
		return "Invalid grant: account not found";
	}
	part = xcalloc(3, strlen(jwt) + JSON_PAD);
	n = unb64(jwt, (size_t)(dot - jwt), part);
	if (!json_check((char *)part, n, true, &e)) {
		wrong = "Invalid JWT: header.";
		goto done;
	}
	head = json_value((char *)part);
	if (strcmp(text_of(&head, "alg"), "RS256") != 0 ||
	    strcmp(text_of(&head, "typ"), "JWT") != 0 ||
	    strcmp(text_of(&head, "kid"), text_of(&sa, "private_key_id")) !=
		0) {
		wrong = "Invalid JWT: alg, typ or kid.";
		goto done;
	}
	part += n + JSON_PAD;
	n2 = unb64(dot + 1, (size_t)(dot2 - dot - 1), part);
	if (!json_check((char *)part, n2, true, &e)) {
		wrong = "Invalid JWT: claims.";
		part -= n + JSON_PAD;
		goto done;
	}
	claims = json_value((char *)part);
	v = json_member(&claims, "iat");
	if (v.type != JSON_NUMBER || !json_i64(&v, &iat))
		wrong = "Invalid JWT: iat.";
	v = json_member(&claims, "exp");
	if (v.type != JSON_NUMBER || !json_i64(&v, &exp))
		wrong = "Invalid JWT: exp.";
	aud = text_of(&claims, "aud");
	*scope = text_of(&claims, "scope");
	if (wrong == NULL &&
	    (exp <= iat || exp - iat > 3600 || iat > now + 300 || exp < now))
		wrong = "Invalid JWT: Token must be a short-lived token (60 "
			"minutes) and in a reasonable timeframe.";
	else if (strcmp(text_of(&claims, "iss"),
		     text_of(&sa, "client_email")) != 0)
		wrong = "Invalid grant: account not found";
	else if (strcmp(aud, AUD) != 0 &&
		 strcmp(aud, text_of(&sa, "token_uri")) != 0)
		wrong = "Invalid JWT: aud.";
	else if (**scope == '\0')
		wrong = "Invalid OAuth scope.";
	part -= n + JSON_PAD;
	n = unb64(dot2 + 1, strlen(dot2 + 1), part);
	if (wrong == NULL && !signature_ok(text_of(&sa, "private_key"), jwt,
				 (size_t)(dot2 - jwt), part, n))
		wrong = "Invalid JWT Signature.";
done:
	free(part);
	buf_release(&file);
	return wrong;
}

static void
token(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const known[] = {"grant_type", "assertion",
	    "client_id", "client_secret", "refresh_token", NULL};
	const char *grant = sim_form(r, "grant_type"), *wrong, *scope = "";
	const char *jwt = sim_form(r, "assertion");
	const char *user = sim_setting("google_user", "");

	if (grant == NULL || sim_strange_form(r, known) != NULL) {
		oauth_error(a, 400, "invalid_request", "Bad Request");
	} else if (strcmp(grant,
		       "urn:ietf:params:oauth:grant-type:jwt-bearer") == 0) {
		wrong =
		    jwt == NULL ? "Missing assertion" : jwt_wrong(jwt, &scope);
		if (wrong != NULL)
			oauth_error(a, 400, "invalid_grant", wrong);
		else
			token_answer(a, scope);
	} else if (strcmp(grant, "refresh_token") == 0) {
		const char *t = sim_form(r, "refresh_token");

		if (t == NULL || *user == '\0' || strcmp(t, user) != 0 ||
		    sim_form(r, "client_id") == NULL ||
		    sim_form(r, "client_secret") == NULL)
			oauth_error(a, 400, "invalid_grant",
			    "Token has been expired or revoked.");
		else
			token_answer(
			    a, SCOPE "bigquery " SCOPE "analytics.readonly");
	} else {
		oauth_error(a, 400, "unsupported_grant_type", grant);
	}
}

static bool
flavoured(const struct sim_request *r, struct sim_answer *a)
{
	const char *h = sim_header(r, "Metadata-Flavor");

	if (h == NULL || strcmp(h, "Google") != 0) {
		sim_text(a, 403, "text/html", "Forbidden", 9);
		return false;
	}
	sim_add_header(a, "Metadata-Flavor", "Google");
	return true;
}

static void
metadata_token(const struct sim_request *r, struct sim_answer *a)
{
	const char *scopes = sim_param(r, "scopes");

	if (flavoured(r, a))
		token_answer(a, scopes != NULL ? scopes
					       : SCOPE "cloud-platform," SCOPE
						       "analytics.readonly");
}

static void
metadata_email(const struct sim_request *r, struct sim_answer *a)
{
	if (flavoured(r, a))
		sim_text(a, 200, "application/text",
		    "robot@weir-test.iam.gserviceaccount.com", 39);
}

static void
metadata_root(const struct sim_request *r, struct sim_answer *a)
{
	if (flavoured(r, a))
		sim_text(a, 200, "application/text", "v1/\n", 4);
}

/* POST …/serviceAccounts/EMAIL:generateAccessToken */
static void
impersonate(const struct sim_request *r, struct sim_answer *a)
{
	struct json_span body, scope, v;
	struct json_error e;
	struct json_iter it;
	struct buf list = BUF_INIT(4096);
	struct jsonw w;
	char until[TIME_LEN + 1];

	if (!google_allowed(r, a, API_IAM))
		return;
	if (!json_check(r->body, r->body_len, true, &e)) {
		google_error(a, 400, NULL, "INVALID_ARGUMENT", "Invalid JSON");
		return;
	}
	body = json_value(r->body);
	scope = json_member(&body, "scope");
	if (scope.type != JSON_ARRAY ||
	    strstr(r->part[r->parts - 1], ":generateAccessToken") == NULL) {
		google_error(a, 400, NULL, "INVALID_ARGUMENT", "scope");
		return;
	}
	json_iter_init(&it, &scope);
	while (json_next_element(&it, &v)) {
		json_decode_buf(&v, &list);
		buf_char(&list, ' ');
	}
	sim_json(a, 200);
	time_format((sim_now_s() + 3600) * 1000, until);
	jsonw_begin(&w, &a->body, '{');
	jsonw_str(&w, "accessToken", token_issue(buf_cstr(&list), 3600));
	jsonw_str(&w, "expireTime", until);
	jsonw_end(&w);
	buf_release(&list);
}

/* ---- tables out of files ---- */

#define COLS 64

struct col {
	char *name; /* as JSON text, quotes included */
	enum { TEXT, INT, FLOAT, BOOL, RECORD } kind;
	bool repeated;
	struct json_span field; /* of the official schema, where it has one */
	struct col *child; /* COLS of them, or NULL */
	size_t n;
	uint64_t before[COLS]; /* of the children: bit j: i stands before j */
};

struct table {
	struct buf text;   /* rows */
	size_t *row, rows; /* their places; row[rows] is the end */
	struct col root;
	char etag[40];
	uint64_t modified;
};

static const char *const schema_lines[] = {
#include "ga4-schema.inc"
};

static struct json_span
official(void)
{
	static struct buf text;
	struct json_span root;

	if (text.max == 0) {
		buf_init(&text, 1u << 20);
		for (size_t i = 0; i < sizeof schema_lines / sizeof(char *);
		     i++)
			buf_str(&text, schema_lines[i]);
		buf_room(&text, JSON_PAD);
	}
	root = json_value(buf_cstr(&text));
	return root;
}

/* The official field of that name in a list of fields. */
static struct json_span
field_named(const struct json_span *fields, const struct json_span *name)
{
	struct json_span none = {NULL, 0, JSON_ABSENT, 0}, f, v;
	struct json_iter it;

	if (fields->type != JSON_ARRAY)
		return none;
	json_iter_init(&it, fields);
	while (json_next_element(&it, &f)) {
		v = json_member(&f, "name");
		if (v.len == name->len && memcmp(v.p, name->p, v.len) == 0)
			return f;
	}
	return none;
}

static void
set_kind(
    struct col *c, const struct json_span *field, const struct json_span *value)
{
	const char *type = "";
	struct json_span v = *value, first;
	struct json_iter it;

	if (field->type == JSON_OBJECT) {
		type = text_of(field, "type");
		c->repeated = strcmp(text_of(field, "mode"), "REPEATED") == 0;
	} else if (v.type == JSON_ARRAY) {
		c->repeated = true;
		json_iter_init(&it, &v);
		if (json_next_element(&it, &first))
			v = first;
	}
	c->kind = strcmp(type, "INTEGER") == 0                  ? INT
		  : strcmp(type, "FLOAT") == 0                  ? FLOAT
		  : strcmp(type, "BOOLEAN") == 0                ? BOOL
		  : strcmp(type, "RECORD") == 0                 ? RECORD
		  : *type != '\0'                               ? TEXT
		  : v.type == JSON_OBJECT                       ? RECORD
		  : v.type == JSON_NUMBER                       ? FLOAT
		  : v.type == JSON_TRUE || v.type == JSON_FALSE ? BOOL
								: TEXT;
}

static void learn(struct col *c, const struct json_span *fields,
    const struct json_span *object);

static void
learn_value(
    struct col *c, const struct json_span *field, const struct json_span *v)
{
	struct json_span sub = {NULL, 0, JSON_ABSENT, 0}, e;
	struct json_iter it;

	if (c->kind != RECORD)
		return;
	if (field->type == JSON_OBJECT)
		sub = json_member(field, "fields");
	if (v->type == JSON_OBJECT)
		learn(c, &sub, v);
	if (v->type != JSON_ARRAY)
		return;
	json_iter_init(&it, v);
	while (json_next_element(&it, &e)) {
		if (e.type == JSON_OBJECT)
			learn(c, &sub, &e);
	}
}

static void
learn(struct col *c, const struct json_span *fields,
    const struct json_span *object)
{
	struct json_iter it;
	struct json_span k, v, field;
	size_t i, last = COLS;

	if (c->child == NULL)
		c->child = xcalloc(COLS, sizeof *c->child);
	json_iter_init(&it, object);
	while (json_next_member(&it, &k, &v)) {
		for (i = 0; i < c->n; i++) {
			if (strlen(c->child[i].name) == k.len &&
			    memcmp(c->child[i].name, k.p, k.len) == 0)
				break;
		}
		if (i == COLS)
			continue;
		if (i == c->n) {
			c->n++;
			field = field_named(fields, &k);
			c->child[i].name = xstrndup(k.p, k.len);
			c->child[i].field = field;
			set_kind(&c->child[i], &field, &v);
		}
		if (last < COLS)
			c->before[last] |= (uint64_t)1 << i;
		last = i;
		learn_value(&c->child[i], &c->child[i].field, &v);
	}
}

/* In the order the rows have them: each name after those before it. */
static void
order(struct col *c)
{
	struct col *sorted;
	uint64_t gone = 0;

	for (size_t i = 0; i < c->n; i++)
		order(&c->child[i]);
	if (c->n == 0)
		return;
	sorted = xcalloc(COLS, sizeof *sorted);
	for (size_t k = 0; k < c->n; k++) {
		size_t pick = COLS, any = COLS;

		for (size_t i = 0; i < c->n && pick == COLS; i++) {
			bool free_now = true;

			if (gone >> i & 1)
				continue;
			any = any == COLS ? i : any;
			for (size_t j = 0; j < c->n; j++)
				free_now =
				    free_now &&
				    (gone >> j & 1 || !(c->before[j] >> i & 1));
			if (free_now)
				pick = i;
		}
		if (pick == COLS)
			pick = any;
		gone |= (uint64_t)1 << pick;
		sorted[k] = c->child[pick];
	}
	free(c->child);
	c->child = sorted;
}

static void
col_free(struct col *c)
{
	for (size_t i = 0; i < c->n; i++)
		col_free(&c->child[i]);
	free(c->child);
	free(c->name);
}

/* The last table, as long as its file is the same: learning takes time. */
static struct table *last_table;
static char *last_path;

static void
table_free(struct table *t)
{
	if (t == NULL || t == last_table)
		return;
	col_free(&t->root);
	free(t->row);
	buf_release(&t->text);
	free(t);
}

/* More rows of a day that is restated: every tenth again, some time later. */
static void
restate(const char *name, struct buf *text)
{
	static const char at[] = "\"event_timestamp\":\"";
	size_t n = strlen(name), len = text->len, row = 0;
	char date[DATE_LEN + 1];
	int32_t day;

	if (n < 8 || !date_parse_compact(name + n - 8, 8, &day))
		return;
	date_format(day, date);
	if (!sim_restated("ga4_restate", date))
		return;
	for (size_t i = 0; i < len; row++) {
		char *end = memchr(text->p + i, '\n', len - i), *p;
		size_t size =
		    end == NULL ? len - i : (size_t)(end - text->p) + 1 - i;
		size_t to = text->len;

		if (row % 10 == 0 && end != NULL) {
			buf_room(text, size + 1);
			buf_add(text, text->p + i, size);
			p = memmem(text->p + to, size, at, sizeof at - 1);
			if (p != NULL) {
				p += sizeof at - 1;
				p = memchr(
				    p, '"', (size_t)(text->p + text->len - p));
			}
			if (p != NULL) /* its last digit */
				p[-1] = (char)('0' + (p[-1] - '0' + 5) % 10);
		}
		i += size;
	}
	buf_cstr(text);
}

static struct table *
table_load(const char *dataset, const char *name)
{
	struct table *t = xcalloc(1, sizeof *t), *old;
	char *path = xasprintf("%s/%s.ndjson", dataset, name);
	struct json_span fields = official(), row;
	uint64_t h;
	bool ok;

	buf_init(&t->text, BIG);
	ok = sim_data_file(path, &t->text);
	if (ok)
		restate(name, &t->text);
	if (ok && last_table != NULL && strcmp(path, last_path) == 0 &&
	    last_table->text.len == t->text.len &&
	    memcmp(last_table->text.p, t->text.p, t->text.len) == 0) {
		free(path);
		table_free(t);
		return last_table;
	}
	if (!ok) {
		free(path);
		table_free(t);
		return NULL;
	}
	buf_room(&t->text, JSON_PAD + 1);
	buf_cstr(&t->text);
	h = sim_hash("%s %zu", name, t->text.len);
	for (size_t i = 0; i < t->text.len;) {
		char *end = memchr(t->text.p + i, '\n', t->text.len - i);
		size_t n = end == NULL ? t->text.len - i
				       : (size_t)(end - t->text.p) - i;

		if (t->rows % 1024 == 0)
			t->row = xreallocarray(
			    t->row, t->rows + 1025, sizeof *t->row);
		t->row[t->rows++] = i;
		row = json_value(t->text.p + i);
		learn(&t->root, &fields, &row);
		h = sim_hash("%llx %.*s", (unsigned long long)h,
		    n > 480 ? 480 : (int)n, t->text.p + i);
		i += n + 1;
	}
	order(&t->root);
	snprintf(t->etag, sizeof t->etag, "%016llx", (unsigned long long)h);
	t->modified = 1790000000000 + h % 10000000000;
	free(last_path);
	last_path = path;
	old = last_table;
	last_table = t;
	table_free(old);
	return t;
}

bool
export_rows(const char *dataset, const char *table, const char **text,
    size_t *len, const char **etag)
{
	struct table *t = table_load(dataset, table);

	if (t == NULL)
		return false;
	*text = t->text.p;
	*len = t->text.len;
	*etag = t->etag;
	return true;
}

struct json_span
export_fields(void)
{
	return official();
}

/* ---- rows as f and v ---- */

static bool
is_selected(const char *list, const char *path)
{
	size_t n = strlen(path);

	for (const char *p = list; *p != '\0';) {
		size_t len = strcspn(p, ",");

		if ((len <= n && strncmp(p, path, len) == 0 &&
			(path[len] == '\0' || path[len] == '.')) ||
		    (len > n && strncmp(p, path, n) == 0 && p[n] == '.'))
			return true;
		p += len + (p[len] == ',');
	}
	return false;
}

/* Takes what is not selected out of the table's columns. */
static void
prune(struct col *c, const char *list, const char *path)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->n; i++) {
		struct col *k = &c->child[i];
		char *full =
		    xasprintf("%s%s%.*s", path, *path == '\0' ? "" : ".",
			(int)strlen(k->name) - 2, k->name + 1);

		if (is_selected(list, full)) {
			prune(k, list, full);
			c->child[kept++] = *k;
		} else {
			col_free(k);
		}
		free(full);
	}
	c->n = kept;
}

static void put_row(
    struct buf *b, const struct col *c, const struct json_span *object);

static void
put_value(struct buf *b, const struct col *c, const struct json_span *v)
{
	switch (v->type) {
	case JSON_OBJECT:
		put_row(b, c, v);
		break;
	case JSON_STRING:
		buf_add(b, v->p, v->len);
		break;
	case JSON_ABSENT:
	case JSON_NULL:
		buf_str(b, "null");
		break;
	default:
		buf_char(b, '"');
		buf_add(b, v->p, v->len);
		if (c->kind == FLOAT && memchr(v->p, '.', v->len) == NULL &&
		    memchr(v->p, 'e', v->len) == NULL &&
		    memchr(v->p, 'E', v->len) == NULL)
			buf_str(b, ".0");
		buf_char(b, '"');
	}
}

static void
put_cell(struct buf *b, const struct col *c, const struct json_span *v)
{
	struct json_iter it;
	struct json_span e;
	bool first = true;

	buf_str(b, "{\"v\":");
	if (!c->repeated) {
		put_value(b, c, v);
	} else {
		buf_char(b, '[');
		if (v->type == JSON_ARRAY) {
			json_iter_init(&it, v);
			while (json_next_element(&it, &e)) {
				buf_str(b, first ? "{\"v\":" : ",{\"v\":");
				put_value(b, c, &e);
				buf_char(b, '}');
				first = false;
			}
		}
		buf_char(b, ']');
	}
	buf_char(b, '}');
}

static void
put_row(struct buf *b, const struct col *c, const struct json_span *object)
{
	buf_str(b, "{\"f\":[");
	for (size_t i = 0; i < c->n; i++) {
		struct json_iter it;
		struct json_span k, v, found = {NULL, 0, JSON_ABSENT, 0};
		const char *name = c->child[i].name;

		json_iter_init(&it, object);
		while (found.p == NULL && json_next_member(&it, &k, &v)) {
			if (k.len == strlen(name) &&
			    memcmp(k.p, name, k.len) == 0)
				found = v;
		}
		if (i > 0)
			buf_char(b, ',');
		put_cell(b, &c->child[i], &found);
	}
	buf_str(b, "]}");
}

static void
put_schema(struct jsonw *w, const char *member, const struct col *c)
{
	static const char *const types[] = {
	    "STRING", "INTEGER", "FLOAT", "BOOLEAN", "RECORD"};
	struct jsonw l, o;

	jsonw_open(w, member, &l, '[');
	for (size_t i = 0; i < c->n; i++) {
		const struct col *k = &c->child[i];

		jsonw_open(&l, NULL, &o, '{');
		jsonw_raw(&o, "name", k->name, strlen(k->name));
		jsonw_str(&o, "type", types[k->kind]);
		jsonw_str(&o, "mode", k->repeated ? "REPEATED" : "NULLABLE");
		if (k->kind == RECORD)
			put_schema(&o, "fields", k);
		jsonw_end(&o);
	}
	jsonw_end(&l);
}

/* ---- BigQuery ---- */

#define P_PROJECT part[3]
#define P_DATASET part[5]
#define P_TABLE part[7]

const char *
google_project(void)
{
	return sim_setting("google_project", "weir-test");
}

static bool
known_property(const char *id)
{
	return has_word(
	    sim_setting("google_properties", "412345678,398765432,web,app"),
	    id);
}

bool
export_dataset(const char *dataset)
{
	return strncmp(dataset, "analytics_", 10) == 0 &&
	       known_property(dataset + 10);
}

static bool
dataset_ok(const struct sim_request *r, struct sim_answer *a,
    const char *const *params)
{
	const char *odd = sim_strange_param(r, params);

	if (!google_allowed(r, a, API_BQ))
		return false;
	if (odd != NULL) {
		google_error(a, 400, "invalidParameter", "INVALID_ARGUMENT",
		    "Unknown name \"%s\": Cannot bind query parameter.", odd);
		return false;
	}
	if (strcmp(r->P_PROJECT, google_project()) != 0) {
		google_error(a, 403, "accessDenied", "PERMISSION_DENIED",
		    "Access Denied: Project %s: User does not have "
		    "bigquery.datasets.get permission.",
		    r->P_PROJECT);
		return false;
	}
	if (export_dataset(r->P_DATASET))
		return true;
	google_error(a, 404, "notFound", "NOT_FOUND",
	    "Not found: Dataset %s:%s", r->P_PROJECT, r->P_DATASET);
	return false;
}

#define COMMON "prettyPrint", "fields", "alt", "quotaUser"

static void
reference(struct jsonw *w, const char *name, const struct sim_request *r,
    const char *table)
{
	struct jsonw o;

	jsonw_open(w, name, &o, '{');
	jsonw_str(&o, "projectId", r->P_PROJECT);
	jsonw_str(&o, "datasetId", r->P_DATASET);
	if (table != NULL)
		jsonw_str(&o, "tableId", table);
	jsonw_end(&o);
}

void
export_datasets_get(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const params[] = {
	    COMMON, "datasetView", "accessPolicyVersion", NULL};
	struct jsonw w;

	if (!dataset_ok(r, a, params))
		return;
	sim_json(a, 200);
	jsonw_begin(&w, &a->body, '{');
	jsonw_str(&w, "kind", "bigquery#dataset");
	reference(&w, "datasetReference", r, NULL);
	jsonw_str(&w, "location", sim_setting("bq_location", "EU"));
	jsonw_end(&w);
}

/* All days of ten years, asked one by one: few, and in order. */
void
export_tables_list(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const params[] = {
	    COMMON, "maxResults", "pageToken", NULL};
	static const char *const kinds[] = {"", "fresh_", "intraday_"};
	const char *max = sim_param(r, "maxResults");
	const char *token = sim_param(r, "pageToken");
	long limit = max == NULL ? 50 : atol(max), n = 0;
	long skip = token == NULL ? 0 : atol(token);
	struct jsonw w, l, o;

	if (!dataset_ok(r, a, params))
		return;
	sim_json(a, 200);
	jsonw_begin(&w, &a->body, '{');
	jsonw_str(&w, "kind", "bigquery#tableList");
	jsonw_open(&w, "tables", &l, '[');
	for (int32_t d = 17532; d < 21900 && n < skip + limit; d++) {
		for (size_t k = 0; k < 3; k++) {
			struct buf any = BUF_INIT(BIG);
			int y, m, md;
			char *id, *path;

			date_to_civil(d, &y, &m, &md);
			id = xasprintf(
			    "events_%s%04d%02d%02d", kinds[k], y, m, md);
			path = xasprintf("%s/%s.ndjson", r->P_DATASET, id);
			if (sim_data_file(path, &any) && n++ >= skip) {
				jsonw_open(&l, NULL, &o, '{');
				reference(&o, "tableReference", r, id);
				jsonw_end(&o);
			}
			buf_release(&any);
			free(path);
			free(id);
		}
	}
	jsonw_end(&l);
	if (n >= skip + limit)
		jsonw_str(&w, "nextPageToken", sim_keep("%ld", n));
	jsonw_end(&w);
}

static struct table *
table_of(const struct sim_request *r, struct sim_answer *a)
{
	struct table *t = table_load(r->P_DATASET, r->P_TABLE);

	if (t == NULL)
		google_error(a, 404, "notFound", "NOT_FOUND",
		    "Not found: Table %s:%s.%s", r->P_PROJECT, r->P_DATASET,
		    r->P_TABLE);
	return t;
}

void
export_tables_get(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const params[] = {
	    COMMON, "selectedFields", "view", NULL};
	bool live = strncmp(r->P_TABLE, "events_intraday_", 16) == 0;
	struct table *t;
	struct jsonw w, o;

	if (!dataset_ok(r, a, params) || (t = table_of(r, a)) == NULL)
		return;
	sim_json(a, 200);
	jsonw_begin(&w, &a->body, '{');
	jsonw_str(&w, "kind", "bigquery#table");
	jsonw_str(&w, "etag", t->etag);
	jsonw_str(&w, "id",
	    sim_keep("%s:%s.%s", r->P_PROJECT, r->P_DATASET, r->P_TABLE));
	reference(&w, "tableReference", r, r->P_TABLE);
	jsonw_open(&w, "schema", &o, '{');
	put_schema(&o, "fields", &t->root);
	jsonw_end(&o);
	jsonw_str(&w, "numBytes", sim_keep("%zu", t->text.len));
	jsonw_str(&w, "numRows", sim_keep("%zu", live ? 0 : t->rows));
	jsonw_str(&w, "lastModifiedTime",
	    sim_keep("%llu", (unsigned long long)t->modified));
	jsonw_str(&w, "type", "TABLE");
	jsonw_str(&w, "location", sim_setting("bq_location", "EU"));
	if (live) {
		jsonw_open(&w, "streamingBuffer", &o, '{');
		jsonw_str(&o, "estimatedRows", sim_keep("%zu", t->rows));
		jsonw_end(&o);
	}
	jsonw_end(&w);
	table_free(t);
}

static size_t
number(const struct sim_request *r, const char *name, size_t fallback)
{
	const char *v = sim_param(r, name);

	return v == NULL ? fallback : (size_t)strtoull(v, NULL, 10);
}

static void
put_page(const struct sim_request *r, struct sim_answer *a,
    const struct table *t, size_t from)
{
	const char *pretty = sim_param(r, "prettyPrint");
	const char *sep =
	    pretty == NULL || strcmp(pretty, "true") == 0 ? ",\n    " : ",";
	size_t limit = (size_t)sim_setting_int("bq_page_bytes", 10 << 20);
	size_t max = number(r, "maxResults", 100000), i;

	sim_json(a, 200);
	buf_fmt(&a->body,
	    "{\"kind\":\"bigquery#tableDataList\",\"etag\":\"%s\","
	    "\"totalRows\":\"%zu\"",
	    t->etag, t->rows);
	for (i = from; i < t->rows && i - from < max && a->body.len < limit;
	     i++) {
		struct json_span row = json_value(t->text.p + t->row[i]);

		buf_str(&a->body, i == from ? ",\"rows\":[" : sep);
		put_row(&a->body, &t->root, &row);
	}
	if (i > from)
		buf_char(&a->body, ']');
	if (i < t->rows)
		buf_fmt(&a->body, ",\"pageToken\":\"%zu.%s\"", i, t->etag);
	buf_char(&a->body, '}');
}

void
export_tabledata_list(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const params[] = {COMMON, "maxResults", "pageToken",
	    "startIndex", "selectedFields", "formatOptions.useInt64Timestamp",
	    "formatOptions.timestampOutputFormat", NULL};
	const char *token = sim_param(r, "pageToken");
	const char *select = sim_param(r, "selectedFields");
	struct table *t;

	if (!dataset_ok(r, a, params) || (t = table_of(r, a)) == NULL)
		return;
	if (token != NULL &&
	    (sim_param(r, "startIndex") != NULL || strchr(token, '.') == NULL ||
		strcmp(strchr(token, '.') + 1, t->etag) != 0))
		google_error(a, 400, "invalid", "INVALID_ARGUMENT",
		    "Invalid value for pageToken");
	else {
		if (select != NULL) {
			last_table = NULL; /* what is pruned goes away */
			prune(&t->root, select, "");
		}
		put_page(r, a, t,
		    token != NULL ? (size_t)strtoull(token, NULL, 10)
				  : number(r, "startIndex", 0));
	}
	table_free(t);
}

/* ---- GA4 Data API ---- */

static const struct domain {
	const char *name, *values;
} dimensions[] = {
    {"date", ""},
    {"platform", "web,iOS,Android"},
    {"streamId", "4400000000,4400000001,4400000002"},
    {"streamName", "web,ios,android"},
    {"country", "Sweden,Norway,Denmark,Finland,(not set)"},
    {"deviceCategory", "desktop,mobile,tablet"},
    {"operatingSystem", "Android,iOS,Windows,Macintosh"},
    {"appVersion", "2.14.1,2.14.0,(not set)"},
    {"eventName", "page_view,purchase,session_start,sign_up"},
    {"isKeyEvent", "true,false"},
    {"sessionSource", "google,facebook,(direct)"},
    {"sessionMedium", "cpc,organic,(none)"},
    {"sessionSourceMedium", "google / cpc,google / organic"},
    {"sessionCampaignName", "host \"2026\" <b>,(organic),(not set)"},
    {"sessionDefaultChannelGroup",
	"Direct,Organic Search,Paid Search,Paid Social,Unassigned"},
    {"firstUserSource", "google,facebook,(direct)"},
    {"firstUserMedium", "cpc,organic,(none)"},
    {"firstUserCampaignName", "(organic),(not set)"},
    {"firstUserDefaultChannelGroup", "Direct,Organic Search"},
};

static const struct measure {
	const char *name, *type;
} measures[] = {
    {"totalUsers", "TYPE_INTEGER"},
    {"activeUsers", "TYPE_INTEGER"},
    {"newUsers", "TYPE_INTEGER"},
    {"sessions", "TYPE_INTEGER"},
    {"engagedSessions", "TYPE_INTEGER"},
    {"engagementRate", "TYPE_FLOAT"},
    {"eventCount", "TYPE_INTEGER"},
    {"eventsPerSession", "TYPE_FLOAT"},
    {"keyEvents", "TYPE_FLOAT"},
    {"userEngagementDuration", "TYPE_SECONDS"},
    {"screenPageViews", "TYPE_INTEGER"},
    {"totalRevenue", "TYPE_CURRENCY"},
    {"purchaseRevenue", "TYPE_CURRENCY"},
    {"itemRevenue", "TYPE_CURRENCY"},
    {"itemsPurchased", "TYPE_INTEGER"},
    {"totalAdRevenue", "TYPE_CURRENCY"},
    {"publisherAdImpressions", "TYPE_INTEGER"},
    {"publisherAdClicks", "TYPE_INTEGER"},
};

#define N_OF(x) (sizeof(x) / sizeof *(x))

struct report {
	const struct domain *dim[9];
	const struct measure *met[10];
	size_t dims, mets;
	int32_t day;
	int64_t limit, offset;
	size_t order[9], ordered; /* dimensions, the most important first */
	bool quota;
	const char *property;
};

static size_t
count_words(const char *list)
{
	size_t n = 1;

	for (; *list != '\0'; list++)
		n += *list == ',';
	return n;
}

static void
put_word(struct buf *b, const char *list, size_t i)
{
	while (i-- > 0)
		list = strchr(list, ',') + 1;
	json_write_string(b, list, strcspn(list, ","));
}

static bool
names(const struct json_span *list, struct report *r, bool dims,
    struct sim_answer *a)
{
	struct json_iter it;
	struct json_span v;

	if (list->type == JSON_ABSENT)
		return dims;
	if (list->type != JSON_ARRAY)
		return false;
	json_iter_init(&it, list);
	while (json_next_element(&it, &v)) {
		const char *name =
		    v.type == JSON_OBJECT ? text_of(&v, "name") : "";
		size_t i = 0, n = dims ? N_OF(dimensions) : N_OF(measures);

		while (i < n && strcmp(name, dims ? dimensions[i].name
						  : measures[i].name) != 0)
			i++;
		if (i == n) {
			google_error(a, 400, NULL, "INVALID_ARGUMENT",
			    "Field %s is not a valid %s.", name,
			    dims ? "dimension" : "metric");
			return false;
		}
		if (dims ? r->dims == 9 : r->mets == 10) {
			google_error(a, 400, NULL, "INVALID_ARGUMENT",
			    "Too many fields");
			return false;
		}
		if (dims)
			r->dim[r->dims++] = &dimensions[i];
		else
			r->met[r->mets++] = &measures[i];
	}
	return dims || r->mets > 0;
}

static bool
one_day(const struct json_span *ranges, int32_t *day)
{
	struct json_iter it;
	struct json_span range;
	const char *from, *to;

	if (ranges->type != JSON_ARRAY)
		return false;
	json_iter_init(&it, ranges);
	if (!json_next_element(&it, &range) || range.type != JSON_OBJECT)
		return false;
	from = text_of(&range, "startDate");
	to = text_of(&range, "endDate");
	return strcmp(from, to) == 0 && date_parse(from, strlen(from), day);
}

static bool
has_only(const struct json_span *o, const char *a, const char *b)
{
	struct json_iter it;
	struct json_span k, v;

	json_iter_init(&it, o);
	while (json_next_member(&it, &k, &v)) {
		if (!json_is(&k, a, strlen(a)) && !json_is(&k, b, strlen(b)))
			return false;
	}
	return true;
}

/* By dimensions of the report, each once. */
static bool
take_order(struct report *r, const struct json_span *list)
{
	struct json_iter it;
	struct json_span e, d;

	if (list->type == JSON_ABSENT)
		return true;
	if (list->type != JSON_ARRAY)
		return false;
	json_iter_init(&it, list);
	while (json_next_element(&it, &e)) {
		const char *name, *type;
		size_t i = 0;

		if (e.type != JSON_OBJECT || !has_only(&e, "dimension", ""))
			return false;
		d = json_member(&e, "dimension");
		if (d.type != JSON_OBJECT ||
		    !has_only(&d, "dimensionName", "orderType"))
			return false;
		name = text_of(&d, "dimensionName");
		while (i < r->dims && strcmp(r->dim[i]->name, name) != 0)
			i++;
		type = text_of(&d, "orderType");
		if (i == r->dims || r->ordered == 9 ||
		    (strcmp(type, "ALPHANUMERIC") != 0 &&
			strcmp(type, "NUMERIC") != 0))
			return false;
		for (size_t k = 0; k < r->ordered; k++) {
			if (r->order[k] == i)
				return false;
		}
		r->order[r->ordered++] = i;
	}
	return true;
}

static bool
report_read(const struct sim_request *q, struct sim_answer *a, struct report *r)
{
	static const char *const known[] = {"dateRanges", "dimensions",
	    "metrics", "orderBys", "limit", "offset", "keepEmptyRows",
	    "returnPropertyQuota", "currencyCode"};
	struct json_span body, k, v, dims, mets, by;
	struct json_error e;
	struct json_iter it;

	if (!json_check(q->body, q->body_len, true, &e)) {
		google_error(a, 400, NULL, "INVALID_ARGUMENT",
		    "Invalid JSON payload received.");
		return false;
	}
	body = json_value(q->body);
	json_iter_init(&it, &body);
	while (json_next_member(&it, &k, &v)) {
		size_t i = 0;

		while (
		    i < N_OF(known) && !json_is(&k, known[i], strlen(known[i])))
			i++;
		if (i == N_OF(known)) {
			google_error(a, 400, NULL, "INVALID_ARGUMENT",
			    "Invalid JSON payload received. Unknown name %.*s",
			    (int)k.len, k.p);
			return false;
		}
	}
	a->status = 200;
	r->limit = 10000;
	v = json_member(&body, "limit");
	json_i64(&v, &r->limit);
	v = json_member(&body, "offset");
	json_i64(&v, &r->offset);
	v = json_member(&body, "returnPropertyQuota");
	r->quota = v.type == JSON_TRUE;
	dims = json_member(&body, "dimensions");
	mets = json_member(&body, "metrics");
	v = json_member(&body, "dateRanges");
	if (names(&dims, r, true, a) && names(&mets, r, false, a) &&
	    (by = json_member(&body, "orderBys"), take_order(r, &by)) &&
	    r->limit > 0 && r->limit <= 250000 && r->offset >= 0 &&
	    one_day(&v, &r->day))
		return true;
	if (a->status == 200)
		google_error(a, 400, NULL, "INVALID_ARGUMENT",
		    "The request is not one this stand-in knows.");
	return false;
}

static void
put_metric(struct buf *b, const struct report *r, size_t row, size_t i)
{
	uint64_t h = sim_hash(
	    "%s %d %zu %s", r->property, (int)r->day, row, r->met[i]->name);

	if (strcmp(r->met[i]->type, "TYPE_INTEGER") == 0)
		buf_fmt(
		    b, "{\"value\":\"%llu\"}", (unsigned long long)(h % 5000));
	else
		buf_fmt(b, "{\"value\":\"%llu.%02llu\"}",
		    (unsigned long long)(h % 900),
		    (unsigned long long)(h / 1000 % 100));
}

static void
put_report_row(struct buf *b, const struct report *r, size_t row)
{
	size_t left = row;
	int y, m, md;

	buf_str(b, "{\"dimensionValues\":[");
	for (size_t i = 0; i < r->dims; i++) {
		size_t n = count_words(r->dim[i]->values);

		buf_str(b, i > 0 ? ",{\"value\":" : "{\"value\":");
		if (*r->dim[i]->values == '\0') {
			date_to_civil(r->day, &y, &m, &md);
			buf_fmt(b, "\"%04d%02d%02d\"", y, m, md);
		} else {
			put_word(b, r->dim[i]->values, left % n);
			left /= n;
		}
		buf_char(b, '}');
	}
	buf_str(b, "],\"metricValues\":[");
	for (size_t i = 0; i < r->mets; i++) {
		if (i > 0)
			buf_char(b, ',');
		put_metric(b, r, row, i);
	}
	buf_str(b, "]}");
}

/* The word of that rank in the alphabet. */
static size_t
ranked(const char *list, size_t n, size_t rank)
{
	for (size_t i = 0; i < n; i++) {
		struct buf a = BUF_INIT(4096);
		size_t before = 0;

		put_word(&a, list, i);
		for (size_t j = 0; j < n; j++) {
			struct buf b = BUF_INIT(4096);

			put_word(&b, list, j);
			before += strcmp(buf_cstr(&b), buf_cstr(&a)) < 0;
			buf_release(&b);
		}
		buf_release(&a);
		if (before == rank)
			return i;
	}
	return 0;
}

/* Which row stands at that place. What is not ordered lies as it likes, another
 * time for each page: so pages of a report overlap whose order is not total. */
static size_t
row_at(const struct report *r, size_t place)
{
	size_t rest = 1, digit[9] = {0}, row = 0, step = 1;
	bool done[9] = {false};

	for (size_t i = 0; i < r->ordered; i++)
		done[r->order[i]] = true;
	for (size_t i = 0; i < r->dims; i++)
		rest *= done[i] ? 1 : count_words(r->dim[i]->values);
	step = place % rest;
	place /= rest;
	step = (step + (size_t)r->offset) % rest;
	for (size_t i = 0; i < r->dims; i++) {
		size_t n = count_words(r->dim[i]->values);

		if (!done[i]) {
			digit[i] = step % n;
			step /= n;
		}
	}
	for (size_t k = r->ordered; k-- > 0;) {
		size_t i = r->order[k], n = count_words(r->dim[i]->values);

		digit[i] = ranked(r->dim[i]->values, n, place % n);
		place /= n;
	}
	step = 1;
	for (size_t i = 0; i < r->dims; i++) {
		row += digit[i] * step;
		step *= count_words(r->dim[i]->values);
	}
	return row;
}

static int64_t spent;

static void
put_quota(struct buf *b)
{
	static const char *const parts[] = {"tokensPerDay", "tokensPerHour",
	    "concurrentRequests", "serverErrorsPerProjectPerHour",
	    "potentiallyThresholdedRequestsPerHour", "tokensPerProjectPerHour"};
	int64_t tokens_left = sim_setting_int("ga4_tokens", 200000) - spent;

	buf_str(b, ",\"propertyQuota\":{");
	for (size_t i = 0; i < N_OF(parts); i++) {
		bool t = strncmp(parts[i], "tokens", 6) == 0;

		buf_fmt(b, "%s\"%s\":{%s\"remaining\":%lld}", i > 0 ? "," : "",
		    parts[i], t ? "\"consumed\":5," : "",
		    (long long)(t ? tokens_left : 10));
	}
	buf_char(b, '}');
}

static void
put_metadata(struct buf *b)
{
	buf_fmt(b,
	    ",\"metadata\":{\"currencyCode\":\"SEK\",\"timeZone\":\"%s\"",
	    sim_setting("ga4_zone", "Europe/Stockholm"));
	if (sim_setting_int("ga4_other", 0))
		buf_str(b, ",\"dataLossFromOtherRow\":true");
	if (sim_setting_int("ga4_threshold", 0))
		buf_str(b, ",\"subjectToThresholding\":true");
	if (sim_setting_int("ga4_sampled", 0))
		buf_str(b, ",\"samplingMetadatas\":[{\"samplesReadCount\":"
			   "\"500\",\"samplingSpaceSize\":\"1000\"}]");
	buf_char(b, '}');
}

static void
put_report(struct buf *b, const struct report *r)
{
	size_t total = 1, first, last;

	for (size_t i = 0; i < r->dims; i++)
		total *= count_words(r->dim[i]->values);
	if (sim_setting_int("ga4_empty", 0))
		total = 0;
	first = (size_t)r->offset < total ? (size_t)r->offset : total;
	last =
	    total - first > (size_t)r->limit ? first + (size_t)r->limit : total;
	buf_str(b, "{\"dimensionHeaders\":[");
	for (size_t i = 0; i < r->dims; i++)
		buf_fmt(b, "%s{\"name\":\"%s\"}", i > 0 ? "," : "",
		    r->dim[i]->name);
	buf_str(b, "],\"metricHeaders\":[");
	for (size_t i = 0; i < r->mets; i++)
		buf_fmt(b, "%s{\"name\":\"%s\",\"type\":\"%s\"}",
		    i > 0 ? "," : "", r->met[i]->name, r->met[i]->type);
	buf_char(b, ']');
	for (size_t i = first; i < last; i++) {
		buf_str(b, i == first ? ",\"rows\":[" : ",\n  ");
		put_report_row(b, r, row_at(r, i));
	}
	if (last > first)
		buf_char(b, ']');
	if (total > 0)
		buf_fmt(b, ",\"rowCount\":%zu", total);
	put_metadata(b);
	if (r->quota)
		put_quota(b);
	buf_str(b, ",\"kind\":\"analyticsData#runReport\"}");
}

static bool
property_ok(const struct sim_request *q, struct sim_answer *a, const char *id)
{
	if (!google_allowed(q, a, API_DATA))
		return false;
	if (known_property(id))
		return true;
	google_error(a, 403, NULL, "PERMISSION_DENIED",
	    "User does not have sufficient permissions for this property.");
	return false;
}

/* POST /ga4/v1beta/properties/ID:runReport */
static void
run_report(const struct sim_request *q, struct sim_answer *a)
{
	const char *part = q->part[3], *colon = strchr(part, ':');
	const char *type = sim_header(q, "Content-Type");
	struct report r = {.limit = 0};

	if (colon == NULL || strcmp(colon, ":runReport") != 0) {
		google_error(a, 404, NULL, "NOT_FOUND", "Method not found.");
		return;
	}
	r.property = sim_keep("%.*s", (int)(colon - part), part);
	if (!property_ok(q, a, r.property))
		return;
	if (type == NULL || strncmp(type, "application/json", 16) != 0) {
		google_error(a, 400, NULL, "INVALID_ARGUMENT", "Content-Type");
		return;
	}
	if (sim_setting_int("ga4_tokens", 200000) - spent < 5) {
		google_error(a, 429, NULL, "RESOURCE_EXHAUSTED",
		    "Exhausted property tokens per day. These quota tokens "
		    "will return in under 24 hours.");
		return;
	}
	if (!report_read(q, a, &r))
		return;
	spent += 5;
	sim_json(a, 200);
	put_report(&a->body, &r);
}

static void
metadata(const struct sim_request *q, struct sim_answer *a)
{
	struct jsonw w;

	if (!property_ok(q, a, q->part[3]))
		return;
	sim_json(a, 200);
	jsonw_begin(&w, &a->body, '{');
	jsonw_str(&w, "name", sim_keep("properties/%s/metadata", q->part[3]));
	jsonw_end(&w);
}

static void
unknown(const struct sim_request *r, struct sim_answer *a)
{
	(void)r;
	google_error(a, 404, NULL, "NOT_FOUND", "Method not found.");
}

/* ---- the tables of routes ---- */

#define ACCOUNT "/computeMetadata/v1/instance/service-accounts/default/"
static const struct sim_route token_routes[] = {
    {"POST", "/google-token", token}, {NULL, NULL, NULL}};
static const struct sim_route metadata_routes[] = {
    {"GET", ACCOUNT "token", metadata_token},
    {"GET", ACCOUNT "email", metadata_email},
    {"GET", "/computeMetadata/v1", metadata_root}, {NULL, NULL, NULL}};
static const struct sim_route iam_routes[] = {
    {"POST", "/iamcredentials/v1/projects/-/serviceAccounts/?", impersonate},
    {"POST", "/v1/projects/-/serviceAccounts/?", impersonate},
    {NULL, NULL, NULL}};
static const struct sim_route ga4_routes[] = {
    {"POST", "/ga4/v1beta/properties/?", run_report},
    {"GET", "/ga4/v1beta/properties/?/metadata", metadata}, {NULL, NULL, NULL}};

static struct sim_service token_service = {
    .prefix = "/google-token", .routes = token_routes};
static struct sim_service metadata_service = {
    .prefix = "/computeMetadata", .routes = metadata_routes};
static struct sim_service iam_service = {.prefix = "/", .routes = iam_routes};
static struct sim_service ga4_service = {
    .prefix = "/ga4/", .routes = ga4_routes, .unknown = unknown};

SIM_SERVICE(token_service);
SIM_SERVICE(metadata_service);
SIM_SERVICE(iam_service);
SIM_SERVICE(ga4_service);
