/*
 * SHA-256 of sixteen messages side by side with AVX-512: each register holds
 * one word of all of them. Twice as fast as SHA-NI for batches; a few
 * messages, and the last lanes of a batch, are left to that.
 */
#include "sha_ni.h"

#include <string.h>

#include "sys.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define X16 __attribute__((target("avx512f,avx512bw")))
#define X16_INLINE static inline __attribute__((always_inline)) X16

enum { LANES = SHA_LANES, FEW = 5 };

/* Lanes without a message read this again and again. */
static const unsigned char idle[64];

struct lanes {
	_Alignas(64) uint32_t h[8][LANES];
	const unsigned char *p[LANES];
	size_t stride[LANES];        /* 64, or 0 for an idle lane */
	uint32_t blocks[LANES];      /* left at p */
	uint32_t tail_blocks[LANES]; /* 0 once p is in the tail */
	size_t index[LANES];         /* of the message */
	unsigned active;             /* a bit for each lane that has one */
	unsigned char tail[LANES][128];
};

#define EACH16(M) \
	M(0)      \
	M(1)      \
	M(2)      \
	M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11) M(12) M(13) M(14) M(15)

/* Sixteen blocks become sixteen words of each, big endian. */
X16_INLINE void
transpose(__m512i w[16], const unsigned char *const p[LANES])
{
	const __m512i order =
	    _mm512_set4_epi32(0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203);
	__m512i a[16], b[16];

#define LOAD(i) a[i] = _mm512_shuffle_epi8(_mm512_loadu_si512(p[i]), order);
	EACH16(LOAD)
#define PAIR(i)                                         \
	b[i] = _mm512_unpacklo_epi32(a[i], a[(i) + 1]); \
	b[(i) + 1] = _mm512_unpackhi_epi32(a[i], a[(i) + 1]);
	PAIR(0)
	PAIR(2)
	PAIR(4)
	PAIR(6) PAIR(8) PAIR(10) PAIR(12) PAIR(14)
#define QUAD(i)                                                     \
	a[i] = _mm512_unpacklo_epi64(b[i], b[(i) + 2]);             \
	a[(i) + 1] = _mm512_unpackhi_epi64(b[i], b[(i) + 2]);       \
	a[(i) + 2] = _mm512_unpacklo_epi64(b[(i) + 1], b[(i) + 3]); \
	a[(i) + 3] = _mm512_unpackhi_epi64(b[(i) + 1], b[(i) + 3]);
	    QUAD(0) QUAD(4) QUAD(8) QUAD(12)
#define HALF(i)                                                           \
	b[i] = _mm512_shuffle_i32x4(a[i], a[(i) + 4], 0x88);              \
	b[(i) + 4] = _mm512_shuffle_i32x4(a[i], a[(i) + 4], 0xdd);        \
	b[(i) + 8] = _mm512_shuffle_i32x4(a[(i) + 8], a[(i) + 12], 0x88); \
	b[(i) + 12] = _mm512_shuffle_i32x4(a[(i) + 8], a[(i) + 12], 0xdd);
		HALF(0) HALF(1) HALF(2) HALF(3)
#define WHOLE(i)                                                          \
	w[i] = _mm512_shuffle_i32x4(b[i], b[(i) + 8], 0x88);              \
	w[(i) + 8] = _mm512_shuffle_i32x4(b[i], b[(i) + 8], 0xdd);        \
	w[(i) + 4] = _mm512_shuffle_i32x4(b[(i) + 4], b[(i) + 12], 0x88); \
	w[(i) + 12] = _mm512_shuffle_i32x4(b[(i) + 4], b[(i) + 12], 0xdd);
		    WHOLE(0) WHOLE(1) WHOLE(2) WHOLE(3)
}

#define XOR3(a, b, c) _mm512_ternarylogic_epi32(a, b, c, 0x96)
#define ADD(a, b) _mm512_add_epi32(a, b)
#define ROR(a, n) _mm512_ror_epi32(a, n)

/* One round; the caller turns the names instead of moving the words. */
#define ROUND(a, b, c, d, e, f, g, h, w, k)                               \
	do {                                                              \
		__m512i t_ = ADD(ADD(h, _mm512_set1_epi32((int)(k))), w); \
		t_ = ADD(t_, _mm512_ternarylogic_epi32(e, f, g, 0xca));   \
		t_ = ADD(t_, XOR3(ROR(e, 6), ROR(e, 11), ROR(e, 25)));    \
		d = ADD(d, t_);                                           \
		t_ = ADD(t_, _mm512_ternarylogic_epi32(a, b, c, 0xe8));   \
		h = ADD(t_, XOR3(ROR(a, 2), ROR(a, 13), ROR(a, 22)));     \
	} while (0)

#define EIGHT(w, k)                                            \
	do {                                                   \
		ROUND(a, b, c, d, e, f, g, h, (w)[0], (k)[0]); \
		ROUND(h, a, b, c, d, e, f, g, (w)[1], (k)[1]); \
		ROUND(g, h, a, b, c, d, e, f, (w)[2], (k)[2]); \
		ROUND(f, g, h, a, b, c, d, e, (w)[3], (k)[3]); \
		ROUND(e, f, g, h, a, b, c, d, (w)[4], (k)[4]); \
		ROUND(d, e, f, g, h, a, b, c, (w)[5], (k)[5]); \
		ROUND(c, d, e, f, g, h, a, b, (w)[6], (k)[6]); \
		ROUND(b, c, d, e, f, g, h, a, (w)[7], (k)[7]); \
	} while (0)

/* The word that takes the place of the oldest, w[i]. */
#define NEXT(i)                                                               \
	do {                                                                  \
		__m512i x_ = w[((i) + 1) & 15], y_ = w[((i) + 14) & 15];      \
		__m512i z_ = ADD(w[i], w[((i) + 9) & 15]);                    \
		z_ = ADD(z_,                                                  \
		    XOR3(ROR(x_, 7), ROR(x_, 18), _mm512_srli_epi32(x_, 3))); \
		w[i] = ADD(z_, XOR3(ROR(y_, 17), ROR(y_, 19),                 \
				   _mm512_srli_epi32(y_, 10)));               \
	} while (0);

/* A block of every lane, as words, into the states. */
X16_INLINE void
compress(__m512i s[8], __m512i w[16])
{
	__m512i a = s[0], b = s[1], c = s[2], d = s[3];
	__m512i e = s[4], f = s[5], g = s[6], h = s[7];

	for (int i = 0;; i += 16) {
		EIGHT(w, sha_k + i);
		EIGHT(w + 8, sha_k + i + 8);
		if (i == 48)
			break;
		EACH16(NEXT)
	}
	s[0] = ADD(s[0], a);
	s[1] = ADD(s[1], b);
	s[2] = ADD(s[2], c);
	s[3] = ADD(s[3], d);
	s[4] = ADD(s[4], e);
	s[5] = ADD(s[5], f);
	s[6] = ADD(s[6], g);
	s[7] = ADD(s[7], h);
}

#define EACH8(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7)

/* The next block of every lane. */
X16 static void
lanes_compress(struct lanes *l)
{
	__m512i s[8], w[16];

	transpose(w, l->p);
#define GET(i) s[i] = _mm512_load_si512(l->h[i]);
	EACH8(GET)
	compress(s, w);
#define PUT(i) _mm512_store_si512(l->h[i], s[i]);
	EACH8(PUT)
}

/*
 * Sixteen HMACs of messages that fit one block with their padding. What the
 * inner hash leaves in the registers is the outer one's block as it stands.
 */
X16 void
sha_x16_hmac(const uint32_t inner[8], const uint32_t outer[8],
    const void *const p[LANES], const size_t len[LANES],
    unsigned char (*const out[LANES])[32])
{
	_Alignas(64) unsigned char block[LANES][64];
	_Alignas(64) uint32_t h[8][LANES];
	const unsigned char *at[LANES];
	__m512i s[8], w[16];

	for (size_t i = 0; i < LANES; i++) {
		uint64_t bits = __builtin_bswap64((64 + len[i]) * 8);

		memset(block[i], 0, 64);
		memcpy(block[i], p[i], len[i]);
		block[i][len[i]] = 0x80;
		memcpy(block[i] + 56, &bits, 8);
		at[i] = block[i];
	}
	transpose(w, at);
#define INNER(i) s[i] = _mm512_set1_epi32((int)inner[i]);
	EACH8(INNER)
	compress(s, w);
#define TURN(i)                              \
	w[i] = s[i];                         \
	w[(i) + 8] = _mm512_setzero_si512(); \
	s[i] = _mm512_set1_epi32((int)outer[i]);
	EACH8(TURN)
	w[8] = _mm512_set1_epi32((int)0x80000000);
	w[15] = _mm512_set1_epi32((64 + 32) * 8);
	compress(s, w);
#define KEEP(i) _mm512_store_si512(h[i], s[i]);
	EACH8(KEEP)
	for (size_t i = 0; i < LANES; i++) {
		uint32_t words[8];

		for (size_t k = 0; k < 8; k++)
			words[k] = h[k][i];
		sha_store(words, *out[i]);
	}
	explicit_bzero(block, sizeof block);
}

X16 static void
lane_words(const struct lanes *l, size_t lane, uint32_t h[8])
{
	for (size_t i = 0; i < 8; i++)
		h[i] = l->h[i][lane];
}

X16 static void
lane_take(struct lanes *l, size_t lane, const struct sha_job *job, size_t i)
{
	size_t len = job->len[i], rest = len % 64;

	for (size_t k = 0; k < 8; k++)
		l->h[k][lane] = job->start[k];
	l->index[lane] = i;
	l->p[lane] = job->p[i];
	l->blocks[lane] = (uint32_t)(len / 64);
	l->stride[lane] = 64;
	l->active |= 1u << lane;
	l->tail_blocks[lane] = (uint32_t)sha_pad(l->tail[lane],
	    rest > 0 ? l->p[lane] + (len - rest) : NULL, rest,
	    job->before + len);
	if (l->blocks[lane] == 0) {
		l->p[lane] = l->tail[lane];
		l->blocks[lane] = l->tail_blocks[lane];
		l->tail_blocks[lane] = 0;
	}
}

/* A lane has no block left at p: on to its tail, or to the next message. */
X16 static void
lane_turn(struct lanes *l, size_t lane, const struct sha_job *job, size_t *next)
{
	uint32_t h[8];

	if (l->tail_blocks[lane] > 0) {
		l->p[lane] = l->tail[lane];
		l->blocks[lane] = l->tail_blocks[lane];
		l->tail_blocks[lane] = 0;
		return;
	}
	lane_words(l, lane, h);
	sha_store(h, job->out[l->index[lane]]);
	if (*next < job->n) {
		lane_take(l, lane, job, (*next)++);
		return;
	}
	l->active &= ~(1u << lane);
	l->p[lane] = idle;
	l->stride[lane] = 0;
	l->blocks[lane] = UINT32_MAX;
}

/* Blocks that every lane has before one must turn. */
X16 static uint32_t
together(const struct lanes *l)
{
	uint32_t n = UINT32_MAX;

	for (size_t i = 0; i < LANES; i++)
		if (l->blocks[i] < n)
			n = l->blocks[i];
	return n;
}

X16 static void
finish_alone(struct lanes *l, const struct sha_job *job)
{
	for (size_t i = 0; i < LANES; i++) {
		uint32_t h[8];

		if ((l->active >> i & 1) == 0)
			continue;
		lane_words(l, i, h);
		sha_ni_blocks(h, l->p[i], l->blocks[i]);
		sha_ni_blocks(h, l->tail[i], l->tail_blocks[i]);
		sha_store(h, job->out[l->index[i]]);
	}
}

X16 void
sha_x16_run(const struct sha_job *job)
{
	struct lanes l;
	size_t next = 0;

	l.active = 0;
	for (size_t i = 0; i < LANES; i++) {
		l.blocks[i] = UINT32_MAX;
		l.p[i] = idle;
		l.stride[i] = 0;
		for (size_t k = 0; k < 8; k++)
			l.h[k][i] = 0;
		if (next < job->n)
			lane_take(&l, i, job, next++);
	}
	while (__builtin_popcount(l.active) > FEW) {
		uint32_t n = together(&l);

		for (size_t i = 0; i < LANES; i++)
			l.blocks[i] -= n;
		for (; n > 0; n--) {
			lanes_compress(&l);
			for (size_t i = 0; i < LANES; i++)
				l.p[i] += l.stride[i];
		}
		for (size_t i = 0; i < LANES; i++)
			if (l.blocks[i] == 0)
				lane_turn(&l, i, job, &next);
	}
	finish_alone(&l, job);
}

bool
sha_x16_here(void)
{
	return sys_has_avx512() && sys_has_sha();
}

#else

bool
sha_x16_here(void)
{
	return false;
}

void
sha_x16_run(const struct sha_job *job)
{
	(void)job;
}

void
sha_x16_hmac(const uint32_t inner[8], const uint32_t outer[8],
    const void *const p[16], const size_t len[16],
    unsigned char (*const out[16])[32])
{
	(void)inner;
	(void)outer;
	(void)p;
	(void)len;
	(void)out;
}

#endif
