/* Google's access tokens: asked for by what the credentials are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "auth_google.h"
#include "date.h"
#include "diag.h"
#include "exits.h"
#include "mem.h"
#include "sys.h"

#define CLOUD_SCOPE "https://www.googleapis.com/auth/cloud-platform"
#define IAM_URL "https://iamcredentials.googleapis.com/"

enum {
	LIFE_S = 3600,
	MARGIN_S = 225, /* as Google's own library */
};

/* Only what the token server calls passing is asked again. */
static enum verdict
judge_token(void *ctx, const struct http_answer *a, struct http_judgement *out)
{
	enum verdict v = http_judge(a, out);

	(void)ctx;
	if (strcmp(out->reason, "internal_failure") == 0 ||
	    strcmp(out->reason, "server_error") == 0 ||
	    strcmp(out->reason, "temporarily_unavailable") == 0)
		return HTTP_RETRY;
	return a->status >= 400 && v != HTTP_RETRY && v != HTTP_CONFIG
		   ? HTTP_AUTH
		   : v;
}

static enum verdict
judge_metadata(
    void *ctx, const struct http_answer *a, struct http_judgement *out)
{
	if (a->status == 200 &&
	    strcasecmp(http_header(a, "Metadata-Flavor"), "Google") != 0) {
		snprintf(out->why, sizeof(out->why),
		    "the answer is not one of a metadata server");
		return HTTP_CONFIG;
	}
	return judge_token(ctx, a, out);
}

/* Seconds the token lives: a number, a text of digits, or an instant. */
static int64_t
life(const struct json_span *root)
{
	struct json_span v = json_member(root, "expires_in");
	int64_t s = LIFE_S, us;

	if (json_i64(&v, &s))
		return s;
	v = json_member(root, "expireTime");
	if (v.type == JSON_STRING && v.len > 2 &&
	    time_parse(v.p + 1, v.len - 2, &us))
		s = us / 1000000 - sys_real_ns() / 1000000000;
	return s;
}

static bool
keep_token(struct token *t, const struct http_answer *a, const char *name)
{
	struct json_error e;
	struct json_span root;
	char *text = NULL;
	const char *p;
	size_t n = 0;
	int64_t s;

	p = spool_memory(a->body, &n);
	if (p == NULL || !json_check(p, n, true, &e))
		return false;
	root = json_value(p);
	text = google_text(&root, name);
	if (text == NULL || strlen(text) >= sizeof(t->text) ||
	    strpbrk(text, "\r\n") != NULL) {
		free(text);
		return false;
	}
	n = strlen(text);
	explicit_bzero(t->text, sizeof(t->text));
	memcpy(t->text, text, n + 1);
	explicit_bzero(text, n);
	free(text);
	diag_secret(t->text, n);
	s = life(&root);
	s = s > 2 * MARGIN_S ? s - MARGIN_S : s / 2;
	t->until = sys_mono_ns() + (s > 0 ? s : 1) * INT64_C(1000000000);
	return true;
}

static int
ask(struct google_auth *g, const struct http_request *r, struct token *t,
    const char *member, const char *what)
{
	struct http_answer *a = http_do(g->h, r);
	int rc = a->rc;

	if (a->verdict != HTTP_OK) {
		warn_msg(what, "no token for %s: %s", g->who, a->why);
	} else if (!keep_token(t, a, member)) {
		warn_msg(what, "no token in the answer");
		rc = RC_CONTRACT;
	}
	http_done(g->h, a);
	return rc;
}

static void
form(struct buf *b, const char *name, const char *value)
{
	if (b->len > 0)
		buf_char(b, '&');
	buf_str(b, name);
	buf_char(b, '=');
	url_escape(b, value, strlen(value));
}

static int
service_form(struct google_auth *g, struct buf *body, const char *scope)
{
	struct buf claims = BUF_INIT(64 << 10), jwt = BUF_INIT(64 << 10);
	int64_t now = sys_real_ns() / 1000000000;
	struct jsonw w;
	int rc;

	jsonw_begin(&w, &claims, '{');
	jsonw_str(&w, "iss", g->email);
	jsonw_str(&w, "scope", scope);
	jsonw_str(&w, "aud", TOKEN_URL); /* whatever token_uri says */
	jsonw_i64(&w, "iat", now);
	jsonw_i64(&w, "exp", now + LIFE_S);
	jsonw_end(&w);
	rc = jwt_sign(&jwt, "RS256", g->kid, buf_cstr(&claims), &g->key);
	if (rc == RC_OK) {
		form(body, "grant_type",
		    "urn:ietf:params:oauth:grant-type:jwt-bearer");
		form(body, "assertion", buf_cstr(&jwt));
	}
	buf_release(&claims);
	if (jwt.p != NULL)
		explicit_bzero(jwt.p, jwt.cap);
	buf_release(&jwt);
	return rc;
}

static int
ask_server(struct google_auth *g, const char *scope)
{
	static const char *const headers[] = {
	    "Content-Type: application/x-www-form-urlencoded", NULL};
	struct buf body = BUF_INIT(256 << 10);
	struct http_request r = {.method = "POST",
	    .url = g->token_url,
	    .headers = headers,
	    .no_auth = true,
	    .unrecorded = true,
	    .judge = judge_token};
	int rc = RC_OK;

	if (g->kind == SERVICE) {
		rc = service_form(g, &body, scope);
	} else {
		form(&body, "grant_type", "refresh_token");
		form(&body, "client_id", g->client_id);
		form(&body, "client_secret", g->client_secret.p);
		form(&body, "refresh_token", g->key.p);
	}
	if (rc == RC_OK) {
		const char *at = buf_cstr(&body);

		/* an error body may repeat what it was sent */
		diag_secret(at, body.len);
		if (g->kind == SERVICE)
			diag_secret(strstr(at, "assertion=") + 10,
			    strlen(strstr(at, "assertion=") + 10));
		r.body = at;
		r.body_len = body.len;
		rc = ask(g, &r, &g->own, "access_token", "token server");
		diag_forget(at);
		if (g->kind == SERVICE)
			diag_forget(strstr(at, "assertion=") + 10);
	}
	if (body.p != NULL)
		explicit_bzero(body.p, body.cap);
	buf_release(&body);
	return rc;
}

static int
ask_metadata(struct google_auth *g, const char *scope)
{
	static const char *const headers[] = {"Metadata-Flavor: Google", NULL};
	const char *host = getenv("GCE_METADATA_HOST");
	struct buf url = BUF_INIT(64 << 10), scopes = BUF_INIT(64 << 10);
	struct http_request r = {.method = "GET",
	    .headers = headers,
	    .no_auth = true,
	    .unrecorded = true,
	    .metadata = true,
	    .judge = judge_metadata};
	int rc;

	if (host == NULL || *host == '\0')
		host = "metadata.google.internal";
	buf_fmt(&url,
	    "http://%s/computeMetadata/v1/instance/service-accounts/default/"
	    "token",
	    host);
	for (const char *s = scope; *s != '\0'; s++)
		buf_char(&scopes, *s == ' ' ? ',' : *s);
	url_param(&url, "scopes", buf_cstr(&scopes));
	r.url = buf_cstr(&url);
	rc = ask(g, &r, &g->own, "access_token", "metadata server");
	if (rc == RC_TRANSIENT && getenv("GCE_METADATA_HOST") == NULL) {
		warn_msg(NULL,
		    "no Google credentials: give --credentials or set "
		    "GOOGLE_APPLICATION_CREDENTIALS");
		rc = RC_CONFIG; /* not a machine of Google's */
	}
	buf_release(&url);
	buf_release(&scopes);
	return rc;
}

static int
ask_impersonated(struct google_auth *g)
{
	const char *base =
	    getenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS");
	struct buf url = BUF_INIT(64 << 10), body = BUF_INIT(64 << 10);
	struct buf line = BUF_INIT(2 * GOOGLE_TOKEN_MAX);
	const char *headers[] = {"Content-Type: application/json", NULL, NULL};
	struct http_request r = {.method = "POST",
	    .headers = headers,
	    .no_auth = true,
	    .unrecorded = true,
	    .judge = judge_token};
	struct jsonw w, list;
	int rc;

	if (base == NULL || *base == '\0')
		base = IAM_URL;
	buf_str(&url, base);
	if (url.p[url.len - 1] != '/')
		buf_char(&url, '/');
	buf_str(&url, "v1/projects/-/serviceAccounts/");
	url_escape(&url, g->impersonate, strlen(g->impersonate));
	buf_str(&url, ":generateAccessToken");
	jsonw_begin(&w, &body, '{');
	jsonw_open(&w, "scope", &list, '[');
	for (const char *s = g->scope; *s != '\0';) {
		size_t n = strcspn(s, " ");

		if (n > 0)
			jsonw_strn(&list, NULL, s, n);
		s += n + (s[n] == ' ');
	}
	jsonw_end(&list);
	jsonw_str(&w, "lifetime", "3600s");
	jsonw_end(&w);
	buf_fmt(&line, "Authorization: Bearer %s", g->own.text);
	headers[1] = buf_cstr(&line);
	r.url = buf_cstr(&url);
	r.body = body.p;
	r.body_len = body.len;
	rc = url_check_base(g->h, "iamcredentials", base);
	if (rc == RC_OK)
		rc = ask(g, &r, &g->other, "accessToken", "impersonation");
	explicit_bzero(line.p, line.cap);
	buf_release(&line);
	buf_release(&url);
	buf_release(&body);
	return rc;
}

int
google_renew(struct google_auth *g, bool refresh)
{
	struct token *last = g->impersonate != NULL ? &g->other : &g->own;
	const char *scope = g->impersonate != NULL ? CLOUD_SCOPE : g->scope;
	int64_t now = sys_mono_ns();
	int rc = RC_OK;

	if (!refresh && last->until > now)
		return RC_OK;
	if (refresh || g->own.until <= now) {
		g->own.until = 0;
		rc = g->kind == METADATA ? ask_metadata(g, scope)
					 : ask_server(g, scope);
	}
	if (rc == RC_OK && g->impersonate != NULL) {
		g->other.until = 0;
		rc = ask_impersonated(g);
	}
	return rc;
}
