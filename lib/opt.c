/* Options: one table feeds getopt_long, --help and shell completion. */
#include "opt.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "date.h"
#include "diag.h"
#include "exits.h"
#include "sys.h"

enum {
	KEY_HELP = OPT_FIRST,
	KEY_VERSION,
	KEY_COMPLETION,
	HELP_COLUMN = 31,
	HELP_MAX = 256 << 10,
	TABLES = 4,
};

static const struct opt common[] = {
    {"help", KEY_HELP, NULL, "print this and exit"},
    {"version", KEY_VERSION, NULL, "print the version and exit"},
    {"completion", KEY_COMPLETION, "shell",
	"print completion for bash or zsh and exit"},
    {NULL, 0, NULL, NULL},
};

static const struct opt_set *current;
static const struct opt *all[OPT_MAX + 4];
static size_t all_count;
static struct option longs[OPT_MAX + 5];
static char shorts[2 * OPT_MAX + 3];
static char name_shown[80];
static char *argument;

static void
take_table(const struct opt *t, size_t *letters)
{
	for (; t != NULL && t->name != NULL; t++) {
		if (all_count >= OPT_MAX)
			die(RC_INTERNAL, NULL, "too many options");
		longs[all_count] = (struct option){t->name,
		    t->arg != NULL ? required_argument : no_argument, NULL,
		    t->key};
		all[all_count++] = t;
		if (t->key > 0 && t->key < OPT_FIRST) {
			shorts[(*letters)++] = (char)t->key;
			if (t->arg != NULL)
				shorts[(*letters)++] = ':';
		}
	}
}

/* '+': operands end the options, so that a command line may follow. */
static void
prepare(const struct opt_set *set)
{
	size_t letters = 2;

	current = set;
	memcpy(shorts, "+:", 2);
	for (size_t i = 0; i < TABLES; i++)
		take_table(set->tables[i], &letters);
	take_table(common, &letters);
	opterr = 0;
	optind = 1;
}

static void
usage(struct buf *b, const struct opt_set *set)
{
	const char *text = set->synopsis != NULL ? set->synopsis : "";
	size_t n;

	buf_fmt(b, "usage: %s ", diag_tool());
	for (;; text += n + 1) {
		n = strcspn(text, "\n");
		buf_add(b, text, n);
		buf_char(b, '\n');
		if (text[n] == '\0')
			return;
		buf_fmt(b, "       %s ", diag_tool());
	}
}

static void
help_line(struct buf *b, const struct opt *o)
{
	size_t from = b->len;

	if (o->key > 0 && o->key < OPT_FIRST)
		buf_fmt(b, "  -%c, --%s", o->key, o->name);
	else
		buf_fmt(b, "      --%s", o->name);
	if (o->arg != NULL)
		buf_fmt(b, " %s", o->arg);
	do
		buf_char(b, ' ');
	while (b->len - from < HELP_COLUMN);
	buf_str(b, o->help);
	buf_char(b, '\n');
}

/* Ends the program: 0, or 74 where stdout does not take the text. */
_Noreturn static void
print_and_exit(struct buf *b)
{
	int rc = RC_OK;

	if (sys_write_all(STDOUT_FILENO, b->p, b->len) < 0 ||
	    close(STDOUT_FILENO) < 0) {
		warn_sys("stdout", "cannot write");
		rc = RC_IO;
	}
	buf_release(b);
	exit(rc);
}

_Noreturn static void
help(void)
{
	struct buf b = BUF_INIT(HELP_MAX);

	usage(&b, current);
	buf_char(&b, '\n');
	for (size_t i = 0; i < all_count; i++)
		help_line(&b, all[i]);
	print_and_exit(&b);
}

_Noreturn static void
version(void)
{
	struct buf b = BUF_INIT(HELP_MAX);

	buf_fmt(&b, "%s %s\n", diag_tool(), WEIR_VERSION);
	buf_fmt(&b, "processor: %s, sha %s; restraint: %s\n",
	    sys_has_avx2() ? "avx2" : "no avx2",
	    sys_has_sha() ? "instructions" : "by libcrypto",
	    sys_restrict_text());
	print_and_exit(&b);
}

static bool
is_file_arg(const char *arg)
{
	return strstr(arg, "file") != NULL || strstr(arg, "dir") != NULL ||
	       strstr(arg, "path") != NULL;
}

static void
bash_completion(struct buf *b, const char *tool)
{
	buf_fmt(
	    b, "_weir_%s() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]}\n", tool);
	for (size_t i = 0; b->p[i] != '('; i++) /* no '-' in a name */
		if (b->p[i] == '-')
			b->p[i] = '_';
	buf_str(b, "\tlocal prev=${COMP_WORDS[COMP_CWORD-1]}\n"
		   "\tCOMPREPLY=()\n\tcase $prev in\n");
	for (size_t i = 0; i < all_count; i++)
		if (all[i]->arg != NULL && !is_file_arg(all[i]->arg) &&
		    all[i]->key != KEY_COMPLETION)
			buf_fmt(b, "\t--%s) return ;;\n", all[i]->name);
	buf_str(b, "\t--completion) mapfile -t COMPREPLY < <(compgen -W "
		   "'bash zsh' -- \"$cur\"); return ;;\n\tesac\n"
		   "\tif [[ $cur == -* ]]; then\n"
		   "\t\tmapfile -t COMPREPLY < <(compgen -W '");
	for (size_t i = 0; i < all_count; i++)
		buf_fmt(b, "%s--%s", i > 0 ? " " : "", all[i]->name);
	buf_str(b, "' -- \"$cur\")\n\telse\n"
		   "\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
		   "\tfi\n}\ncomplete -o filenames -F ");
	{
		size_t from = b->len;

		buf_fmt(b, "_weir_%s", tool);
		for (size_t i = from; i < b->len; i++)
			if (b->p[i] == '-')
				b->p[i] = '_';
	}
	buf_fmt(b, " %s\n", tool);
}

/* Within '…' of a zsh option specification. */
static void
zsh_text(struct buf *b, const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s == '\'')
			buf_str(b, "'\\''");
		else if (strchr("[]:\\", *s) != NULL)
			buf_fmt(b, "\\%c", *s);
		else
			buf_char(b, *s);
	}
}

static void
zsh_completion(struct buf *b, const char *tool)
{
	buf_fmt(b, "#compdef %s\n_arguments -s \\\n", tool);
	for (size_t i = 0; i < all_count; i++) {
		const struct opt *o = all[i];

		if (o->key > 0 && o->key < OPT_FIRST)
			buf_fmt(b, "\t'(-%c --%s)'{-%c,--%s}'[", o->key,
			    o->name, o->key, o->name);
		else
			buf_fmt(b, "\t'--%s[", o->name);
		zsh_text(b, o->help);
		buf_char(b, ']');
		if (o->arg != NULL) {
			buf_char(b, ':');
			zsh_text(b, o->arg);
			buf_str(b, o->key == KEY_COMPLETION ? ":(bash zsh)"
				   : is_file_arg(o->arg)    ? ":_files"
							    : ": ");
		}
		buf_str(b, "' \\\n");
	}
	buf_str(b, "\t'*:file:_files'\n");
}

_Noreturn static void
completion(void)
{
	struct buf b = BUF_INIT(HELP_MAX);

	if (strcmp(argument, "bash") == 0)
		bash_completion(&b, diag_tool());
	else if (strcmp(argument, "zsh") == 0)
		zsh_completion(&b, diag_tool());
	else
		opt_wrong(current, "%s: bash or zsh", opt_name());
	print_and_exit(&b);
}

/* The word that getopt could not take, without a value behind '='. */
_Noreturn static void
wrong_option(char **argv, int found)
{
	const char *word = argv[optind > 1 ? optind - 1 : 0];
	char letter[] = {'-', (char)optopt, '\0'};
	const char *text =
	    found == ':' ? "needs an argument" : "unknown option";

	if (strncmp(word, "--", 2) != 0)
		word = letter;
	else if (found == '?' && optopt != 0)
		text = "takes no argument";
	opt_wrong(current, "%.*s: %s", (int)strcspn(word, "="), word, text);
}

int
opt_next(const struct opt_set *set, int argc, char **argv)
{
	int index = -1, key;

	if (current != set)
		prepare(set);
	key = getopt_long(argc, argv, shorts, longs, &index);
	argument = optarg;
	if (key == '?' || key == ':')
		wrong_option(argv, key);
	for (size_t i = 0; key != -1 && i < all_count; i++)
		if (all[i]->key == key)
			snprintf(name_shown, sizeof(name_shown), "--%s",
			    all[i]->name);
	if (key == KEY_HELP)
		help();
	if (key == KEY_VERSION)
		version();
	if (key == KEY_COMPLETION)
		completion();
	return key;
}

const char *
opt_arg(void)
{
	return argument;
}

int
opt_index(void)
{
	return optind;
}

const char *
opt_name(void)
{
	return name_shown;
}

void
opt_wrong(const struct opt_set *set, const char *fmt, ...)
{
	struct buf b = BUF_INIT(HELP_MAX);
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	warn_msg(NULL, "%s", text != NULL ? text : "wrong command line");
	free(text);
	usage(&b, set);
	(void)sys_write_all(STDERR_FILENO, b.p, b.len);
	buf_release(&b);
	exit(RC_USAGE);
}

_Noreturn static void
wrong_argument(const char *wanted)
{
	char quoted[DIAG_QUOTE];

	diag_quote(quoted, argument, strlen(argument));
	opt_wrong(current, "%s: %s is not %s", name_shown, quoted, wanted);
}

static bool
digits(const char **p, uint64_t *v)
{
	const char *at = *p;

	for (*v = 0; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(*v, (uint64_t)10, v) ||
		    __builtin_add_overflow(*v, (uint64_t)(*at - '0'), v))
			return false;
	if (at == *p)
		return false;
	*p = at;
	return true;
}

static uint64_t
bounded(bool good, uint64_t v, uint64_t min, uint64_t max, const char *what)
{
	char wanted[120];

	if (good && v >= min && v <= max)
		return v;
	if (max == UINT64_MAX)
		snprintf(wanted, sizeof(wanted), "%s from %llu up", what,
		    (unsigned long long)min);
	else
		snprintf(wanted, sizeof(wanted), "%s from %llu to %llu", what,
		    (unsigned long long)min, (unsigned long long)max);
	wrong_argument(wanted);
}

uint64_t
opt_u64(uint64_t min, uint64_t max)
{
	const char *p = argument;
	uint64_t v = 0;
	bool good = digits(&p, &v) && *p == '\0';

	return bounded(good, v, min, max, "a whole number");
}

uint64_t
opt_size(uint64_t min, uint64_t max)
{
	static const char units[] = "KMGT";
	const char *p = argument, *unit;
	uint64_t v = 0;
	bool good = digits(&p, &v);

	if (good && *p != '\0' && (unit = strchr(units, *p)) != NULL) {
		good = !__builtin_mul_overflow(
		    v, (uint64_t)1 << (10 * (unit - units + 1)), &v);
		p++;
	}
	return bounded(
	    good && *p == '\0', v, min, max, "a size (4096, 64K, 16M, 2G)");
}

int32_t
opt_date(void)
{
	int32_t day;

	if (!date_parse(argument, strlen(argument), &day))
		wrong_argument("a date, YYYY-MM-DD");
	return day;
}
