/* Words of a jq program; shared by jqlex.c and jqparse.c alone. */
#ifndef WEIR_JQLEX_H
#define WEIR_JQLEX_H

#include "jqparse.h"

enum tok_type {
	T_END,
	T_IDENT,  /* keywords too */
	T_FIELD,  /* .name: s is the name */
	T_VAR,    /* $name: s is the name */
	T_FORMAT, /* @name */
	T_NUM,
	T_STR,    /* a whole string, decoded */
	T_OPEN,   /* the quote that begins a string with \( ) in it */
	T_PART,   /* piece of such a string, decoded */
	T_SUB,    /* \( */
	T_SUBEND, /* its ) */
	T_CLOSE,  /* the quote that ends it */
	T_OP,     /* s, n: the operator */
};

struct tok {
	enum tok_type type;
	const char *s;
	size_t n;
	size_t at;
};

struct toks {
	struct tok *t;
	size_t n, cap;
	char *room; /* decoded strings */
	size_t room_len;
};

/* False: *why. The words point into text or room. */
bool jqx_lex(
    const char *text, size_t len, struct toks *out, struct jq_why *why);
void jqx_lex_release(struct toks *t);
bool jqx_words_ok(const struct toks *t, struct jq_why *why);

static inline bool
tok_is(const struct tok *t, enum tok_type type, const char *s)
{
	return t->type == type && t->n == strlen(s) &&
	       memcmp(t->s, s, t->n) == 0;
}

#endif
