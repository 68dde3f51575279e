/* Google's credentials: where they are looked for, and what is in them. */
#include "auth_google.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "diag.h"
#include "exits.h"
#include "mem.h"
#include "sys.h"

char *
google_text(const struct json_span *root, const char *name)
{
	struct json_span v = json_member(root, name);
	struct buf b = BUF_INIT(1 << 20);
	char *text = NULL;

	if (v.type == JSON_STRING) {
		json_decode_buf(&v, &b);
		if (b.len > 0 && memchr(b.p, '\0', b.len) == NULL)
			text = xstrdup(buf_cstr(&b));
		if (b.p != NULL)
			explicit_bzero(b.p, b.cap);
	}
	buf_release(&b);
	return text;
}

static bool
take_secret(const struct json_span *root, const char *name, struct secret *s)
{
	s->p = google_text(root, name);
	if (s->p == NULL)
		return false;
	s->len = strlen(s->p);
	diag_secret(s->p, s->len);
	return true;
}

static void
drop_secret(struct secret *s)
{
	if (s->p == NULL)
		return;
	diag_forget(s->p);
	explicit_bzero(s->p, s->len);
	free(s->p);
	s->p = NULL;
}

static const char *
service_account(struct google_auth *g, const struct json_span *root)
{
	g->kind = SERVICE;
	g->email = google_text(root, "client_email");
	g->kid = google_text(root, "private_key_id");
	g->home = google_text(root, "project_id");
	if (g->email == NULL)
		return "client_email is missing";
	if (!take_secret(root, "private_key", &g->key))
		return "private_key is missing";
	snprintf(g->who, sizeof(g->who), "service account %.300s", g->email);
	return NULL;
}

static const char *
authorized_user(struct google_auth *g, const struct json_span *root)
{
	g->kind = USER;
	g->client_id = google_text(root, "client_id");
	g->project = google_text(root, "quota_project_id");
	if (g->client_id == NULL)
		return "client_id is missing";
	if (!take_secret(root, "client_secret", &g->client_secret))
		return "client_secret is missing";
	if (!take_secret(root, "refresh_token", &g->key))
		return "refresh_token is missing";
	snprintf(g->who, sizeof(g->who), "authorized user");
	return NULL;
}

/* NULL, or what is wrong with the credentials. */
static const char *
take_credentials(struct google_auth *g, const char *text, size_t n)
{
	struct json_error e;
	struct json_span root;
	const char *wrong;
	char *type;

	if (!json_check(text, n, true, &e))
		return "not JSON";
	root = json_value(text);
	type = google_text(&root, "type");
	if (g->token_url == NULL)
		g->token_url = google_text(&root, "token_uri");
	if (type == NULL)
		wrong = "type is missing: not a file of credentials";
	else if (strcmp(type, "service_account") == 0)
		wrong = service_account(g, &root);
	else if (strcmp(type, "authorized_user") == 0)
		wrong = authorized_user(g, &root);
	else
		wrong = "neither service_account nor authorized_user";
	free(type);
	return wrong;
}

static int
from_file(struct google_auth *g, const char *path)
{
	struct secret s;
	const char *wrong;
	int rc = secret_read_lines(path, &s);

	if (rc != RC_OK)
		return rc;
	wrong = take_credentials(g, s.p, s.len);
	secret_wipe(&s);
	if (wrong == NULL)
		return RC_OK;
	warn_msg(path, "%s", wrong);
	return RC_CONFIG;
}

static int
from_text(struct google_auth *g, const char *name, const char *text)
{
	const char *wrong;

	diag_secret(text, strlen(text));
	sys_guard();
	wrong = take_credentials(g, text, strlen(text));
	if (wrong == NULL)
		return RC_OK;
	warn_msg(name, "%s", wrong);
	return RC_CONFIG;
}

/* A file that may be there; NULL where it is not. */
static char *
found(const char *dir, const char *below)
{
	char *path;

	if (dir == NULL || *dir == '\0')
		return NULL;
	path = xasprintf("%s/%s", dir, below);
	if (access(path, F_OK) == 0)
		return path;
	free(path);
	return NULL;
}

static char *
well_known(void)
{
	static const char name[] = "application_default_credentials.json";
	char *path = found(getenv("CREDENTIALS_DIRECTORY"), "google.json");
	const char *config = getenv("CLOUDSDK_CONFIG");
	char *dir = NULL;

	if (path != NULL)
		return path;
	if (config == NULL && getenv("HOME") != NULL)
		dir = xasprintf("%s/.config/gcloud", getenv("HOME"));
	path = found(config != NULL ? config : dir, name);
	free(dir);
	return path;
}

static int
metadata(struct google_auth *g)
{
	const char *never = getenv("NO_GCE_CHECK");

	if (never != NULL && strcasecmp(never, "true") == 0) {
		warn_msg(NULL,
		    "no Google credentials: give --credentials or set "
		    "GOOGLE_APPLICATION_CREDENTIALS");
		return RC_CONFIG;
	}
	g->kind = METADATA;
	snprintf(g->who, sizeof(g->who), "the machine's service account");
	return RC_OK;
}

static int
look(struct google_auth *g, const char *file)
{
	const char *text = getenv("BQ_SA_JSON");
	const char *named = getenv("GOOGLE_APPLICATION_CREDENTIALS");
	char *path;
	int rc;

	if (file != NULL)
		return from_file(g, file);
	if (text != NULL && *text != '\0')
		return from_text(g, "BQ_SA_JSON", text);
	if (named != NULL && *named != '\0')
		return from_file(g, named);
	path = well_known();
	if (path == NULL)
		return metadata(g);
	rc = from_file(g, path);
	free(path);
	return rc;
}

static int
ready(struct google_auth *g)
{
	size_t n = strlen(g->who);
	struct buf probe = BUF_INIT(1 << 20);
	int rc;

	if (g->token_url == NULL)
		g->token_url = xstrdup(TOKEN_URL);
	if (g->impersonate != NULL)
		snprintf(g->who + n, sizeof(g->who) - n, " as %.90s",
		    g->impersonate);
	if (g->kind == METADATA)
		return RC_OK;
	rc = url_check_base(g->h, "token_uri", g->token_url);
	if (rc == RC_OK && g->kind == SERVICE) /* a wrong key is found now */
		rc = jwt_sign(&probe, "RS256", g->kid, "{}", &g->key);
	buf_release(&probe);
	return rc;
}

int
google_auth_open(struct google_auth **out, struct http *h, const char *file,
    const char *scope, const char *impersonate, const char *token_url)
{
	struct google_auth *g = xcalloc(1, sizeof(*g));
	int rc;

	*out = g;
	g->h = h;
	g->scope = xstrdup(scope);
	if (http_replaying(h)) {
		snprintf(g->who, sizeof(g->who), "a recording");
		return RC_OK;
	}
	if (impersonate != NULL)
		g->impersonate = xstrdup(impersonate);
	if (token_url != NULL)
		g->token_url = xstrdup(token_url);
	rc = look(g, file);
	if (rc == RC_OK)
		rc = ready(g);
	if (rc != RC_OK) {
		google_auth_close(g);
		*out = NULL;
	}
	return rc;
}

const char *
google_auth_who(const struct google_auth *g)
{
	return g->who;
}

const char *
google_auth_project(const struct google_auth *g)
{
	return g->home != NULL ? g->home : g->project;
}

int
google_sign(void *ctx, bool refresh, struct buf *header)
{
	struct google_auth *g = ctx;
	int rc = google_renew(g, refresh);

	if (rc != RC_OK)
		return rc;
	buf_str(header, "Authorization: Bearer ");
	buf_str(header, g->impersonate != NULL ? g->other.text : g->own.text);
	if (g->project != NULL) {
		buf_str(header, "\nX-Goog-User-Project: ");
		buf_str(header, g->project);
	}
	return RC_OK;
}

static void
drop_token(struct token *t)
{
	diag_forget(t->text);
	explicit_bzero(t->text, sizeof(t->text));
}

void
google_auth_close(struct google_auth *g)
{
	const char *text = getenv("BQ_SA_JSON");

	if (g == NULL)
		return;
	if (text != NULL)
		diag_forget(text);
	drop_secret(&g->key);
	drop_secret(&g->client_secret);
	drop_token(&g->own);
	drop_token(&g->other);
	free(g->email);
	free(g->kid);
	free(g->client_id);
	free(g->home);
	free(g->project);
	free(g->token_url);
	free(g->scope);
	free(g->impersonate);
	free(g);
}
