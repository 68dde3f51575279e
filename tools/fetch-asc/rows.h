/*
 * Reports as they come: gzip or not, text with tabs, columns by the names in
 * the first line. unpack checks all of it; only then are rows written.
 */
#ifndef WEIR_ASC_ROWS_H
#define WEIR_ASC_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "out.h"
#include "spool.h"

enum { COLUMNS_MAX = 200, LINE_MAX_BYTES = 1 << 20 };

/* Is the word one of a list between blanks? */
bool has_word(const char *list, const char *word);

/* A kind of report: what its header must and may hold, as lower snake case. */
struct kind {
	const char *name;     /* "SALES"; for messages */
	const char *required; /* names between blanks */
	const char *known;    /* the others; NULL: any */
};
extern const struct kind kind_sales, kind_subscription, kind_event,
    kind_subscriber, kind_other, kind_analytics;

struct column {
	char key[128]; /* lower snake case */
	char *lead;    /* `,"key":"` */
	size_t lead_len;
	bool number, date;
};

struct layout {
	char delim;
	size_t n;
	struct column *col;
	/* What identifies a row: the columns of the kind in our own order (-1:
	 * not there), then what else there is, by name. */
	int *order;
	size_t n_order;
	size_t *more;
	size_t n_more;
	size_t leads; /* bytes of all leads */
	int date;     /* the column `date`, -1 for none */
	int product;  /* product_type_identifier, -1 for none */
	bool footer;  /* a first cell "Total…" is a footer */
};

/* The first line of the text. RC_OK, or RC_CONTRACT with *why (freed by the
 * caller). Unknown names are warned of once, in context `what`. */
int layout_read(struct layout *l, const char *line, size_t n,
    const struct kind *k, const char *what, char **why);
void layout_release(struct layout *l);

/*
 * Undoes gzip (several members; plain text is taken as it is) and checks the
 * text: UTF-8, no line over a limit, no row with more cells than the header.
 * The rows go to `plain`, without the header line, which goes to *header.
 * RC_TRANSIENT: cut or damaged, to be fetched again. RC_CONTRACT, RC_IO.
 */
int unpack(struct spool *packed, struct spool *plain, struct buf *header,
    uint64_t max, char **why);

/* Writes the rows of `plain` as NDJSON. */
struct rows {
	const struct layout *l;
	struct out *out;
	const char *lead;     /* members after event_id: `"source":"asc",…` */
	const char *identity; /* of the report: "asc|sales|…|" */
	const char *only; /* rows of that date alone (YYYY-MM-DD), or NULL */
	uint64_t count;
};
int rows_write(struct rows *r, struct spool *plain);
/* Days in the date column of the text, each once: calls `day` with ISO. */
int rows_days(const struct layout *l, struct spool *plain,
    void (*day)(void *ctx, int32_t day), void *ctx);

#endif
