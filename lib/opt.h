/*
 * Options: one table feeds getopt_long, --help, --version, the check of the
 * man page, and shell completion. A wrong command line prints one message and
 * the usage line on stderr and exits 64.
 *
 * --help, --version and --completion=bash|zsh are in every tool and not in
 * its table.
 */
#ifndef WEIR_OPT_H
#define WEIR_OPT_H

#include <stddef.h>
#include <stdint.h>

struct opt {
	const char *name; /* long name, without dashes */
	int key;          /* a letter, or a number from OPT_FIRST up */
	const char *arg;  /* name of the argument; NULL: none */
	const char *help; /* one line, lower case, no full stop */
};

/* Keys without a letter; a tool's own start at OPT_TOOL. OPT_FILTER ones
 * belong to filter.h. */
enum { OPT_FIRST = 256, OPT_FILTER = 300, OPT_TOOL = 400 };

/* Most options a tool may have, tables included. */
#define OPT_MAX 96

struct opt_set {
	const char *synopsis; /* after "usage: tool ", may hold "\n" for more */
	const struct opt *tables[4]; /* each ends with a name of NULL */
};

/* The next option's key, or -1 when only operands are left. */
int opt_next(const struct opt_set *set, int argc, char **argv);
const char *opt_arg(void);
int opt_index(void); /* of the first operand, after -1 */
const char *opt_name(void); /* of the option just returned, "--name" */

/* Says what is wrong ("--name: text" or "text"), prints the usage, exits 64. */
_Noreturn void opt_wrong(const struct opt_set *set, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Parsers of whole arguments; wrong ones exit 64, naming the option. */
uint64_t opt_u64(uint64_t min, uint64_t max);
uint64_t opt_size(uint64_t min, uint64_t max); /* 64K, 16M, 2G: powers of 1024 */
int32_t opt_date(void); /* YYYY-MM-DD, days since 1970-01-01 */

#endif
