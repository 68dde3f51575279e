/*
 * The server: options, requests in and out, the log. What a service answers
 * is in the service's own file.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>
#include <zlib.h>

#include "diag.h"
#include "exits.h"
#include "file.h"
#include "mem.h"
#include "opt.h"
#include "sim.h"
#include "sys.h"

enum {
	OPT_PORT_FILE = OPT_TOOL,
	OPT_DATA,
	OPT_SEED,
	OPT_FAULTS,
	OPT_LOG,
	OPT_SET,
};

static const struct opt options[] = {
    {"port-file", OPT_PORT_FILE, "file", "the port is written there"},
    {"data", OPT_DATA, "dir", "files that services answer with"},
    {"seed", OPT_SEED, "number", "of the data that are made, default 1"},
    {"faults", OPT_FAULTS, "file", "what goes wrong, NDJSON"},
    {"log", OPT_LOG, "file", "one NDJSON line a request"},
    {"set", OPT_SET, "name=value", "a setting of a service"},
    {NULL, 0, NULL, NULL},
};
static const struct opt_set set = {
    "--port-file file [options]",
    {options, NULL},
};

static struct sim {
	const char *port_file, *data, *faults;
	uint64_t seed, count;
	int log;
	char base[64];
	struct sim_service *services;
	const char *settings[64];
	size_t n_settings;
	pthread_mutex_t lock;
} sim = {.log = -1, .seed = 1, .lock = PTHREAD_MUTEX_INITIALIZER};

/* One connection's request on its way. */
struct exchange {
	struct sim_request r;
	struct buf body;
	char *target, *names; /* names: decoded texts */
	struct buf texts;
	struct MHD_Connection *c;
	bool begun;
};

/* ---- what services use ---- */

void
sim_register(struct sim_service *s)
{
	s->next = sim.services;
	sim.services = s;
}

const char *
sim_header(const struct sim_request *r, const char *name)
{
	const struct exchange *x = r->impl;

	return MHD_lookup_connection_value(x->c, MHD_HEADER_KIND, name);
}

static const char *
lookup(const struct sim_param *p, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(p[i].name, name) == 0)
			return p[i].value;
	}
	return NULL;
}

const char *
sim_param(const struct sim_request *r, const char *name)
{
	return lookup(r->param, r->params, name);
}

const char *
sim_form(const struct sim_request *r, const char *name)
{
	return lookup(r->form, r->forms, name);
}

static const char *
strange(const struct sim_param *p, size_t n, const char *const *known)
{
	for (size_t i = 0; i < n; i++) {
		bool found = false;

		for (const char *const *k = known; *k != NULL; k++)
			found = found || strcmp(*k, p[i].name) == 0;
		if (!found || lookup(p, i, p[i].name) != NULL)
			return p[i].name;
	}
	return NULL;
}

const char *
sim_strange_param(const struct sim_request *r, const char *const *known)
{
	return strange(r->param, r->params, known);
}

const char *
sim_strange_form(const struct sim_request *r, const char *const *known)
{
	return strange(r->form, r->forms, known);
}

void
sim_add_header(struct sim_answer *a, const char *name, const char *value)
{
	buf_fmt(&a->headers, "%s: %s\n", name, value);
}

void
sim_text(struct sim_answer *a, int status, const char *type, const char *text,
    size_t len)
{
	a->status = status;
	sim_add_header(a, "Content-Type", type);
	buf_add(&a->body, text, len);
}

void
sim_json(struct sim_answer *a, int status)
{
	a->status = status;
	sim_add_header(a, "Content-Type", "application/json");
}

void
sim_gzip(struct buf *out, const void *p, size_t n)
{
	z_stream z;
	size_t room = n + n / 1000 + 128;

	memset(&z, 0, sizeof z);
	if (n > 0x7fffffff || !buf_room(out, room) ||
	    deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		die(RC_OSERR, NULL, "cannot compress");
	z.next_in = (unsigned char *)(uintptr_t)(n == 0 ? "" : p);
	z.avail_in = (unsigned)n;
	z.next_out = (unsigned char *)out->p + out->len;
	z.avail_out = (unsigned)room;
	if (deflate(&z, Z_FINISH) != Z_STREAM_END)
		die(RC_INTERNAL, NULL, "cannot compress");
	out->len += room - z.avail_out;
	deflateEnd(&z);
}

const char *
sim_setting(const char *name, const char *fallback)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < sim.n_settings; i++) {
		if (strncmp(sim.settings[i], name, n) == 0 &&
		    sim.settings[i][n] == '=')
			return sim.settings[i] + n + 1;
	}
	return fallback;
}

int64_t
sim_setting_int(const char *name, int64_t fallback)
{
	const char *v = sim_setting(name, NULL);

	return v == NULL ? fallback : strtoll(v, NULL, 10);
}

bool
sim_restated(const char *setting, const char *date)
{
	const char *list = sim_setting(setting, "");

	return strlen(date) == 10 && strstr(list, date) != NULL;
}

bool
sim_data_file(const char *path, struct buf *out)
{
	char *name;
	bool ok;

	if (sim.data == NULL || strstr(path, "..") != NULL)
		return false;
	name = xasprintf("%s/%s", sim.data, path);
	ok = access(name, R_OK) == 0 &&
	     file_read(name, 512u << 20, out) == RC_OK;
	free(name);
	return ok;
}

const char *
sim_base(void)
{
	return sim.base;
}

const char *
sim_base_of(const struct sim_request *r)
{
	const char *host = sim_header(r, "Host");

	return host != NULL && strncmp(host, "127.0.0.1:", 10) == 0
		   ? sim_keep("http://%s", host)
		   : sim.base;
}

uint64_t
sim_hash(const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof text)
		n = sizeof text - 1;
	return XXH3_64bits_withSeed(text, (size_t)n, sim.seed);
}

int64_t
sim_now_s(void)
{
	return sys_real_ns() / 1000000000 + sim_setting_int("now_offset", 0);
}

uint64_t
sim_count(void)
{
	return sim.count;
}

/* Kept on a list, so that the leak checker sees them. */
const char *
sim_keep(const char *fmt, ...)
{
	static struct kept {
		struct kept *next;
		char text[];
	} * kept;
	struct kept *k;
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	k = xmalloc(sizeof *k + (size_t)n + 1);
	vsnprintf(k->text, (size_t)n + 1, fmt, again);
	va_end(again);
	k->next = kept;
	kept = k;
	return k->text;
}

/* ---- a request ---- */

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 32);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes n bytes into x->texts, whose memory does not move. */
static const char *
decode(struct exchange *x, const char *p, size_t n, bool plus)
{
	char *start = x->texts.p + x->texts.len, *o = start;

	for (size_t i = 0; i < n; i++) {
		if (p[i] == '%' && i + 2 < n + 0 && hex(p[i + 1]) >= 0 &&
		    hex(p[i + 2]) >= 0) {
			*o++ = (char)(hex(p[i + 1]) * 16 + hex(p[i + 2]));
			i += 2;
		} else {
			*o++ = plus && p[i] == '+' ? ' ' : p[i];
		}
	}
	*o++ = '\0';
	x->texts.len = (size_t)(o - x->texts.p);
	return start;
}

static size_t
pairs(struct exchange *x, const char *p, struct sim_param *out)
{
	size_t n = 0;

	while (*p != '\0' && n < SIM_PARAMS) {
		size_t len = strcspn(p, "&");
		const char *eq = memchr(p, '=', len);
		size_t name = eq == NULL ? len : (size_t)(eq - p);

		out[n].name = decode(x, p, name, true);
		out[n++].value =
		    eq == NULL ? "" : decode(x, eq + 1, len - name - 1, true);
		p += len + (p[len] == '&');
	}
	return n;
}

static void
parse(struct exchange *x, const char *method)
{
	struct sim_request *r = &x->r;
	char *query = strchr(x->target, '?');
	const char *type;

	r->impl = x;
	r->method = method;
	r->target = x->target;
	x->names = xstrdup(x->target);
	r->path = x->names;
	if (query != NULL)
		x->names[query - x->target] = '\0';
	r->query = query == NULL ? "" : x->names + (query - x->target) + 1;
	r->body = buf_cstr(&x->body);
	r->body_len = x->body.len;
	buf_init(&x->texts, SIZE_MAX / 2);
	buf_room(&x->texts, 4 * strlen(x->target) + 4 * r->body_len + 1024);
	for (const char *p = r->path; *p != '\0' && r->parts < SIM_PARTS;) {
		size_t len;

		p += *p == '/';
		len = strcspn(p, "/");
		r->part[r->parts++] = decode(x, p, len, false);
		p += len;
	}
	r->params = pairs(x, r->query, r->param);
	type = sim_header(r, "Content-Type");
	if (type != NULL &&
	    strncasecmp(type, "application/x-www-form-urlencoded", 33) == 0)
		r->forms = pairs(x, r->body, r->form);
}

static bool
route_matches(const struct sim_route *t, const struct sim_request *r)
{
	const char *p = t->pattern;
	size_t i = 0;

	if (strcmp(t->method, "*") != 0 && strcmp(t->method, r->method) != 0)
		return false;
	while (*p != '\0') {
		size_t len;

		p += *p == '/';
		len = strcspn(p, "/");
		if (len == 2 && memcmp(p, "**", 2) == 0)
			return true;
		if (i == r->parts)
			return false;
		if (!(len == 1 && *p == '?') &&
		    (strlen(r->part[i]) != len ||
			memcmp(r->part[i], p, len) != 0))
			return false;
		i++;
		p += len;
	}
	return i == r->parts;
}

static void
dispatch(const struct sim_request *r, struct sim_answer *a)
{
	for (struct sim_service *s = sim.services; s != NULL; s = s->next) {
		if (strncmp(r->path, s->prefix, strlen(s->prefix)) != 0)
			continue;
		for (const struct sim_route *t = s->routes; t->method != NULL;
		     t++) {
			if (route_matches(t, r)) {
				t->handler(r, a);
				return;
			}
		}
		if (s->unknown != NULL) {
			s->unknown(r, a);
			return;
		}
	}
	sim_text(a, 404, "text/plain", "no such service\n", 16);
}

/* ---- the log ---- */

/* Values of these parameters never reach the log. */
static bool
is_secret(const char *name)
{
	static const char *const secret[] = {"access_token", "appsecret_proof",
	    "client_secret", "refresh_token", "assertion", "input_token",
	    "X-Amz-Security-Token", "X-Amz-Signature"};

	for (size_t i = 0; i < sizeof secret / sizeof *secret; i++) {
		if (strcmp(secret[i], name) == 0)
			return true;
	}
	return false;
}

static void
log_params(
    struct jsonw *w, const char *name, const struct sim_param *p, size_t n)
{
	struct jsonw o;

	jsonw_open(w, name, &o, '{');
	for (size_t i = 0; i < n; i++)
		jsonw_str(&o, p[i].name,
		    is_secret(p[i].name) ? "[secret]" : p[i].value);
	jsonw_end(&o);
}

static void
log_request(const struct sim_request *r, const struct sim_answer *a,
    const struct sim_fault *f)
{
	struct buf b = BUF_INIT(16u << 20);
	struct jsonw w;

	if (sim.log < 0)
		return;
	jsonw_begin(&w, &b, '{');
	jsonw_u64(&w, "n", sim.count);
	jsonw_i64(&w, "ms", sys_mono_ns() / 1000000);
	jsonw_str(&w, "method", r->method);
	jsonw_str(&w, "path", r->path);
	log_params(&w, "query", r->param, r->params);
	if (r->forms > 0)
		log_params(&w, "form", r->form, r->forms);
	jsonw_bool(&w, "auth", sim_header(r, "Authorization") != NULL);
	jsonw_u64(&w, "body", r->body_len);
	jsonw_i64(&w, "status", a->status);
	if (f != NULL)
		jsonw_str(&w, "fault", f->word);
	if (r->note != NULL)
		jsonw_str(&w, "note", r->note);
	jsonw_end(&w);
	buf_char(&b, '\n');
	if (sys_write_all(sim.log, b.p, b.len) < 0)
		warn_sys("--log", "cannot write");
	buf_release(&b);
}

/* ---- the answer on the wire ---- */

struct wire {
	char *p;
	size_t len, stop; /* stop: the connection is cut there */
	size_t step;
	int64_t ms;
};

static ssize_t
wire_read(void *cls, uint64_t pos, char *to, size_t max)
{
	struct wire *w = cls;
	size_t n = w->stop - (size_t)pos;

	if (n == 0)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (w->step > 0) {
		struct timespec t = {w->ms / 1000, w->ms % 1000 * 1000000};

		nanosleep(&t, NULL);
		n = n < w->step ? n : w->step;
	}
	n = n < max ? n : max;
	memcpy(to, w->p + pos, n);
	return (ssize_t)n;
}

static void
wire_free(void *cls)
{
	struct wire *w = cls;

	free(w->p);
	free(w);
}

static struct MHD_Response *
make_response(struct sim_answer *a, const struct sim_fault *f)
{
	bool cut = f != NULL && f->kind == FAULT_CUT;
	bool slow = f != NULL && f->kind == FAULT_SLOW && f->bytes > 0;
	struct wire *w;

	if (!cut && !slow)
		return MHD_create_response_from_buffer(
		    a->body.len, a->body.p, MHD_RESPMEM_MUST_COPY);
	w = xcalloc(1, sizeof *w);
	w->p = xmalloc(a->body.len + 1);
	memcpy(w->p, a->body.p, a->body.len);
	w->len = a->body.len;
	w->stop = cut ? a->body.len / 2 : a->body.len;
	w->step = slow ? (size_t)f->bytes : 0;
	w->ms = slow ? f->ms : 0;
	return MHD_create_response_from_callback(
	    a->body.len, 65536, wire_read, w, wire_free);
}

static enum MHD_Result
send_answer(struct exchange *x, struct sim_answer *a, const struct sim_fault *f)
{
	struct MHD_Response *m = make_response(a, f);
	enum MHD_Result ok;
	char *save = NULL;
	char *all = xstrdup(buf_cstr(&a->headers));

	for (char *h = strtok_r(all, "\n", &save); h != NULL;
	     h = strtok_r(NULL, "\n", &save)) {
		char *colon = strchr(h, ':');

		if (colon == NULL)
			continue;
		*colon = '\0';
		MHD_add_response_header(m, h, colon + 1 + (colon[1] == ' '));
	}
	ok = MHD_queue_response(x->c, (unsigned)a->status, m);
	MHD_destroy_response(m);
	free(all);
	return ok;
}

static enum MHD_Result
reset(struct exchange *x)
{
	const union MHD_ConnectionInfo *i =
	    MHD_get_connection_info(x->c, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct linger l = {1, 0};

	setsockopt(i->connect_fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
	return MHD_NO;
}

static enum MHD_Result
answer(struct exchange *x)
{
	struct sim_answer a = {.status = 200};
	const struct sim_fault *f;
	enum MHD_Result ok;
	char *what = xasprintf("%s %s", x->r.method, x->r.target);

	buf_init(&a.body, SIZE_MAX / 2);
	buf_init(&a.headers, 16u << 20);
	pthread_mutex_lock(&sim.lock);
	sim.count++;
	f = faults_hit(what);
	free(what);
	x->r.expired = f != NULL && f->kind == FAULT_EXPIRE;
	x->r.fault = f;
	if (f == NULL || f->kind != FAULT_STATUS)
		dispatch(&x->r, &a);
	if (f != NULL)
		fault_change(f, &a);
	log_request(&x->r, &a, f);
	pthread_mutex_unlock(&sim.lock);
	if (f != NULL && f->kind == FAULT_SLOW && f->bytes == 0) {
		struct timespec t = {f->ms / 1000, f->ms % 1000 * 1000000};

		nanosleep(&t, NULL);
	}
	ok = f != NULL && f->kind == FAULT_RESET ? reset(x)
						 : send_answer(x, &a, f);
	buf_release(&a.body);
	buf_release(&a.headers);
	return ok;
}

static void *
on_uri(void *cls, const char *uri, struct MHD_Connection *c)
{
	struct exchange *x = xcalloc(1, sizeof *x);

	(void)cls;
	x->target = xstrdup(uri);
	x->c = c;
	buf_init(&x->body, SIZE_MAX / 2);
	return x;
}

static enum MHD_Result
on_request(void *cls, struct MHD_Connection *c, const char *url,
    const char *method, const char *version, const char *data, size_t *size,
    void **con)
{
	struct exchange *x = *con;

	(void)cls, (void)c, (void)url, (void)version;
	if (!x->begun) {
		x->begun = true;
		return MHD_YES;
	}
	if (*size > 0) {
		buf_add(&x->body, data, *size);
		*size = 0;
		return MHD_YES;
	}
	parse(x, method);
	return answer(x);
}

static void
on_done(void *cls, struct MHD_Connection *c, void **con,
    enum MHD_RequestTerminationCode why)
{
	struct exchange *x = *con;

	(void)cls, (void)c, (void)why;
	if (x == NULL)
		return;
	buf_release(&x->body);
	buf_release(&x->texts);
	free(x->target);
	free(x->names);
	free(x);
	*con = NULL;
}

/* ---- main ---- */

static void
take(int key)
{
	switch (key) {
	case OPT_PORT_FILE:
		sim.port_file = opt_arg();
		break;
	case OPT_DATA:
		sim.data = opt_arg();
		break;
	case OPT_SEED:
		sim.seed = opt_u64(0, UINT64_MAX);
		break;
	case OPT_FAULTS:
		sim.faults = opt_arg();
		break;
	case OPT_LOG:
		sim.log = open(
		    opt_arg(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		if (sim.log < 0)
			die(RC_CANTCREAT, opt_arg(), "cannot be opened");
		break;
	case OPT_SET:
		if (strchr(opt_arg(), '=') == NULL ||
		    sim.n_settings == sizeof sim.settings / sizeof(char *))
			opt_wrong(&set, "--set: name=value, at most 64");
		sim.settings[sim.n_settings++] = opt_arg();
		break;
	default:
		break;
	}
}

static struct MHD_Daemon *
start(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	const union MHD_DaemonInfo *info;
	struct MHD_Daemon *d;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	at.sin_port = htons((uint16_t)sim_setting_int("port", 0));
	d = MHD_start_daemon(
	    MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD, 0,
	    NULL, NULL, on_request, NULL, MHD_OPTION_SOCK_ADDR, &at,
	    MHD_OPTION_URI_LOG_CALLBACK, on_uri, NULL,
	    MHD_OPTION_NOTIFY_COMPLETED, on_done, NULL,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)4 << 20,
	    MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)1 << 18,
	    MHD_OPTION_END);
	if (d == NULL)
		die(RC_OSERR, NULL, "cannot listen");
	info = MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT);
	snprintf(sim.base, sizeof sim.base, "http://127.0.0.1:%u",
	    (unsigned)info->port);
	return d;
}

int
main(int argc, char **argv)
{
	struct MHD_Daemon *d;
	sigset_t ends;
	char *port;
	int key, sig, status;

	diag_init(argv[0]);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	while ((key = opt_next(&set, argc, argv)) != -1)
		take(key);
	if (sim.port_file == NULL)
		opt_wrong(&set, "--port-file is missing");
	if (sim.faults != NULL && !faults_read(sim.faults))
		return RC_CONFIG;
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	pthread_sigmask(SIG_BLOCK, &ends, NULL); /* before threads are made */
	signal(SIGPIPE, SIG_IGN);
	for (struct sim_service *s = sim.services; s != NULL; s = s->next) {
		if (s->start != NULL && !s->start())
			return RC_CONFIG;
	}
	d = start();
	port = strrchr(sim.base, ':') + 1;
	status = file_replace(sim.port_file, port, strlen(port), 0600);
	if (status == RC_OK)
		sigwait(&ends, &sig);
	MHD_stop_daemon(d);
	return status;
}
