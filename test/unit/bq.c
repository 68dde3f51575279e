/* SQL texts and ids for BigQuery, classes of its errors, forms of its rows. */
#include <stdlib.h>
#include <string.h>

#include "bq_impl.h"
#include "exits.h"
#include "fv.h"
#include "unit.h"

static void
names(void)
{
	static const struct bq b = {
	    .project = "shop-1", .core = "core_x", .ops = "ops_x"};
	static const struct {
		const char *in, *want;
	} cases[] = {
	    {"SELECT * FROM `analytics_core.kpi_daily`",
		"SELECT * FROM `shop-1.core_x.kpi_daily`"},
	    {"`analytics_ops.batches`", "`shop-1.ops_x.batches`"},
	    {"`analytics_opsx.batches`", "`analytics_opsx.batches`"},
	    {"`other.analytics_core.t`", "`other.analytics_core.t`"},
	    {"analytics_core.t", "analytics_core.t"},
	    {"'`analytics_core.t`'", "'`analytics_core.t`'"},
	    {"\"`analytics_core.t`\"", "\"`analytics_core.t`\""},
	    {"'''a'`analytics_core.t`'''", "'''a'`analytics_core.t`'''"},
	    {"'it\\'s `analytics_core.t`'", "'it\\'s `analytics_core.t`'"},
	    {"-- `analytics_core.t`\n`analytics_core.t`",
		"-- `analytics_core.t`\n`shop-1.core_x.t`"},
	    {"# it's\n`analytics_core.t`", "# it's\n`shop-1.core_x.t`"},
	    {"/* ' `analytics_core.t` */ `analytics_core.t`",
		"/* ' `analytics_core.t` */ `shop-1.core_x.t`"},
	    {"'' `analytics_core.t`", "'' `shop-1.core_x.t`"},
	    {"'\\\\' `analytics_core.t`", "'\\\\' `shop-1.core_x.t`"},
	    {"`analytics_core.", "`analytics_core."},
	    {"'never ends `analytics_core.t`",
		"'never ends `analytics_core.t`"},
	    {"/* never ends", "/* never ends"},
	    {"", ""},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buf out = BUF_INIT(4096);

		bq_sql(&b, cases[i].in, strlen(cases[i].in), &out);
		OKF(strcmp(buf_cstr(&out), cases[i].want) == 0, "%s gives %s",
		    cases[i].in, buf_cstr(&out));
		buf_release(&out);
	}
}

static void
statements(void)
{
	static const struct {
		const char *text;
		size_t want;
	} cases[] = {{"", 0}, {" \n; ;", 0}, {"-- a;b\n", 0}, {"/* ; */", 0},
	    {"SELECT 1", 1}, {"SELECT 1;", 1}, {"SELECT ';' ; # x", 1},
	    {"BEGIN TRANSACTION; DELETE; COMMIT TRANSACTION;", 3},
	    {"SELECT `a;b`; SELECT \"\"\"x\";\"\"\"", 2}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		OKF(bq_sql_statements(cases[i].text, strlen(cases[i].text)) ==
			cases[i].want,
		    "%s", cases[i].text);
}

static bool
uses(const char *text, const char *name)
{
	return bq_sql_uses(text, strlen(text), name);
}

static void
parameters(void)
{
	OK(uses("SELECT @day", "day"));
	OK(uses("SELECT @Day + 1", "day"));
	OK(uses("x IN UNNEST(@apps)", "apps"));
	OK(!uses("SELECT @days", "day"));
	OK(!uses("SELECT @da", "day"));
	OK(!uses("SELECT '@day'", "day"));
	OK(!uses("SELECT 1 -- @day", "day"));
	OK(!uses("SELECT @@day", "day"));
	OK(!uses("SELECT @ day", "day"));
}

static void
ids(void)
{
	static const char *const a[] = {"ab", "c"}, *const b[] = {"a", "bc"},
				 *const c[] = {"ab", NULL},
				 *const d[] = {"ab", ""};
	char one[BQ_ID], two[BQ_ID];

	bq_job_id(one, "bqload", a, 2);
	bq_job_id(two, "bqload", a, 2);
	OK(strcmp(one, two) == 0);
	OK(strlen(one) == 7 + 64 && strncmp(one, "bqload_", 7) == 0);
	OK(strspn(one, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(one));
	bq_job_id(two, "bqload", b, 2);
	OK(strcmp(one, two) != 0);
	bq_job_id(one, "bqload", c, 2);
	bq_job_id(two, "bqload", d, 2);
	OK(strcmp(one, two) != 0);
	bq_random_id(one, "x");
	bq_random_id(two, "x");
	OK(strcmp(one, two) != 0 && strlen(one) == 34);
}

static void
classes(void)
{
	static const struct {
		const char *reason, *why;
		bool passing;
		int rc;
	} cases[] = {{"backendError", "", true, RC_TRANSIENT},
	    {"jobBackendError", "", true, RC_TRANSIENT},
	    {"internalError", "", true, RC_TRANSIENT},
	    {"jobInternalError", "", true, RC_TRANSIENT},
	    {"rateLimitExceeded", "", true, RC_TRANSIENT},
	    {"jobRateLimitExceeded", "", true, RC_TRANSIENT},
	    {"tableUnavailable", "", true, RC_TRANSIENT},
	    {"timeout", "", true, RC_TRANSIENT},
	    {"badGateway", "", true, RC_TRANSIENT},
	    {"quotaExceeded", "Quota exceeded: x", false, RC_TRANSIENT},
	    {"stopped", "", false, RC_TRANSIENT},
	    {"accessDenied", "", false, RC_AUTH},
	    {"billingNotEnabled", "", false, RC_AUTH},
	    {"policyViolation", "", false, RC_AUTH},
	    {"blocked", "", false, RC_AUTH},
	    {"invalid", "", false, RC_CONTRACT},
	    {"invalidQuery", "", false, RC_CONTRACT},
	    {"invalidQuery", "aborted due to concurrent update against t", true,
		RC_TRANSIENT},
	    {"invalid", "x is not writable in the region y", true,
		RC_TRANSIENT},
	    {"duplicate", "", false, RC_CONTRACT},
	    {"responseTooLarge", "", false, RC_CONTRACT},
	    {"resourcesExceeded", "", false, RC_CONTRACT},
	    {"bytesBilledLimitExceeded", "", false, RC_CONTRACT},
	    {"notFound", "Not found: Table p:d.t", false, RC_CONTRACT},
	    {"notFound", "Not found: Dataset p:d", false, RC_CONFIG},
	    {"", "", false, RC_CONTRACT}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int rc;
		bool passing = bq_passing(cases[i].reason, cases[i].why, &rc);

		OKF(passing == cases[i].passing && rc == cases[i].rc, "%s %s",
		    cases[i].reason, cases[i].why);
	}
}

/* ---- rows ---- */

#define PAD                                                                \
	"                                                                " \
	"                                                                " \
	"    "

static const char schema[] =
    "[{\"name\":\"i\",\"type\":\"INTEGER\"},"
    "{\"name\":\"n\",\"type\":\"BIGNUMERIC\"},"
    "{\"name\":\"t\",\"type\":\"TIMESTAMP\"},"
    "{\"name\":\"j\",\"type\":\"JSON\"},"
    "{\"name\":\"s\",\"type\":\"STRING\"},"
    "{\"name\":\"l\",\"type\":\"INT64\",\"mode\":\"REPEATED\"}]" PAD;

/* The first n cells are values, JSON as it stands; the others null. */
static void
row(const char *const *cell, int style, const char *columns, const char *want)
{
	struct json_span fields = json_value(schema);
	struct buf in = BUF_INIT(65536), out = BUF_INIT(65536);
	char *why = NULL;
	const char *wrong;
	struct fv *v = fv_new(&fields, NULL, &why);
	size_t len;

	OK(fv_style(v, FV_QUERY, NULL, &why));
	if (style != 0)
		OK(fv_style(v, style, columns, &why));
	buf_str(&in, "{\"f\":[");
	for (int i = 0; i < 6; i++)
		buf_fmt(&in, "%s{\"v\":%s}", i > 0 ? "," : "",
		    cell[i] == NULL ? "null" : cell[i]);
	buf_str(&in, "]}");
	len = in.len;
	buf_str(&in, PAD);
	wrong = fv_row(v, buf_cstr(&in), len, &out);
	if (want == NULL)
		OKF(wrong != NULL && out.len == 0, "%s", in.p);
	else
		OKF(wrong == NULL && strcmp(buf_cstr(&out), want) == 0,
		    "%s gives %s, %s", in.p, buf_cstr(&out),
		    wrong == NULL ? "" : wrong);
	fv_free(v);
	buf_release(&in);
	buf_release(&out);
}

static void
number(const char *text, const char *want)
{
	char cell[256], line[512];
	const char *const cells[6] = {[1] = cell};

	snprintf(cell, sizeof cell, "\"%s\"", text);
	snprintf(
	    line, sizeof line, "{\"n\":%s,\"l\":[]}", want == NULL ? "" : want);
	row(cells, FV_OMIT_NULL, "all", want == NULL ? NULL : line);
}

static void
forms(void)
{
	const char *const all[6] = {"\"9007199254740992\"", "\"1.50\"",
	    "\"1700000000000001\"", "\"{\\\"a\\\":1.50}\"", "\"[1]\"",
	    "[{\"v\":\"-9007199254740993\"},{\"v\":\"3\"}]"};
	const char *const none[6] = {NULL, NULL, NULL, NULL, NULL, NULL};
	const char *const texts[6] = {[4] = "\"12.50\""};
	const char *const word[6] = {[4] = "\"x\""};

	row(all, 0, NULL,
	    "{\"i\":9007199254740992,\"n\":1.5,"
	    "\"t\":\"2023-11-14T22:13:20.000001Z\",\"j\":{\"a\":1.50},"
	    "\"s\":\"[1]\",\"l\":[\"-9007199254740993\",3]}");
	row(all, FV_JSON, "s,j",
	    "{\"i\":9007199254740992,\"n\":1.5,"
	    "\"t\":\"2023-11-14T22:13:20.000001Z\",\"j\":{\"a\":1.50},"
	    "\"s\":[1],\"l\":[\"-9007199254740993\",3]}");
	row(none, 0, NULL,
	    "{\"i\":null,\"n\":null,\"t\":null,\"j\":null,\"s\":null,"
	    "\"l\":[]}");
	row(none, FV_OMIT_NULL, "i,s",
	    "{\"n\":null,\"t\":null,\"j\":null,\"l\":[]}");
	row(none, FV_OMIT_NULL, "all", "{\"l\":[]}");
	row(texts, FV_NUMBER, "s",
	    "{\"i\":null,\"n\":null,\"t\":null,\"j\":null,\"s\":12.50,"
	    "\"l\":[]}");
	row(word, FV_NUMBER, "s", NULL);
	number("0", "0");
	number("-0.00", "0");
	number("-0.50", "-0.5");
	number("1200", "1200");
	number("007", "7");
	number("00.7", "0.7");
	number("1.", NULL);
	number("", NULL);
	number("-", NULL);
	number("abc", NULL);
	number("1E+3", "1000");
	number("1e-3", "0.001");
	number("NaN", NULL);
	number("1e-100", NULL);
	number("5789604461865809771178549250434395392663499233282028201972879"
	       "2003956564819967.12345678901234567890123456789012345678",
	    "5789604461865809771178549250434395392663499233282028201972879"
	    "2003956564819967.12345678901234567890123456789012345678");
}

static void
strange_columns(void)
{
	struct json_span fields = json_value(schema);
	char *why = NULL;
	struct fv *v = fv_new(&fields, NULL, &why);

	OK(fv_columns(v) == 6);
	OK(fv_style(v, FV_OMIT_NULL, "i,n", &why));
	OK(!fv_style(v, FV_OMIT_NULL, "i,nn", &why));
	OK(why != NULL && strstr(why, "nn") != NULL);
	free(why);
	fv_free(v);
}

int
main(void)
{
	names();
	statements();
	parameters();
	ids();
	classes();
	forms();
	strange_columns();
	return unit_end();
}
