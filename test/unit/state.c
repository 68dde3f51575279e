/* The calls of file.h from the command line, for the fault tests. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"
#include "exits.h"
#include "file.h"
#include "opt.h"
#include "stats.h"
#include "sys.h"

/* replace FILE TEXT */
static int
replace(char **a)
{
	return file_replace(a[0], a[1], strlen(a[1]), 0);
}

/* replace-at DIR NAME TEXT: makes one missing level */
static int
replace_at(char **a)
{
	int dir = dir_open(a[0], true, true), rc;
	struct afile f;

	if (dir < 0)
		return RC_CANTCREAT;
	rc = afile_open_at(&f, dir, a[1]);
	if (rc == RC_OK && sys_write_all(f.fd, a[2], strlen(a[2])) < 0) {
		warn_sys(a[1], "cannot write");
		afile_drop(&f);
		rc = RC_IO;
	} else if (rc == RC_OK) {
		rc = afile_commit(&f, 0644);
	}
	close(dir);
	return rc;
}

/* lock DIR NAME WAIT: prints "locked", then holds it until stdin ends */
static int
lock(char **a)
{
	int dir = dir_open(a[0], true, true), fd = -1, rc;
	char c;

	if (dir < 0)
		return RC_CANTCREAT;
	rc = lock_take(dir, a[1], (unsigned)atoi(a[2]), &fd);
	if (rc == RC_OK) {
		(void)sys_write_all(1, "locked\n", 7);
		while (sys_read(0, &c, 1) > 0)
			;
		close(fd);
	}
	close(dir);
	return rc;
}

/* open-state DIR NAME */
static int
open_state(char **a)
{
	int dir = dir_open(a[0], false, false), fd;

	if (dir < 0)
		return RC_CANTCREAT;
	fd = file_open_state(dir, a[1], O_RDONLY);
	if (fd < 0)
		warn_sys(a[1], "no");
	else
		close(fd);
	close(dir);
	return fd < 0 ? RC_CANTCREAT : RC_OK;
}

/* read FILE MAX: copies it out */
static int
read_file(char **a)
{
	struct buf b = BUF_INIT(0);
	int rc = file_read(a[0], (size_t)atol(a[1]), &b);

	if (rc == RC_OK && sys_write_all(1, b.p, b.len) < 0)
		rc = RC_IO;
	buf_release(&b);
	return rc;
}

/* secret FILE TEXT: says the text with the secret taken out */
static int
secret(char **a)
{
	struct secret s;
	int rc = secret_read(a[0], &s);

	if (rc != RC_OK)
		return rc;
	printf("%zu bytes\n", s.len);
	warn_msg("said", "%s", a[1]);
	secret_wipe(&s);
	return RC_OK;
}

/* copy: stdin to stdout by sys_read and sys_write_all, as slow as asked */
static int
copy(char **a)
{
	char b[4096];
	ssize_t n;

	(void)a;
	sig_init();
	while ((n = sys_read(0, b, sizeof(b))) > 0)
		if (sys_write_all(1, b, (size_t)n) < 0) {
			if (sig_pending() != 0)
				sig_die(sig_pending());
			warn_sys("stdout", "cannot write");
			return RC_IO;
		}
	if (n < 0 && errno == EINTR && sig_pending() != 0)
		sig_die(sig_pending());
	if (n < 0) {
		warn_sys("stdin", "cannot read");
		return RC_IO;
	}
	return RC_OK;
}

/* restrict: then tries what is denied */
static int
restrain(char **a)
{
	char name[] = "true", *none[] = {name, NULL};

	(void)a;
	sys_restrict(SYS_PURE);
	execv("/bin/true", none);
	printf("execve: %s\n", strerror(errno));
	return RC_OK;
}

static int
stats(char **a)
{
	stats_start();
	stats_add("records_in", 3);
	stats_add("records_in", 4);
	stats_add("records_out", 0);
	stats_text("batch", a[0]);
	stats_end(RC_PARTIAL);
	return RC_OK;
}

/* nonblock COMMAND ...: stdin and stdout do not block */
static int
nonblock(char **argv)
{
	for (int fd = 0; fd < 2; fd++)
		(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	execvp(argv[0], argv);
	return RC_OSERR;
}

/* progress: three looks, half a second apart */
static int
progress(char **a)
{
	(void)a;
	progress_start(false);
	for (uint64_t i = 1; i <= 3; i++) {
		usleep(510000);
		progress_update(i * 1000, i << 20, 10 << 20);
	}
	progress_end();
	return RC_OK;
}

static const struct opt table[] = {
    {"since", 's', "date", "first day to keep, YYYY-MM-DD"},
    {"size", OPT_TOOL, "size", "how much"},
    {"number", 'n', "count", "a number from 1 to 10"},
    {"quick", 'q', NULL, "don't dally"},
    {NULL, 0, NULL, NULL},
};

static int
options(int argc, char **argv)
{
	static const struct opt_set set = {
	    "[-q] [--size size]\n-n count file", {table}};
	int key;

	while ((key = opt_next(&set, argc, argv)) != -1) {
		printf("%s", opt_name());
		if (key == 's')
			printf(" %d", opt_date());
		else if (key == OPT_TOOL)
			printf(" %llu",
			    (unsigned long long)opt_size(1, (uint64_t)1 << 40));
		else if (key == 'n')
			printf(" %llu", (unsigned long long)opt_u64(1, 10));
		printf("\n");
	}
	for (int i = opt_index(); i < argc; i++)
		printf("operand %s\n", argv[i]);
	if (fflush(stdout) != 0)
		return RC_IO;
	return RC_OK;
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int args;
		int (*run)(char **);
	} verbs[] = {{"replace", 2, replace}, {"replace-at", 3, replace_at},
	    {"lock", 3, lock}, {"open-state", 2, open_state},
	    {"read", 2, read_file}, {"secret", 2, secret}, {"copy", 0, copy},
	    {"restrict", 0, restrain}, {"stats", 1, stats},
	    {"progress", 0, progress}};

	diag_init(argv[0]);
	if (argc > 1 && strcmp(argv[1], "options") == 0)
		return options(argc - 1, argv + 1);
	if (argc > 2 && strcmp(argv[1], "nonblock") == 0)
		return nonblock(argv + 2);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (argc > 1 && strcmp(argv[1], verbs[i].name) == 0 &&
		    argc - 2 == verbs[i].args)
			return verbs[i].run(argv + 2);
	return RC_USAGE;
}
