/*
 * SHA-256 with the SHA-NI instructions. One stream waits for the latency of
 * each round; two streams side by side fill the gaps (2.0 against 1.6 GB/s).
 * The two lanes take messages of any length as they become free.
 */
#include "sha_ni.h"

#include <string.h>

#include "sys.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define NI __attribute__((target("sha,sse4.1,ssse3")))
#define NI_INLINE static inline __attribute__((always_inline)) NI

/* The state as the instructions want it: A B E F and C D G H. */
struct state {
	__m128i abef, cdgh;
};

NI_INLINE struct state
state_load(const uint32_t h[8])
{
	struct state s;

	s.abef = _mm_set_epi32((int)h[0], (int)h[1], (int)h[4], (int)h[5]);
	s.cdgh = _mm_set_epi32((int)h[2], (int)h[3], (int)h[6], (int)h[7]);
	return s;
}

NI_INLINE void
state_words(const struct state *s, uint32_t h[8])
{
	h[0] = (uint32_t)_mm_extract_epi32(s->abef, 3);
	h[1] = (uint32_t)_mm_extract_epi32(s->abef, 2);
	h[2] = (uint32_t)_mm_extract_epi32(s->cdgh, 3);
	h[3] = (uint32_t)_mm_extract_epi32(s->cdgh, 2);
	h[4] = (uint32_t)_mm_extract_epi32(s->abef, 1);
	h[5] = (uint32_t)_mm_extract_epi32(s->abef, 0);
	h[6] = (uint32_t)_mm_extract_epi32(s->cdgh, 1);
	h[7] = (uint32_t)_mm_extract_epi32(s->cdgh, 0);
}

NI_INLINE __m128i
load_be(const unsigned char *p)
{
	const __m128i order =
	    _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);

	return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)p), order);
}

/* Four rounds with the words w and the constants sha_k[4 * i …]. */
#define ROUNDS(s, w, i)                                                      \
	do {                                                                 \
		__m128i t_ = _mm_add_epi32(                                  \
		    w, _mm_loadu_si128((const __m128i *)(sha_k + 4 * (i)))); \
		(s).cdgh = _mm_sha256rnds2_epu32((s).cdgh, (s).abef, t_);    \
		t_ = _mm_shuffle_epi32(t_, 0x0e);                            \
		(s).abef = _mm_sha256rnds2_epu32((s).abef, (s).cdgh, t_);    \
	} while (0)

/* The next four words of the schedule take the place of a, the oldest. */
#define NEXT(a, b, c, d)                                                   \
	a = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(a, b), \
				     _mm_alignr_epi8(d, c, 4)),            \
	    d)

#define QUAD1(i)                \
	NEXT(w0, w1, w2, w3);   \
	ROUNDS(s, w0, (i));     \
	NEXT(w1, w2, w3, w0);   \
	ROUNDS(s, w1, (i) + 1); \
	NEXT(w2, w3, w0, w1);   \
	ROUNDS(s, w2, (i) + 2); \
	NEXT(w3, w0, w1, w2);   \
	ROUNDS(s, w3, (i) + 3)

#define QUAD2(i)                \
	NEXT(w0, w1, w2, w3);   \
	NEXT(x0, x1, x2, x3);   \
	ROUNDS(s, w0, (i));     \
	ROUNDS(t, x0, (i));     \
	NEXT(w1, w2, w3, w0);   \
	NEXT(x1, x2, x3, x0);   \
	ROUNDS(s, w1, (i) + 1); \
	ROUNDS(t, x1, (i) + 1); \
	NEXT(w2, w3, w0, w1);   \
	NEXT(x2, x3, x0, x1);   \
	ROUNDS(s, w2, (i) + 2); \
	ROUNDS(t, x2, (i) + 2); \
	NEXT(w3, w0, w1, w2);   \
	NEXT(x3, x0, x1, x2);   \
	ROUNDS(s, w3, (i) + 3); \
	ROUNDS(t, x3, (i) + 3)

NI static void
blocks_one(struct state *state, const unsigned char *p, size_t n)
{
	struct state s = *state;

	for (; n > 0; n--, p += 64) {
		const struct state was = s;
		__m128i w0 = load_be(p), w1 = load_be(p + 16);
		__m128i w2 = load_be(p + 32), w3 = load_be(p + 48);

		ROUNDS(s, w0, 0);
		ROUNDS(s, w1, 1);
		ROUNDS(s, w2, 2);
		ROUNDS(s, w3, 3);
		QUAD1(4);
		QUAD1(8);
		QUAD1(12);
		s.abef = _mm_add_epi32(s.abef, was.abef);
		s.cdgh = _mm_add_epi32(s.cdgh, was.cdgh);
	}
	*state = s;
}

NI static void
blocks_two(struct state *sa, struct state *sb, const unsigned char *p,
    const unsigned char *q, size_t n)
{
	struct state s = *sa, t = *sb;

	for (; n > 0; n--, p += 64, q += 64) {
		const struct state was_s = s, was_t = t;
		__m128i w0 = load_be(p), w1 = load_be(p + 16);
		__m128i w2 = load_be(p + 32), w3 = load_be(p + 48);
		__m128i x0 = load_be(q), x1 = load_be(q + 16);
		__m128i x2 = load_be(q + 32), x3 = load_be(q + 48);

		ROUNDS(s, w0, 0);
		ROUNDS(t, x0, 0);
		ROUNDS(s, w1, 1);
		ROUNDS(t, x1, 1);
		ROUNDS(s, w2, 2);
		ROUNDS(t, x2, 2);
		ROUNDS(s, w3, 3);
		ROUNDS(t, x3, 3);
		QUAD2(4);
		QUAD2(8);
		QUAD2(12);
		s.abef = _mm_add_epi32(s.abef, was_s.abef);
		s.cdgh = _mm_add_epi32(s.cdgh, was_s.cdgh);
		t.abef = _mm_add_epi32(t.abef, was_t.abef);
		t.cdgh = _mm_add_epi32(t.cdgh, was_t.cdgh);
	}
	*sa = s;
	*sb = t;
}

/* A message on its way: its whole blocks, then the padded tail. */
struct lane {
	struct state state;
	const unsigned char *p;
	size_t blocks;      /* left at p */
	size_t tail_blocks; /* 0 once p is in the tail */
	size_t index;       /* of the message */
	unsigned char tail[128];
};

NI static void
lane_take(struct lane *l, const struct sha_job *job, size_t index)
{
	const unsigned char *p = job->p[index];
	size_t len = job->len[index];

	l->state = state_load(job->start);
	l->index = index;
	l->p = p;
	l->blocks = len / 64;
	l->tail_blocks =
	    sha_pad(l->tail, len % 64 > 0 ? p + (len & ~(size_t)63) : NULL,
		len % 64, job->before + len);
}

NI static void
lane_store(const struct lane *l, const struct sha_job *job)
{
	uint32_t h[8];

	state_words(&l->state, h);
	sha_store(h, job->out[l->index]);
}

/* Goes on to the tail, or stores and takes the next message. False: there is
 * none left. */
NI static bool
lane_ready(struct lane *l, const struct sha_job *job, size_t *next)
{
	while (l->blocks == 0) {
		if (l->tail_blocks > 0) {
			l->p = l->tail;
			l->blocks = l->tail_blocks;
			l->tail_blocks = 0;
			return true;
		}
		lane_store(l, job);
		if (*next == job->n)
			return false;
		lane_take(l, job, (*next)++);
	}
	return true;
}

NI static void
lane_finish(struct lane *l, const struct sha_job *job, size_t *next)
{
	while (lane_ready(l, job, next)) {
		blocks_one(&l->state, l->p, l->blocks);
		l->blocks = 0;
	}
}

NI void
sha_ni_run(const struct sha_job *job)
{
	struct lane a, b;
	size_t next = 0;

	if (job->n == 0)
		return;
	lane_take(&a, job, next++);
	if (job->n == 1) {
		lane_finish(&a, job, &next);
		return;
	}
	lane_take(&b, job, next++);
	for (;;) {
		size_t n;

		if (!lane_ready(&a, job, &next)) {
			lane_finish(&b, job, &next);
			return;
		}
		if (!lane_ready(&b, job, &next)) {
			lane_finish(&a, job, &next);
			return;
		}
		n = a.blocks < b.blocks ? a.blocks : b.blocks;
		blocks_two(&a.state, &b.state, a.p, b.p, n);
		a.p += 64 * n;
		b.p += 64 * n;
		a.blocks -= n;
		b.blocks -= n;
	}
}

NI void
sha_ni_blocks(uint32_t h[8], const unsigned char *p, size_t n)
{
	struct state s = state_load(h);

	blocks_one(&s, p, n);
	state_words(&s, h);
}

bool
sha_ni_here(void)
{
	return sys_has_sha();
}

#else

bool
sha_ni_here(void)
{
	return false;
}

void
sha_ni_run(const struct sha_job *job)
{
	(void)job;
}

void
sha_ni_blocks(uint32_t h[8], const unsigned char *p, size_t n)
{
	(void)h;
	(void)p;
	(void)n;
}

#endif
