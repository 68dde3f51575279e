/* Headers of reports: names to columns, never positions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "exits.h"
#include "mem.h"
#include "rows.h"

const struct kind kind_sales = {"SALES",
    "sku product_type_identifier units developer_proceeds begin_date end_date "
    "customer_currency country_code currency_of_proceeds apple_identifier "
    "customer_price parent_identifier",
    "provider provider_country developer title version promo_code "
    "subscription period category cmb device supported_platforms "
    "proceeds_reason preserved_pricing client order_type"};
const struct kind kind_subscription = {"SUBSCRIPTION",
    "app_apple_id subscription_apple_id subscription_group_id customer_price "
    "customer_currency developer_proceeds proceeds_currency country "
    "active_standard_price_subscriptions",
    "app_name subscription_name standard_subscription_duration "
    "preserved_pricing proceeds_reason subscription_offer_name "
    "promotional_offer_name promotional_offer_id state device client "
    "active_free_trial_introductory_offer_subscriptions "
    "active_pay_up_front_introductory_offer_subscriptions "
    "active_pay_as_you_go_introductory_offer_subscriptions "
    "free_trial_promotional_offer_subscriptions "
    "pay_up_front_promotional_offer_subscriptions "
    "pay_as_you_go_promotional_offer_subscriptions "
    "free_trial_offer_code_subscriptions "
    "pay_up_front_offer_code_subscriptions "
    "pay_as_you_go_offer_code_subscriptions marketing_opt_ins billing_retry "
    "grace_period subscribers free_trial_win_back_offers "
    "pay_up_front_win_back_offers pay_as_you_go_win_back_offers"};
const struct kind kind_event = {"SUBSCRIPTION_EVENT",
    "event_date event app_apple_id subscription_apple_id country quantity",
    "app_name subscription_name subscription_group_id "
    "standard_subscription_duration subscription_offer_type "
    "subscription_offer_duration marketing_opt_in marketing_opt_in_duration "
    "preserved_pricing proceeds_reason subscription_offer_name "
    "promotional_offer_name promotional_offer_id consecutive_paid_periods "
    "original_start_date device client state previous_subscription_name "
    "previous_subscription_apple_id days_before_canceling "
    "cancellation_reason days_canceled paid_service_days_recovered"};
const struct kind kind_subscriber = {"SUBSCRIBER",
    "event_date app_apple_id subscription_apple_id customer_price "
    "customer_currency developer_proceeds proceeds_currency country "
    "subscriber_id units",
    "app_name subscription_name subscription_group_id "
    "standard_subscription_duration subscription_offer_name "
    "promotional_offer_name promotional_offer_id subscription_offer_type "
    "subscription_offer_duration marketing_opt_in_duration "
    "preserved_pricing proceeds_reason client device subscriber_id_reset "
    "refund purchase_date"};
const struct kind kind_other = {"report", "", NULL};
const struct kind kind_analytics = {"analytics report", "date", NULL};

/* Counts and amounts: never part of a row's identity, and the only cells
 * whose thousands separators are taken out. */
static const char numbers[] =
    "units developer_proceeds customer_price quantity "
    "consecutive_paid_periods days_before_canceling days_canceled "
    "paid_service_days_recovered active_standard_price_subscriptions "
    "active_free_trial_introductory_offer_subscriptions "
    "active_pay_up_front_introductory_offer_subscriptions "
    "active_pay_as_you_go_introductory_offer_subscriptions "
    "free_trial_promotional_offer_subscriptions "
    "pay_up_front_promotional_offer_subscriptions "
    "pay_as_you_go_promotional_offer_subscriptions "
    "free_trial_offer_code_subscriptions "
    "pay_up_front_offer_code_subscriptions "
    "pay_as_you_go_offer_code_subscriptions marketing_opt_ins billing_retry "
    "grace_period subscribers free_trial_win_back_offers "
    "pay_up_front_win_back_offers pay_as_you_go_win_back_offers "
    "counts unique_counts unique_devices sessions total_session_duration "
    "purchases proceeds_in_usd sales_in_usd paying_users crashes";
static const char dates[] = "begin_date end_date event_date date "
			    "original_start_date purchase_date "
			    "app_download_date start_date";

bool
has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; n > 0 && (p = strstr(p, word)) != NULL;
	     p += n) {
		if ((p == list || p[-1] == ' ') &&
		    (p[n] == ' ' || p[n] == '\0'))
			return true;
	}
	return false;
}

/* "Product Type Identifier" is product_type_identifier. */
static bool
snake(char *out, size_t room, const char *p, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];
		bool upper = c >= 'A' && c <= 'Z';

		if (upper || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
			if (len + 1 >= room)
				return false;
			out[len++] = (char)(upper ? c + 32 : c);
		} else if (len > 0 && out[len - 1] != '_' && len + 1 < room) {
			out[len++] = '_';
		}
	}
	while (len > 0 && out[len - 1] == '_')
		len--;
	out[len] = '\0';
	return len > 0;
}

static struct layout *sorting;
static int
by_key(const void *a, const void *b)
{
	return strcmp(sorting->col[*(const size_t *)a].key,
	    sorting->col[*(const size_t *)b].key);
}

static int
column_of(const struct layout *l, const char *key)
{
	for (size_t i = 0; i < l->n; i++) {
		if (strcmp(l->col[i].key, key) == 0)
			return (int)i;
	}
	return -1;
}

static const char *
take_column(struct layout *l, const char *p, size_t n, const struct kind *k,
    const char *what)
{
	struct column *c = &l->col[l->n];

	while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\r'))
		n--;
	if (n >= 2 && *p == '"' && p[n - 1] == '"') {
		p++;
		n -= 2;
	}
	if (l->n == COLUMNS_MAX)
		return "the header has too many columns";
	if (!snake(c->key, sizeof c->key, p, n))
		return "the header has a column without a name";
	if (column_of(l, c->key) >= 0)
		return "the header has a column twice";
	if (k->known != NULL && !has_word(k->required, c->key) &&
	    !has_word(k->known, c->key))
		warn_msg(what, "warning: the column '%s' is new", c->key);
	c->number = has_word(numbers, c->key);
	c->date = has_word(dates, c->key);
	c->lead = xcalloc(1, sizeof c->key + 128); /* copied in 64s */
	c->lead_len = (size_t)sprintf(c->lead, ",\"%s\":\"", c->key);
	l->leads += c->lead_len;
	l->n++;
	return NULL;
}

static void
in_our_order(struct layout *l, const char *list, bool *taken)
{
	char key[128];

	for (const char *p = list; p != NULL && *p != '\0';) {
		size_t n = strcspn(p, " ");
		int i;

		memcpy(key, p, n);
		key[n] = '\0';
		p += n + (p[n] == ' ');
		if (has_word(numbers, key))
			continue;
		i = column_of(l, key);
		l->order[l->n_order++] = i;
		if (i >= 0)
			taken[i] = true;
	}
}

static char *
missing(const struct layout *l, const struct kind *k)
{
	char key[128];

	for (const char *p = k->required; *p != '\0';) {
		size_t n = strcspn(p, " ");

		memcpy(key, p, n);
		key[n] = '\0';
		if (column_of(l, key) < 0)
			return xasprintf("the header has no column '%s'", key);
		p += n + (p[n] == ' ');
	}
	return NULL;
}

int
layout_read(struct layout *l, const char *line, size_t n, const struct kind *k,
    const char *what, char **why)
{
	static const char *const firsts[] = {
	    "provider", "event_date", "date", "start_date"};
	const char *end = line + n, *wrong = NULL;
	bool taken[COLUMNS_MAX] = {false};

	memset(l, 0, sizeof *l);
	l->col = xcalloc(COLUMNS_MAX + 1, sizeof *l->col);
	l->order = xcalloc(COLUMNS_MAX, sizeof *l->order);
	l->more = xcalloc(COLUMNS_MAX, sizeof *l->more);
	if (n == 0)
		line = end = "";
	if (n >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0)
		line += 3;
	l->delim =
	    memchr(line, '\t', (size_t)(end - line)) != NULL ? '\t' : ',';
	while (line <= end && wrong == NULL) {
		const char *to = memchr(line, l->delim, (size_t)(end - line));

		if (to == NULL)
			to = end;
		wrong = take_column(l, line, (size_t)(to - line), k, what);
		line = to + 1;
	}
	*why = wrong != NULL ? xstrdup(wrong)
	       : l->n < 2    ? xstrdup("this is no report")
			     : missing(l, k);
	if (*why != NULL)
		return RC_CONTRACT;
	l->date = column_of(l, "date");
	l->product = column_of(l, "product_type_identifier");
	for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++)
		l->footer = l->footer || strcmp(l->col[0].key, firsts[i]) == 0;
	if (k->known != NULL) {
		in_our_order(l, k->required, taken);
		in_our_order(l, k->known, taken);
	}
	for (size_t i = 0; i < l->n; i++) {
		if (!l->col[i].number && !taken[i])
			l->more[l->n_more++] = i;
	}
	sorting = l;
	qsort(l->more, l->n_more, sizeof *l->more, by_key);
	return RC_OK;
}

void
layout_release(struct layout *l)
{
	for (size_t i = 0; l->col != NULL && i < l->n; i++)
		free(l->col[i].lead);
	free(l->col);
	free(l->order);
	free(l->more);
	memset(l, 0, sizeof *l);
}
