/* Messages: one line on stderr, one write each. */
#include "diag.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sys.h"

enum {
	RAW_MAX = 8192,      /* a message before cleaning */
	LINE_MAX_OUT = 4096, /* one atomic write to a pipe */
	SECRETS_MAX = 32,
	SECRET_MIN = 4, /* anything shorter would blank out plain words */
	SEXTETS_MIN = 5,
	QUOTE_BYTES = 200,
};

struct secret_ref {
	const unsigned char *p;
	size_t len;
};

static const char *tool_name = "weir";
static struct secret_ref secrets[SECRETS_MAX];
static size_t secret_count;
static bool may_begin[256]; /* one of the forms of a secret */

void
diag_init(const char *argv0)
{
	const char *slash;

	sys_start();
	if (argv0 == NULL || *argv0 == '\0')
		return;
	slash = strrchr(argv0, '/');
	tool_name = slash != NULL && slash[1] != '\0' ? slash + 1 : argv0;
}

const char *
diag_tool(void)
{
	return tool_name;
}

static void look_at_beginnings(void);

void
diag_forget(const void *bytes)
{
	for (size_t i = 0; i < secret_count; i++)
		if (secrets[i].p == bytes)
			secrets[i--] = secrets[--secret_count];
	look_at_beginnings();
}

void
diag_secret(const void *bytes, size_t len)
{
	diag_forget(bytes);
	if (len >= SECRET_MIN && secret_count < SECRETS_MAX)
		secrets[secret_count++] = (struct secret_ref){bytes, len};
	look_at_beginnings();
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Length of the text at p that is the secret, each byte plain or as %XX. */
static size_t
match_percent(const struct secret_ref *s, const char *p, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < s->len; i++) {
		if (at < n && (unsigned char)p[at] == s->p[i]) {
			at++;
			continue;
		}
		if (n - at < 3 || p[at] != '%' || hex_value(p[at + 1]) < 0 ||
		    hex_value(p[at + 2]) < 0 ||
		    hex_value(p[at + 1]) * 16 + hex_value(p[at + 2]) != s->p[i])
			return 0;
		at += 3;
	}
	return at;
}

static int
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	return c == '/' || c == '_' ? 63 : -1;
}

/* The six bits of the secret from bit `at`. */
static int
sextet(const struct secret_ref *s, size_t at)
{
	unsigned two = (unsigned)s->p[at / 8] << 8;

	if (at / 8 + 1 < s->len)
		two |= s->p[at / 8 + 1];
	return (int)((two >> (10 - at % 8)) & 63);
}

/* The same for base64, in any of the three alignments a prefix may give. */
static size_t
match_base64(const struct secret_ref *s, const char *p, size_t n)
{
	for (size_t skip = 0; skip <= 4; skip += 2) {
		size_t count = (8 * s->len - skip) / 6, i = 0;

		if (count < SEXTETS_MIN || count > n)
			continue;
		while (
		    i < count && base64_value(p[i]) == sextet(s, skip + 6 * i))
			i++;
		if (i == count)
			return count;
	}
	return 0;
}

static void
look_at_beginnings(void)
{
	memset(may_begin, 0, sizeof(may_begin));
	for (size_t i = 0; i < secret_count; i++) {
		may_begin[secrets[i].p[0]] = true;
		may_begin['%'] = true;
		for (size_t skip = 0; skip <= 4; skip += 2)
			for (int c = 0; c < 128; c++)
				if (base64_value((char)c) ==
				    sextet(&secrets[i], skip))
					may_begin[c] = true;
	}
}

static size_t
match_secret(const char *p, size_t n)
{
	size_t best = 0;

	for (size_t i = 0; i < secret_count; i++) {
		size_t a = match_percent(&secrets[i], p, n);
		size_t b = match_base64(&secrets[i], p, n);

		a = a > b ? a : b;
		best = best > a ? best : a;
	}
	return best;
}

size_t
diag_secret_at(const char *p, size_t n)
{
	return n > 0 && may_begin[(unsigned char)*p] ? match_secret(p, n) : 0;
}

size_t
diag_secret_reach(void)
{
	size_t most = 0;

	for (size_t i = 0; i < secret_count; i++)
		most = most > secrets[i].len ? most : secrets[i].len;
	return 3 * most;
}

/* Length of the UTF-8 sequence at p and its code point; 0: it is none. */
static size_t
utf8_at(const unsigned char *p, size_t n, uint32_t *c)
{
	size_t len = p[0] < 0x80   ? 1
		     : p[0] < 0xC2 ? 0
		     : p[0] < 0xE0 ? 2
		     : p[0] < 0xF0 ? 3
		     : p[0] < 0xF5 ? 4
				   : 0;
	uint32_t v;

	if (len == 0 || len > n)
		return 0;
	v = len == 1 ? p[0] : p[0] & (0x7Fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xC0) != 0x80)
			return 0;
		v = v << 6 | (p[i] & 0x3F);
	}
	if ((len == 3 && v < 0x800) || (len == 4 && v < 0x10000) ||
	    v > 0x10FFFF || (v >= 0xD800 && v < 0xE000))
		return 0;
	*c = v;
	return len;
}

/* C1, line separators and what turns the direction of a line. */
static bool
is_hidden(uint32_t c)
{
	return (c >= 0x80 && c < 0xA0) || c == 0x61C || c == 0x200E ||
	       c == 0x200F || (c >= 0x2028 && c <= 0x202E) ||
	       (c >= 0x2066 && c <= 0x2069) || c == 0xFEFF;
}

/*
 * Cleans len bytes into dst until `limit` bytes were taken or dst (cap bytes,
 * NUL included) is full. Returns the bytes taken. A secret is looked for in
 * the whole text, so that the limit never leaves half of one.
 */
static size_t
clean(char *dst, size_t cap, const char *src, size_t len, size_t limit)
{
	size_t at = 0, to = 0;

	while (at < len && at < limit) {
		const unsigned char *p = (const unsigned char *)src + at;
		size_t hidden = diag_secret_at(src + at, len - at), n;
		uint32_t c = 0;
		char piece[16];
		int w;

		n = hidden > 0 ? hidden : utf8_at(p, len - at, &c);
		if (hidden > 0)
			w = snprintf(piece, sizeof(piece), "[secret]");
		else if (n == 0 || c < 0x20 || c == 0x7F)
			w = snprintf(piece, sizeof(piece), "\\x%02x", p[0]);
		else if (is_hidden(c))
			w = snprintf(
			    piece, sizeof(piece), "\\u{%x}", (unsigned)c);
		else
			w = snprintf(
			    piece, sizeof(piece), "%.*s", (int)n, src + at);
		if (to + (size_t)w >= cap)
			break;
		memcpy(dst + to, piece, (size_t)w);
		to += (size_t)w;
		at += n > 0 ? n : 1;
	}
	dst[to] = '\0';
	return at;
}

char *
diag_quote(char dst[DIAG_QUOTE], const char *text, size_t len)
{
	size_t n, taken;

	taken = clean(dst + 1, DIAG_QUOTE - 5, text, len, QUOTE_BYTES);
	n = strlen(dst + 1);
	dst[0] = '\'';
	snprintf(
	    dst + 1 + n, DIAG_QUOTE - 1 - n, "%s", taken < len ? "...'" : "'");
	return dst;
}

/* A reader of stderr that is gone must not end the run: no SIGPIPE here. */
static void
put_line(const char *line, size_t n)
{
	sigset_t pipe_only, old;
	const struct timespec now = {0, 0};
	ssize_t w;

	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	sigprocmask(SIG_BLOCK, &pipe_only, &old);
	do
		w = write(STDERR_FILENO, line, n);
	while (w < 0 && errno == EINTR);
	if (w < 0 && errno == EPIPE && sigismember(&old, SIGPIPE) == 0)
		while (
		    sigtimedwait(&pipe_only, NULL, &now) < 0 && errno == EINTR)
			;
	sigprocmask(SIG_SETMASK, &old, NULL);
}

__attribute__((format(printf, 2, 0))) static void
say(const char *context, const char *fmt, va_list ap, int error)
{
	char raw[RAW_MAX], line[LINE_MAX_OUT];
	int n, m;
	size_t len;

	n = snprintf(raw, sizeof(raw), "%s: %s%s", tool_name,
	    context != NULL ? context : "", context != NULL ? ": " : "");
	len = n < 0 ? 0 : (size_t)n;
	len = len < sizeof(raw) ? len : sizeof(raw) - 1;
	m = vsnprintf(raw + len, sizeof(raw) - len, fmt, ap);
	len += m < 0 ? 0 : (size_t)m;
	len = len < sizeof(raw) ? len : sizeof(raw) - 1;
	if (error != 0) {
		m = snprintf(
		    raw + len, sizeof(raw) - len, ": %s", strerror(error));
		len += m < 0 ? 0 : (size_t)m;
		len = len < sizeof(raw) ? len : sizeof(raw) - 1;
	}
	clean(line, sizeof(line) - 1, raw, len, LINE_MAX_OUT);
	len = strlen(line);
	line[len] = '\n';
	put_line(line, len + 1);
}

void
warn_msg(const char *context, const char *fmt, ...)
{
	va_list ap;
	int saved = errno;

	va_start(ap, fmt);
	say(context, fmt, ap, 0);
	va_end(ap);
	errno = saved;
}

void
warn_sys(const char *context, const char *fmt, ...)
{
	va_list ap;
	int saved = errno;

	va_start(ap, fmt);
	say(context, fmt, ap, saved);
	va_end(ap);
	errno = saved;
}

void
warn_at(const char *file, uint64_t line, size_t byte, const char *fmt, ...)
{
	char context[RAW_MAX / 2];
	va_list ap;
	int saved = errno;

	if (line == 0)
		snprintf(context, sizeof(context), "%s", file);
	else if (byte == 0)
		snprintf(context, sizeof(context), "%s:%llu", file,
		    (unsigned long long)line);
	else
		snprintf(context, sizeof(context), "%s:%llu:%zu", file,
		    (unsigned long long)line, byte);
	va_start(ap, fmt);
	say(context, fmt, ap, 0);
	va_end(ap);
	errno = saved;
}

void
die(int rc, const char *context, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(context, fmt, ap, 0);
	va_end(ap);
	exit(rc);
}
