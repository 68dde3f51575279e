/*
 * Credentials of the sources: JWT (RS256, ES256 with fixed-width R||S), Google
 * service accounts, authorized users, the metadata server, impersonation, and
 * plain bearer tokens. Tokens stay in memory, are refreshed before they end
 * and once on 401. Keys come from files or descriptors (file.h secrets).
 */
#ifndef WEIR_AUTH_H
#define WEIR_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "file.h"
#include "http.h"

/* base64url without padding. */
void b64url(struct buf *out, const void *p, size_t n);
/* header.payload.signature; key is PEM (PKCS#8). RC_OK or RC_CONFIG, said. */
int jwt_sign(struct buf *out, const char *alg, const char *kid,
    const char *payload, const struct secret *pem);

/*
 * Google, in this order: --credentials FILE, $BQ_SA_JSON (content),
 * $GOOGLE_APPLICATION_CREDENTIALS, $CREDENTIALS_DIRECTORY/google.json, gcloud's
 * well-known file, the metadata server (GCE_METADATA_HOST). impersonate:
 * e-mail of an account, NULL for none. Wrong files are 78, said.
 */
struct google_auth;
int google_auth_open(struct google_auth **g, struct http *h,
    const char *file, const char *scope, const char *impersonate,
    const char *token_url /* NULL: the file's */);
http_sign google_sign;
/* Who we are ("service account x@y"), for --check; never a secret. */
const char *google_auth_who(const struct google_auth *g);
/* The project that the credentials belong to; NULL where they name none. */
const char *google_auth_project(const struct google_auth *g);
void google_auth_close(struct google_auth *g);

/* A bearer token out of a file; for App Store Connect, tokens made anew. */
struct bearer_auth;
int bearer_open(struct bearer_auth **b, const char *file);
http_sign bearer_sign;
const struct secret *bearer_secret(const struct bearer_auth *b);
void bearer_close(struct bearer_auth *b);

struct asc_auth;
int asc_auth_open(struct asc_auth **a, const char *key_file, const char *kid,
    const char *issuer);
http_sign asc_sign;
void asc_auth_close(struct asc_auth *a);

#endif
