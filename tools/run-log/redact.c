/* What may stand in a run record of what a foreign command said. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "json.h"
#include "runlog.h"

extern char **environ;

enum { SECRET_MIN = 6 };

/* Words after which a secret is likely to follow, and forms it may have. */
static const char *const before[] = {"bearer ", "basic ",
    "token=", "token: ", "password=", "password: ", "passwd=", "secret=",
    "secret: ", "key=", "api-key: ", "authorization: "};
static const char *const forms[] = {"sk-", "xoxb-", "xoxp-", "ghp_", "gho_",
    "ya29.", "EAA", "AKIA", "eyJ", "AIza", "-----BEGIN"};

static bool
word_char(char c)
{
	return isalnum((unsigned char)c) || strchr("-_.~+/=%:", c) != NULL;
}

static size_t
word_len(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && p[i] != '\0' && word_char(p[i]))
		i++;
	return i;
}

static bool
starts(const char *p, size_t n, const char *with)
{
	size_t k = strlen(with);

	return n >= k && strncasecmp(p, with, k) == 0;
}

/* The value of an environment variable that is named like a secret. */
static size_t
env_secret(const char *p, size_t n)
{
	static const char *const ends[] = {
	    "TOKEN", "SECRET", "PASSWORD", "_KEY", "CREDENTIAL"};
	size_t best = 0;

	for (char **e = environ; e != NULL && *e != NULL; e++) {
		const char *eq = strchr(*e, '=');
		size_t len = eq == NULL ? 0 : strlen(eq + 1);

		if (len < SECRET_MIN || len > n || len <= best ||
		    memcmp(p, eq + 1, len) != 0)
			continue;
		for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
			size_t k = strlen(ends[i]);

			if ((size_t)(eq - *e) >= k &&
			    memcmp(eq - k, ends[i], k) == 0)
				best = len;
		}
	}
	return best;
}

/* How many bytes at p are a secret that stands there by itself. */
static size_t
secret_here(const char *p, size_t n)
{
	size_t len = env_secret(p, n);

	if (len > 0)
		return len;
	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
		if (n >= strlen(forms[i]) &&
		    memcmp(p, forms[i], strlen(forms[i])) == 0 &&
		    word_len(p, n) >= strlen(forms[i]) + SECRET_MIN)
			return word_len(p, n);
	return 0;
}

static bool
address_char(char c)
{
	return isalnum((unsigned char)c) || (unsigned char)c >= 0x80 ||
	       (c != '\0' && strchr("._%+-", c) != NULL);
}

/* An '@' in a word: takes the name back out of `out` and skips the host. */
static size_t
address_here(struct buf *out, const char *p, size_t n)
{
	size_t host = 0, name = out->len;

	while (1 + host < n && address_char(p[1 + host]))
		host++;
	while (name > 0 && address_char(out->p[name - 1]))
		name--;
	if (host == 0 || name == out->len)
		return 0;
	out->len = name;
	buf_str(out, "[address]");
	return 1 + host;
}

/* Steps over what must not be shown at p; 0: the byte is fine. */
static size_t
redact_at(struct buf *out, const char *text, size_t at, size_t len)
{
	const char *p = text + at;
	size_t n = len - at, k;

	for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
		if (!starts(p, n, before[i]))
			continue;
		k = strlen(before[i]);
		if (word_len(p + k, n - k) < SECRET_MIN)
			continue;
		buf_add(out, p, k);
		buf_str(out, "[secret]");
		return k + word_len(p + k, n - k);
	}
	if ((at == 0 || !isalnum((unsigned char)text[at - 1])) &&
	    (k = secret_here(p, n)) > 0) {
		buf_str(out, "[secret]");
		return k;
	}
	if (*p == '?' && at > 0 && word_char(text[at - 1]) && n > 1 &&
	    memchr(p, '=', n) != NULL && word_char(p[1])) {
		buf_str(out, "?[cut]");
		for (k = 1; k < n && !isspace((unsigned char)p[k]) &&
			    p[k] != '\'' && p[k] != '"';)
			k++;
		return k;
	}
	return *p == '@' ? address_here(out, p, n) : 0;
}

void
redact(struct buf *out, const char *text, size_t len)
{
	struct buf b = BUF_INIT(4 * TAIL_WIDTH + 256);
	size_t n;

	for (size_t at = 0; at < len;) {
		size_t step = redact_at(&b, text, at, len);

		if (step > 0) {
			at += step;
			continue;
		}
		buf_char(&b, (unsigned char)text[at] < 0x20 ? ' ' : text[at]);
		at++;
	}
	/* cut between characters, not within one */
	for (n = b.len < MESSAGE_MAX ? b.len : MESSAGE_MAX;
	     n > 0 && n < b.len && ((unsigned char)b.p[n] & 0xc0) == 0x80;)
		n--;
	buf_add(out, b.p, n);
	buf_release(&b);
}
