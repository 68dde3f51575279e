/* What a compiled schema is, for the two readers of rows: fv.c, which takes any
 * JSON, and fv_quick.c, which takes what the service writes. */
#ifndef WEIR_FV_IMPL_H
#define WEIR_FV_IMPL_H

#include "fv.h"
#include "span.h"

enum kind {
	KIND_TEXT,
	KIND_INT,
	KIND_FLOAT,
	KIND_BOOL,
	KIND_TIME,
	KIND_RECORD,
	/* in the forms of a query's rows */
	KIND_SMALL_INT, /* a number where a double holds it */
	KIND_DECIMAL,
	KIND_INSTANT,
	KIND_DOCUMENT, /* JSON */
	KIND_MAYBE_JSON,
	KIND_NUMBER,
};

struct col {
	char *key; /* `,"name":` with 64 bytes behind it */
	size_t key_len;
	char *name;
	enum kind kind;
	bool repeated;
	bool decimal, document; /* NUMERIC, BIGNUMERIC; JSON */
	bool nulls;             /* null is written */
	struct col *child;
	size_t n;
};

struct fv {
	struct col root;
	size_t max_key;
	struct buf *out;
	char *o; /* where to write; room was made for the whole row */
	const struct col *at; /* the column that is read, for messages */
	const char *wrong;
	char why[400];
};

static inline void
put(struct fv *v, const char *p, size_t n)
{
	memcpy(v->o, p, n);
	v->o += n;
}

/* The digits from p on. */
static inline size_t
digits(const char *p)
{
	size_t n = 0;

#ifdef __SSE2__
	__m128i x =
	    _mm_sub_epi8(_mm_loadu_si128((const __m128i *)(const void *)p),
		_mm_set1_epi8('0'));
	unsigned m = (unsigned)_mm_movemask_epi8(
	    _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(9)), x));

	n = (size_t)__builtin_ctz(~m);
	if (n < 16)
		return n;
#endif
	while (p[n] >= '0' && p[n] <= '9')
		n++;
	return n;
}

static inline void
put_key(struct fv *v, const struct col *c)
{
	span_copy(v->o, c->key, c->key_len);
	v->o += c->key_len;
}

/* What the form wants of a cell that is null. */
static inline void
put_null(struct fv *v, const struct col *c)
{
	if (c->repeated) {
		put_key(v, c);
		put(v, "[]", 2);
	} else if (c->nulls) {
		put_key(v, c);
		put(v, "null", 4);
	}
}

#endif
