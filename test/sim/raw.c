/*
 * raw: a TCP listener that does what it is told, for what no sound server
 * writes. raw [--tls CERT KEY [--tls-old]] [--front PORT] --port-file F --log F
 * SCRIPT
 *
 * The script has sections, divided by lines "--"; each connection takes the
 * next one, and the last one serves all that follow. In a section:
 *	read         a request (head and Content-Length body); logged
 *	send TEXT    these bytes; \r \n \t \\ \0 \xNN
 *	repeat N TEXT
 *	drip MS TEXT a byte at a time
 *	file PATH    the bytes of a file
 *	ok PATH TEXT 200, TEXT as headers, the length, and the bytes of the file
 *	wait MS
 *	reset        RST
 *	echo NAME    the value of that header of the request
 *	loop         from the section's start, on the same connection
 *	pass         the request goes to the front's server, its answer comes
 *
 * With --front PORT it stands before the server at that port of this machine:
 * each request goes there, but for those that a section takes, which then
 * begins with
 *	on N GLOB    the next N requests (0: all) whose "METHOD target" matches;
 *	             GLOB has a * added, the first section that matches counts
 * and is played after the request was read; then the connection ends.
 * The log has a line for each request: milliseconds since the start, the
 * request line; F.full has the requests as they came. Ends with its parent.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "diag.h"
#include "exits.h"
#include "file.h"
#include "mem.h"
#include "sys.h"

enum { REQUEST_MAX = 64 << 20, SECTIONS = 64, BLOCK = 64 << 10 };

struct peer {
	int fd;
	SSL *tls;
	char *request;
	size_t len;
};

static int64_t begun;
static const char *log_path;
static long front; /* port, 0: none */
static char *section[SECTIONS];
static size_t sections;
static atomic_long *used; /* of each section, by all connections */

static bool
put(struct peer *c, const void *p, size_t n)
{
	if (c->tls != NULL)
		return SSL_write(c->tls, p, (int)n) == (int)n;
	return sys_write_all(c->fd, p, n) == 0;
}

static ssize_t
get(struct peer *c, void *p, size_t n)
{
	if (c->tls != NULL)
		return SSL_read(c->tls, p, (int)n);
	return read(c->fd, p, n);
}

static void
append(const char *end, const char *p, size_t n)
{
	char *path = xasprintf("%s%s", log_path, end);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd >= 0) {
		sys_write_all(fd, p, n);
		close(fd);
	}
	free(path);
}

static size_t
unescape(const char *text, char *out)
{
	size_t n = 0;

	for (; *text != '\0'; text++) {
		unsigned v;

		if (*text != '\\' || text[1] == '\0') {
			out[n++] = *text;
			continue;
		}
		switch (*++text) {
		case 'r':
			out[n++] = '\r';
			break;
		case 'n':
			out[n++] = '\n';
			break;
		case 't':
			out[n++] = '\t';
			break;
		case '0':
			out[n++] = '\0';
			break;
		case 'x':
			if (sscanf(text + 1, "%2x", &v) == 1) {
				out[n++] = (char)v;
				text += 2;
			}
			break;
		default:
			out[n++] = *text;
		}
	}
	return n;
}

/* A header's value in the request, or "". */
static const char *
header(struct peer *c, const char *name, char *out, size_t room)
{
	size_t n = strlen(name);

	*out = '\0';
	for (const char *p = c->request; (p = strchr(p, '\n')) != NULL;) {
		p++;
		if (*p == '\r')
			break;
		if (strncasecmp(p, name, n) == 0 && p[n] == ':') {
			p += n + 1;
			p += strspn(p, " ");
			snprintf(out, room, "%.*s", (int)strcspn(p, "\r\n"), p);
			break;
		}
	}
	return out;
}

static bool
read_request(struct peer *c)
{
	char value[64], line[4096];
	const char *end = NULL;
	size_t want = 0;
	int n;

	c->len = 0;
	do {
		ssize_t k =
		    get(c, c->request + c->len, (size_t)REQUEST_MAX - c->len);

		if (k <= 0 || c->len + (size_t)k == REQUEST_MAX)
			return false;
		c->len += (size_t)k;
		c->request[c->len] = '\0';
		if (end == NULL &&
		    (end = strstr(c->request, "\r\n\r\n")) != NULL) {
			header(c, "Content-Length", value, sizeof(value));
			want = (size_t)(end - c->request) + 4 +
			       (size_t)atol(value);
		}
	} while (end == NULL || c->len < want);
	n = snprintf(line, sizeof(line), "%lld %.*s\n",
	    (long long)((sys_mono_ns() - begun) / 1000000),
	    (int)strcspn(c->request, "\r"), c->request);
	append("", line, (size_t)n);
	memcpy(c->request + c->len, "\n====\n", 6); /* in one piece */
	append(".full", c->request, c->len + 6);
	c->request[c->len] = '\0';
	return true;
}

static bool
send_file(struct peer *c, const char *path)
{
	char *block = xmalloc(BLOCK);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t k = -1;
	bool good = fd >= 0;

	while (good && (k = sys_read(fd, block, BLOCK)) > 0)
		good = put(c, block, (size_t)k);
	if (fd >= 0)
		close(fd);
	free(block);
	return good;
}

static bool
send_ok(struct peer *c, const char *arg, char *out)
{
	size_t n = strcspn(arg, " ");
	char *path = xstrndup(arg, n), head[128];
	struct stat st;
	bool good = stat(path, &st) == 0;

	snprintf(head, sizeof(head),
	    "HTTP/1.1 200 OK\r\nContent-Length: %lld\r\n",
	    good ? (long long)st.st_size : 0);
	good = good && put(c, head, strlen(head));
	n = unescape(arg + n + (arg[n] == ' '), out);
	good =
	    good && put(c, out, n) && put(c, "\r\n", 2) && send_file(c, path);
	free(path);
	return good;
}

static void
reset(struct peer *c)
{
	struct linger now = {1, 0};

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

/* The request as it came, for a server that closes after its answer. */
static bool
pass(struct peer *c)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)front),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t line = strcspn(c->request, "\n") + 1;
	char *block = xmalloc(BLOCK);
	ssize_t k = -1;
	bool good = fd >= 0 &&
		    connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
		    sys_write_all(fd, c->request, line) == 0 &&
		    sys_write_all(fd, "Connection: close\r\n", 19) == 0 &&
		    sys_write_all(fd, c->request + line, c->len - line) == 0;

	while (good && (k = sys_read(fd, block, BLOCK)) > 0)
		good = put(c, block, (size_t)k);
	if (k < 0)
		reset(c);
	if (fd >= 0)
		close(fd);
	free(block);
	return false;
}

/* One line; false: the connection is over. */
static bool
step(struct peer *c, const char *line)
{
	const char *arg = line + strcspn(line, " ");
	char *out = xmalloc(strlen(line) + 4096);
	size_t n, len;
	long times = 1;
	bool good = true;

	arg += *arg == ' ';
	if (strncmp(line, "repeat ", 7) == 0 ||
	    strncmp(line, "drip ", 5) == 0) {
		times = atol(arg);
		arg += strcspn(arg, " ");
		arg += *arg == ' ';
	}
	n = unescape(arg, out);
	if (strcmp(line, "read") == 0) {
		good = read_request(c);
	} else if (strncmp(line, "send ", 5) == 0) {
		good = put(c, out, n);
	} else if (strncmp(line, "repeat ", 7) == 0) {
		char *block = xmalloc(BLOCK + n);

		for (len = 0; times > 0 && good;) {
			memcpy(block + len, out, n);
			len += n;
			times--;
			if (len >= BLOCK || times == 0) {
				good = put(c, block, len);
				len = 0;
			}
		}
		free(block);
	} else if (strncmp(line, "drip ", 5) == 0) {
		for (size_t i = 0; i < n && good; i++) {
			good = put(c, out + i, 1);
			usleep((useconds_t)times * 1000);
		}
	} else if (strncmp(line, "echo ", 5) == 0) {
		header(c, arg, out, 4096);
		good = put(c, out, strlen(out));
	} else if (strncmp(line, "file ", 5) == 0) {
		good = send_file(c, arg);
	} else if (strncmp(line, "ok ", 3) == 0) {
		good = send_ok(c, arg, out);
	} else if (strncmp(line, "wait ", 5) == 0) {
		usleep((useconds_t)atol(arg) * 1000);
	} else if (strcmp(line, "pass") == 0) {
		good = pass(c);
	} else if (strcmp(line, "reset") == 0) {
		reset(c);
		good = false;
	}
	free(out);
	return good;
}

static void
serve(struct peer *c, const char *script)
{
	bool loop = true;

	while (loop) {
		char *copy = xstrdup(script), *save = NULL;

		loop = false;
		for (char *l = strtok_r(copy, "\n", &save); l != NULL;
		     l = strtok_r(NULL, "\n", &save)) {
			if (strcmp(l, "loop") == 0)
				loop = true;
			else if (!step(c, l)) {
				loop = false;
				break;
			}
		}
		free(copy);
	}
}

/* What is to be done with this request, NULL: let it pass. */
static const char *
taken(const struct peer *c)
{
	const char *method_end = c->request + strcspn(c->request, " ");
	size_t n = (size_t)(method_end - c->request) + 1;
	char *what = xasprintf(
	    "%.*s", (int)(n + strcspn(method_end + 1, " ")), c->request);
	const char *found = NULL;

	for (size_t i = 0; i < sections && found == NULL; i++) {
		char *end = NULL, *glob;
		long times;

		if (strncmp(section[i], "on ", 3) != 0)
			continue;
		times = strtol(section[i] + 3, &end, 10);
		end += strspn(end, " ");
		glob = xasprintf("%.*s*", (int)strcspn(end, "\n"), end);
		if (fnmatch(glob, what, FNM_NOESCAPE) == 0 &&
		    (times == 0 || atomic_fetch_add(&used[i], 1) < times))
			found = end + strcspn(end, "\n");
		free(glob);
	}
	free(what);
	return found;
}

static void
stand_before(struct peer *c)
{
	const char *script;

	if (!read_request(c))
		return;
	script = taken(c);
	serve(c, script != NULL ? script : "pass");
}

static SSL_CTX *
tls_open(const char *cert, const char *key, bool old)
{
	SSL_CTX *t = SSL_CTX_new(TLS_server_method());

	if (t == NULL || SSL_CTX_use_certificate_chain_file(t, cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(t, key, SSL_FILETYPE_PEM) != 1)
		die(RC_CONFIG, cert, "cannot use");
	if (old) {
		SSL_CTX_set_security_level(t, 0);
		SSL_CTX_set_min_proto_version(t, TLS1_VERSION);
		SSL_CTX_set_max_proto_version(t, TLS1_1_VERSION);
	}
	return t;
}

static void
answer(int fd, SSL_CTX *tls, const char *script)
{
	struct peer c = {fd, NULL, xcalloc(1, REQUEST_MAX + 8), 0};

	if (tls != NULL) {
		c.tls = SSL_new(tls);
		SSL_set_fd(c.tls, fd);
		if (SSL_accept(c.tls) != 1)
			_exit(0);
	}
	if (front != 0)
		stand_before(&c);
	else
		serve(&c, script);
	if (c.tls != NULL)
		SSL_shutdown(c.tls);
	_exit(0);
}

static int
listening(const char *port_file)
{
	struct sockaddr_in a = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), n;
	char text[16];

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) < 0 ||
	    listen(fd, 64) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		die(RC_OSERR, NULL, "cannot listen");
	n = snprintf(text, sizeof(text), "%d\n", ntohs(a.sin_port));
	if (file_replace(port_file, text, (size_t)n, 0600) != RC_OK)
		exit(RC_IO);
	return fd;
}

int
main(int argc, char **argv)
{
	const char *port_file = NULL, *script = NULL, *cert = NULL;
	const char *key = NULL;
	struct buf text = BUF_INIT(64u << 20);
	char *p;
	size_t next = 0;
	bool old = false;
	SSL_CTX *tls = NULL;
	int fd;

	diag_init(argv[0]);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--tls") == 0 && i + 2 < argc) {
			cert = argv[++i];
			key = argv[++i];
		} else if (strcmp(argv[i], "--tls-old") == 0) {
			old = true;
		} else if (strcmp(argv[i], "--front") == 0) {
			front = atol(argv[++i]);
		} else if (strcmp(argv[i], "--port-file") == 0) {
			port_file = argv[++i];
		} else if (strcmp(argv[i], "--log") == 0) {
			log_path = argv[++i];
		} else {
			script = argv[i];
		}
	}
	if (script == NULL || port_file == NULL || log_path == NULL)
		die(RC_USAGE, NULL, "--port-file, --log and a script");
	if (file_read(script, 64u << 20, &text) != RC_OK)
		return RC_TRUNCATED;
	buf_cstr(&text);
	for (p = text.p; p != NULL && sections < SECTIONS;) {
		section[sections++] = p;
		p = strstr(p, "\n--\n");
		if (p != NULL) {
			*p = '\0';
			p += 4;
		}
	}
	used = mmap(NULL, SECTIONS * sizeof(*used), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (used == MAP_FAILED)
		die(RC_OSERR, NULL, "out of memory");
	if (cert != NULL)
		tls = tls_open(cert, key, old);
	begun = sys_mono_ns();
	fd = listening(port_file);
	for (;;) {
		int c = accept(fd, NULL, NULL);
		pid_t child;

		if (c < 0)
			continue;
		child = fork();
		if (child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGTERM);
			close(fd);
			answer(c, tls, section[next]);
		}
		close(c);
		if (next + 1 < sections)
			next++;
	}
}
