/* What the two halves of Google's credentials share: who, and the tokens. */
#ifndef WEIR_AUTH_GOOGLE_H
#define WEIR_AUTH_GOOGLE_H

#include "auth.h"
#include "json.h"

#define TOKEN_URL "https://oauth2.googleapis.com/token"

enum { GOOGLE_TOKEN_MAX = 16 << 10, WHO_MAX = 400 };

enum kind { SERVICE, USER, METADATA };

/* A token and when to ask for the next one. */
struct token {
	char text[GOOGLE_TOKEN_MAX];
	int64_t until; /* monotonic ns; 0: none */
};

struct google_auth {
	struct http *h;
	enum kind kind;
	struct secret key; /* private key, or the refresh token */
	struct secret client_secret;
	char *email, *kid, *client_id, *token_url;
	char *home;    /* project of the service account */
	char *project; /* what a user's requests are billed to */
	char *scope, *impersonate;
	struct token own, other; /* other: of the impersonated account */
	char who[WHO_MAX];
};

/* A member's text, owned by the caller; NULL where there is none. */
char *google_text(const struct json_span *root, const char *name);
/* Asks for what is missing or ends soon, or anew. RC_OK, or said. */
int google_renew(struct google_auth *g, bool refresh);

#endif
