/*
 * asc_token KEY-FILE: the token of App Store Connect as time goes by. The clock
 * is ours: the program's own clock_gettime stands before the library's.
 * Prints "SECOND NEW|same IAT EXP" for each second of the list.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth.h"
#include "diag.h"
#include "exits.h"

static time_t passed;

int clock_gettime(clockid_t id, struct timespec *t);
int
clock_gettime(clockid_t id, struct timespec *t)
{
	t->tv_sec = passed + (id == CLOCK_REALTIME ? 1795000000 : 5000);
	t->tv_nsec = 0;
	return 0;
}

/* A decimal member of the claims; they are base64url. */
static long long
claim(const char *token, const char *name)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijkl"
				       "mnopqrstuvwxyz0123456789-_";
	char text[4096];
	size_t n = 0;
	unsigned acc = 0, bits = 0;
	const char *p = strchr(token, '.');

	for (p++; *p != '.' && *p != '\0' && n < sizeof text - 1; p++) {
		acc = acc << 6 | (unsigned)(strchr(alphabet, *p) - alphabet);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			text[n++] = (char)(acc >> bits & 0xff);
		}
	}
	text[n] = '\0';
	p = strstr(text, name);
	return p == NULL ? -1 : strtoll(p + strlen(name) + 1, NULL, 10);
}

int
main(int argc, char **argv)
{
	static const time_t when[] = {0, 1, 809, 810, 1619, 1620, 2600};
	struct asc_auth *auth;
	struct buf header = BUF_INIT(65536), last = BUF_INIT(65536);

	diag_init(argv[0]);
	if (argc != 2 ||
	    asc_auth_open(&auth, argv[1], "ABC123DEFG", "57246542") != RC_OK)
		return 1;
	for (size_t i = 0; i < sizeof when / sizeof *when; i++) {
		const char *token;

		passed = when[i];
		buf_reset(&header);
		if (asc_sign(auth, false, &header) != RC_OK)
			return 1;
		token = buf_cstr(&header);
		printf("%lld %s %lld %lld\n", (long long)passed,
		    strcmp(token, buf_cstr(&last)) == 0 ? "same" : "new",
		    claim(token, "iat\"") - 1795000000,
		    claim(token, "exp\"") - 1795000000);
		buf_reset(&last);
		buf_add(&last, header.p, header.len);
	}
	asc_auth_close(auth);
	buf_release(&header);
	buf_release(&last);
	return 0;
}
