/* Fetches Meta Marketing API insights, one partition a day. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"
#include "exits.h"
#include "fetch-meta.h"
#include "filter.h"
#include "mem.h"
#include "opt.h"
#include "stats.h"
#include "sys.h"

enum {
	OPT_ACCOUNT = OPT_TOOL,
	OPT_LEVEL,
	OPT_FIELDS,
	OPT_BREAKDOWNS,
	OPT_WINDOWS,
	OPT_DATE,
	OPT_SINCE,
	OPT_LOOKBACK,
	OPT_TODAY,
	OPT_MODE,
	OPT_STATE,
	OPT_WAIT,
	OPT_POLL,
	OPT_TOKEN,
	OPT_APP_SECRET,
	OPT_BASE,
	OPT_VERSION,
	OPT_CHECK,
	OPT_VERSION_CHECK,
};

/* Of 64 MiB: days are held until a query is whole. */
#define SPOOLS ((size_t)32 << 20)
#define WINDOWS "1d_click,7d_click,28d_click,1d_view"

static const struct opt options[] = {
    {"account", OPT_ACCOUNT, "id", "the ad account, with or without act_"},
    {"level", OPT_LEVEL, "level", "account, campaign (default), adset or ad"},
    {"fields", OPT_FIELDS, "names",
	"metrics, joined by commas, beside ids and names"},
    {"breakdowns", OPT_BREAKDOWNS, "names", "joined by commas"},
    {"windows", OPT_WINDOWS, "names",
	"attribution windows, joined by commas; \"\": the account's own"},
    {"date", OPT_DATE, "date",
	"last day, default yesterday in the account's time zone"},
    {"since", OPT_SINCE, "date", "first day, in place of --lookback-days"},
    {"lookback-days", OPT_LOOKBACK, "n", "days up to --date, default 28"},
    {"include-today", OPT_TODAY, NULL, "fetch the day that is not over too"},
    {"mode", OPT_MODE, "mode", "auto (default), sync or async"},
    {"state", OPT_STATE, "dir", "keep there what a killed run must find again"},
    {"wait", OPT_WAIT, "seconds", "for another run's lock on it, default 0"},
    {"poll-ms", OPT_POLL, "n", "first pause between polls, default 5000"},
    {"token-file", OPT_TOKEN, "file", "the access token"},
    {"app-secret-file", OPT_APP_SECRET, "file",
	"the app's secret: send appsecret_proof"},
    {"base-url", OPT_BASE, "url", "default https://graph.facebook.com"},
    {"api-version", OPT_VERSION, "version", "default " DEFAULT_VERSION},
    {"check", OPT_CHECK, NULL, "prove token and rights, and end"},
    {"version-check", OPT_VERSION_CHECK, NULL,
	"does the API version end soon?"},
    {"plain", OPT_PLAIN, NULL, "no control records in the output"},
    {NULL, 0, NULL, NULL},
};

static const struct opt_set set = {
    "--account id --token-file file [option ...]\n"
    "--check --account id --token-file file [option ...]\n"
    "--version-check [--api-version version]",
    {options, http_options},
};

/* Asked for beside the keys; reach cannot be had for old days by breakdown. */
static const char fields_default[] =
    "account_currency,impressions,clicks,inline_link_clicks,spend,reach,"
    "actions,action_values,purchase_roas";

struct settings {
	struct meta m;
	const char *fields, *breakdowns, *token, *app_secret;
	bool check, version_check;
};

/* ---- options ---- */

static bool
is_name(const char *p, size_t n)
{
	if (n == 0 || n > 100)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!((p[i] >= 'a' && p[i] <= 'z') || p[i] == '_' ||
			(p[i] >= '0' && p[i] <= '9')))
			return false;
	return true;
}

/* Names joined by commas, onto the list. */
static void
add_names(
    const char *option, const char *text, char **list, size_t *n, size_t max)
{
	while (*text != '\0') {
		size_t len = strcspn(text, ",");
		bool twice = false;

		if (!is_name(text, len))
			opt_wrong(&set,
			    "%s: names of a-z, 0-9 and _, joined "
			    "by commas",
			    option);
		for (size_t i = 0; i < *n; i++)
			twice = twice || (strlen(list[i]) == len &&
					     memcmp(list[i], text, len) == 0);
		if (!twice && *n == max)
			opt_wrong(&set, "%s: at most %zu names", option, max);
		if (!twice)
			list[(*n)++] = xstrndup(text, len);
		text += len;
		if (*text == ',' && *++text == '\0')
			opt_wrong(&set, "%s: ends in a comma", option);
	}
}

static int
word(const char *const *words, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(words[i], opt_arg()) == 0)
			return i;
	opt_wrong(&set, "%s: no such word", opt_name());
}

static void
take_account(struct meta *m)
{
	const char *id = opt_arg();

	if (strncmp(id, "act_", 4) == 0)
		id += 4;
	if (*id == '\0' || strlen(id) >= sizeof m->account ||
	    strspn(id, "0123456789") != strlen(id))
		opt_wrong(&set, "--account: digits, with or without act_");
	memcpy(m->account, id, strlen(id) + 1);
}

static void
take_version(struct meta *m)
{
	const char *v = opt_arg();
	size_t n = strspn(v + (*v == 'v'), "0123456789.");

	if (*v != 'v' || n < 3 || n > 6 || v[n + 1] != '\0')
		opt_wrong(&set, "--api-version: as " DEFAULT_VERSION);
	m->version = v;
}

static void
take_http(struct meta *m, int key)
{
	if (!http_opt(m->http, key))
		return;
	if (strcmp(opt_name(), "--backoff") == 0)
		m->backoff = (unsigned)opt_u64(0, 1000);
	if (strcmp(opt_name(), "--max-wait") == 0)
		m->max_wait_ms = (int64_t)opt_u64(0, 86400) * 1000;
}

static void
take(struct settings *s, int key)
{
	static const char *const modes[] = {"auto", "sync", "async"};
	struct meta *m = &s->m;

	switch (key) {
	case OPT_ACCOUNT:
		take_account(m);
		break;
	case OPT_LEVEL:
		m->level = (enum level)word(level_names, 4);
		break;
	case OPT_FIELDS:
		s->fields = opt_arg();
		break;
	case OPT_BREAKDOWNS:
		s->breakdowns = opt_arg();
		break;
	case OPT_WINDOWS:
		m->windows = opt_arg();
		break;
	case OPT_DATE:
		m->until = opt_date();
		break;
	case OPT_SINCE:
		m->since = opt_date();
		break;
	case OPT_LOOKBACK:
		m->lookback = (unsigned)opt_u64(1, 1200);
		break;
	case OPT_TODAY:
		m->include_today = true;
		break;
	case OPT_MODE:
		m->mode = (enum mode)word(modes, 3);
		break;
	case OPT_STATE:
		m->dir = opt_arg();
		break;
	case OPT_WAIT:
		m->wait_s = (unsigned)opt_u64(0, 86400);
		break;
	case OPT_POLL:
		m->poll_ms = (int64_t)opt_u64(1, 600000);
		break;
	case OPT_TOKEN:
		s->token = opt_arg();
		break;
	case OPT_APP_SECRET:
		s->app_secret = opt_arg();
		break;
	case OPT_BASE:
		m->base = opt_arg();
		break;
	case OPT_VERSION:
		take_version(m);
		break;
	case OPT_CHECK:
		s->check = true;
		break;
	case OPT_VERSION_CHECK:
		s->version_check = true;
		break;
	case OPT_PLAIN:
		m->plain = true;
		break;
	default:
		take_http(m, key);
		break;
	}
}

/* ---- what follows from the options ---- */

/* Ids and names of the level and of all above it. */
static void
add_fields(struct settings *s)
{
	static const char *const keys[] = {"account_id,account_name",
	    "campaign_id,campaign_name", "adset_id,adset_name",
	    "ad_id,ad_name"};
	struct meta *m = &s->m;

	add_names(
	    "--breakdowns", s->breakdowns, m->breakdowns, &m->n_breakdowns, 8);
	for (int i = 0; i <= (int)m->level; i++)
		add_names(
		    "--fields", keys[i], m->fields, &m->n_fields, FIELDS_MAX);
	m->n_keys = m->n_fields;
	add_names("--fields", s->fields, m->fields, &m->n_fields, FIELDS_MAX);
	for (size_t i = 0; i < m->n_fields; i++)
		for (size_t b = 0; b < m->n_breakdowns; b++)
			if (strcmp(m->fields[i], m->breakdowns[b]) == 0)
				opt_wrong(&set,
				    "--fields: %s is a breakdown: "
				    "its column comes by itself",
				    m->fields[i]);
	if (m->n_fields == m->n_keys)
		opt_wrong(&set, "--fields: no metric");
}

static void
check_windows(const char *text)
{
	char *list[20];
	size_t n = 0;

	add_names("--windows", text, list, &n, 20);
	while (n > 0) {
		n--;
		if (strcmp(list[n], "7d_view") == 0 ||
		    strcmp(list[n], "28d_view") == 0)
			warn_msg("--windows",
			    "warning: %s is not given any more, since "
			    "2026-01-12",
			    list[n]);
		free(list[n]);
	}
}

/* Asked for in one request, some breakdowns bring no rows and no error. */
static void
check_sync(const struct meta *m)
{
	static const char *const silent[] = {"impression_device",
	    "hourly_stats_aggregated_by_audience_time_zone", "frequency_value"};

	for (size_t i = 0; i < m->n_breakdowns && m->mode == MODE_SYNC; i++)
		for (size_t k = 0; k < sizeof silent / sizeof *silent; k++)
			if (strcmp(m->breakdowns[i], silent[k]) == 0)
				opt_wrong(&set,
				    "--mode: %s comes by report runs alone",
				    silent[k]);
}

static void
make_names(struct meta *m)
{
	struct buf feed = BUF_INIT(4096), head = BUF_INIT(4096);

	buf_fmt(&feed, "act_%s.%s", m->account, level_names[m->level]);
	for (size_t i = 0; i < m->n_breakdowns; i++)
		buf_fmt(&feed, "%c%s", i == 0 ? '.' : '-', m->breakdowns[i]);
	buf_fmt(&head, "{\"level\":\"%s\",\"attribution_windows\":\"%s\",",
	    level_names[m->level], m->windows);
	m->feed = xstrdup(buf_cstr(&feed));
	m->row_head = xstrdup(buf_cstr(&head));
	buf_release(&feed);
	buf_release(&head);
}

static void
complete(struct settings *s)
{
	struct meta *m = &s->m;

	if (*m->account == '\0')
		opt_wrong(&set, "--account is missing");
	if (m->since != INT32_MIN && m->until != INT32_MIN &&
	    m->since > m->until)
		opt_wrong(&set, "--since: after --date");
	check_windows(m->windows);
	add_fields(s);
	check_sync(m);
	make_names(m);
	if (m->base == NULL)
		m->base = getenv("META_BASE_URL");
	if (m->base == NULL || *m->base == '\0')
		m->base = DEFAULT_BASE;
}

/* A file of the credentials directory where no option names one. */
static char *
credential(const char *file, const char *name)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	char *path;

	if (file != NULL)
		return xstrdup(file);
	if (dir == NULL || *dir == '\0')
		return NULL;
	path = xasprintf("%s/%s", dir, name);
	if (access(path, F_OK) == 0)
		return path;
	free(path);
	return NULL;
}

static int
open_secrets(struct settings *s)
{
	struct meta *m = &s->m;
	char *token = credential(s->token, "meta-token");
	char *secret = credential(s->app_secret, "meta-app-secret");
	struct hmac h;
	unsigned char proof[1][SHA_LEN];
	int rc = RC_CONFIG;

	if (token == NULL && !http_replaying(m->http))
		opt_wrong(&set, "--token-file is missing");
	rc = token != NULL ? bearer_open(&m->bearer, token) : RC_OK;
	if (rc == RC_OK && secret != NULL)
		rc = secret_read(secret, &m->app_secret);
	if (rc == RC_OK && secret != NULL && m->bearer != NULL) {
		const struct secret *t = bearer_secret(m->bearer);

		hmac_key(&h, m->app_secret.p, m->app_secret.len);
		hmac_many(&h, 1, (const void *const[]){t->p}, &t->len, proof);
		sha_hex(proof[0], m->proof);
		explicit_bzero(&h, sizeof h);
		diag_secret(m->proof, strlen(m->proof));
	}
	free(token);
	free(secret);
	return rc;
}

static int
run(struct settings *s)
{
	struct meta *m = &s->m;
	int rc = open_secrets(s);

	if (rc == RC_OK)
		rc = http_start(m->http);
	if (rc == RC_OK)
		rc = url_check_base(m->http, "--base-url", m->base);
	if (rc != RC_OK)
		return rc;
	if (m->bearer != NULL)
		http_auth(m->http, bearer_sign, m->bearer);
	m->now_s = sys_real_ns() / 1000000000;
	return s->check ? graph_check(m) : days_run(m);
}

static void
release(struct meta *m)
{
	for (size_t i = 0; i < m->n_fields; i++)
		free(m->fields[i]);
	for (size_t i = 0; i < m->n_breakdowns; i++)
		free(m->breakdowns[i]);
	if (m->bearer != NULL)
		bearer_close(m->bearer);
	if (m->app_secret.p != NULL)
		secret_wipe(&m->app_secret);
	if (m->zone != NULL)
		zone_close(m->zone);
	http_close(m->http);
	buf_release(&m->dropped);
	buf_release(&m->coarser);
	free(m->feed);
	free(m->row_head);
}

int
main(int argc, char **argv)
{
	static struct settings s;
	struct meta *m = &s.m;
	int key, rc;

	diag_init(argv[0]);
	m->http = http_open("fetch-meta/" WEIR_VERSION);
	m->version = DEFAULT_VERSION;
	m->level = LEVEL_CAMPAIGN;
	m->windows = WINDOWS;
	m->since = m->until = INT32_MIN;
	m->lookback = 28;
	m->poll_ms = 5000;
	m->backoff = 100;
	m->max_wait_ms = 120000;
	buf_init(&m->dropped, 64 << 10);
	buf_init(&m->coarser, 4096);
	m->state.dirfd = m->state.lock = m->state.note = -1;
	s.fields = fields_default;
	s.breakdowns = "";
	while ((key = opt_next(&set, argc, argv)) != -1)
		take(&s, key);
	if (opt_index() < argc)
		opt_wrong(&set, "%s: no operands are taken", argv[opt_index()]);
	if (s.version_check) {
		int32_t day = m->until != INT32_MIN
				  ? m->until
				  : day_of_ms(sys_real_ns() / 1000000);

		rc = graph_version_check(m->version, day);
		http_close(m->http);
		return rc;
	}
	complete(&s);
	signal(SIGPIPE, SIG_IGN);
	spool_limit(SPOOLS);
	sig_init();
	sys_guard();
	sys_restrict(0);
	stats_start();
	out_init(&m->out, STDOUT_FILENO, "stdout", 0);
	rc = run(&s);
	stats_add("bytes_out", m->out.bytes);
	rc = rc_graver(rc, out_close(&m->out));
	release(m);
	stats_end(rc);
	if (sig_pending() != 0)
		sig_die(sig_pending());
	return rc;
}
