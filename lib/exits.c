/* Exit codes and their classes. */
#include "exits.h"

#include <stddef.h>

struct rc_row {
	int rc;
	const char *word;
};

/* The gravest first. Signals stand between 66 and 3, SIGPIPE at the end. */
static const struct rc_row rows[] = {
    {RC_USAGE, "usage"},
    {RC_CONFIG, "config"},
    {RC_AUTH, "auth"},
    {RC_CONTRACT, "contract"},
    {RC_INTERNAL, "internal"},
    {RC_OSERR, "oserr"},
    {RC_CANTCREAT, "cantcreat"},
    {RC_IO, "io"},
    {RC_TRANSIENT, "transient"},
    {RC_TRUNCATED, "truncated"},
    {RC_PARTIAL, "partial"},
    {RC_NOTREADY, "notready"},
    {RC_FINDINGS, "findings"},
    {RC_WARNINGS, "warnings"},
    {RC_OK, "ok"},
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]), SIGPIPE_RC = 128 + 13 };

static const struct rc_row *
find(int rc)
{
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].rc == rc)
			return &rows[i];
	return NULL;
}

const char *
rc_class(int rc)
{
	const struct rc_row *r = find(rc);

	if (r != NULL)
		return r->word;
	return rc > 128 && rc < 256 ? "signal" : "unknown";
}

/* Smaller is graver. A status nobody agreed on ranks as a bug. */
static int
rank(int rc)
{
	const struct rc_row *r = find(rc);

	if (rc == SIGPIPE_RC)
		return 2 * ROWS - 3;
	if (r != NULL)
		return 2 * (int)(r - rows);
	return rc > 128 && rc < 256 ? 2 * (int)(find(RC_TRUNCATED) - rows) + 1
				    : 2 * (int)(find(RC_INTERNAL) - rows) + 1;
}

int
rc_graver(int a, int b)
{
	return rank(b) < rank(a) ? b : a;
}
