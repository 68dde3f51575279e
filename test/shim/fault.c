/*
 * A preloaded library that makes chosen calls fail, or kills the process.
 *
 *	FAULT="CALL:N:ACTION[,CALL:N:ACTION...]"
 *
 * CALL: write pwrite read fsync fdatasync rename close open ftruncate unlink
 * malloc (calloc and realloc too), or any (all but read and malloc). renameat
 * is rename, openat is open. N: the Nth call of the process, "N+" that and
 * all after it, "*" every one. ACTION: the name of an errno, SHORT (half of a
 * write), or KILL (SIGKILL before the call). Descriptor 2 is left alone.
 *
 * FAULT_PATH=TEXT counts only file calls whose path holds the text,
 * FAULT_DNS=ADDRESS is what every name resolves to.
 * FAULT_TOOL=NAME only in programs of that name. FAULT_COUNT=FILE appends
 * "NAME CALL=COUNT ..." when the process exits.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum call {
	C_WRITE,
	C_PWRITE,
	C_READ,
	C_FSYNC,
	C_FDATASYNC,
	C_RENAME,
	C_CLOSE,
	C_OPEN,
	C_FTRUNCATE,
	C_UNLINK,
	C_MALLOC,
	C_ANY,
	CALLS,
};

static const char *const call_names[CALLS] = {"write", "pwrite", "read",
    "fsync", "fdatasync", "rename", "close", "open", "ftruncate", "unlink",
    "malloc", "any"};

enum { A_KILL = -1, A_SHORT = -2, RULES_MAX = 16, PATH_BYTES = 4096 };

struct rule {
	enum call call;
	unsigned long n;
	bool later; /* the Nth and all after it */
	int action;
};

static struct rule rules[RULES_MAX];
static size_t rule_n;
static unsigned long seen[CALLS];
static const char *path_filter, *count_file;
static bool ready;

static const struct {
	const char *name;
	int value;
} errors[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO}, {"EACCES", EACCES},
    {"ENOMEM", ENOMEM}, {"EINTR", EINTR}, {"EAGAIN", EAGAIN}, {"EPIPE", EPIPE},
    {"EMFILE", EMFILE}, {"EROFS", EROFS}, {"EDQUOT", EDQUOT},
    {"ENOENT", ENOENT}, {"EBADF", EBADF}, {"EPERM", EPERM}, {"EINVAL", EINVAL},
    {"EXDEV", EXDEV}, {"KILL", A_KILL}, {"SHORT", A_SHORT}};

#define REAL(type, name, params)   \
	static type(*real) params; \
	if (real == NULL)          \
	*(void **)&real = dlsym(RTLD_NEXT, name)

_Noreturn static void
bad(const char *text)
{
	dprintf(2, "fault.so: cannot understand '%s'\n", text);
	_exit(99);
}

static int
lookup_action(const char *name)
{
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (strcmp(errors[i].name, name) == 0)
			return errors[i].value;
	bad(name);
}

static enum call
lookup_call(const char *name)
{
	if (strcmp(name, "renameat") == 0)
		return C_RENAME;
	if (strcmp(name, "openat") == 0)
		return C_OPEN;
	if (strcmp(name, "calloc") == 0 || strcmp(name, "realloc") == 0)
		return C_MALLOC;
	for (int i = 0; i < CALLS; i++)
		if (strcmp(call_names[i], name) == 0)
			return (enum call)i;
	bad(name);
}

static void
parse_rule(char *text)
{
	struct rule *r = &rules[rule_n++];
	char *n = strchr(text, ':'), *action, *end;

	if (n == NULL || (action = strchr(n + 1, ':')) == NULL)
		bad(text);
	*n++ = *action++ = '\0';
	r->call = lookup_call(text);
	r->action = lookup_action(action);
	if (strcmp(n, "*") == 0) {
		r->n = 1;
		r->later = true;
		return;
	}
	r->n = strtoul(n, &end, 10);
	r->later = *end == '+';
	if (end == n || (*end != '\0' && strcmp(end, "+") != 0))
		bad(n);
}

__attribute__((constructor)) static void
begin(void)
{
	const char *spec = getenv("FAULT"), *tool = getenv("FAULT_TOOL");
	static char copy[1024];
	char *save = NULL;

	if (tool != NULL && strcmp(tool, program_invocation_short_name) != 0)
		return;
	path_filter = getenv("FAULT_PATH");
	count_file = getenv("FAULT_COUNT");
	if (spec != NULL) {
		if (strlen(spec) >= sizeof(copy))
			bad(spec);
		strcpy(copy, spec);
		for (char *t = strtok_r(copy, ",", &save);
		     t != NULL && rule_n < RULES_MAX;
		     t = strtok_r(NULL, ",", &save))
			parse_rule(t);
	}
	ready = rule_n > 0 || count_file != NULL;
}

__attribute__((destructor)) static void
finish(void)
{
	char line[512];
	int n, fd;

	if (!ready || count_file == NULL)
		return;
	ready = false;
	n = snprintf(line, sizeof(line), "%s", program_invocation_short_name);
	for (int i = 0; i < CALLS; i++)
		n += snprintf(line + n, sizeof(line) - (size_t)n, " %s=%lu",
		    call_names[i], seen[i]);
	line[n++] = '\n';
	fd = (int)syscall(SYS_openat, AT_FDCWD, count_file,
	    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0) {
		(void)!syscall(SYS_write, fd, line, (size_t)n);
		(void)syscall(SYS_close, fd);
	}
}

static void
fd_path(int fd, char out[PATH_BYTES])
{
	char link[64];
	long n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = syscall(SYS_readlinkat, AT_FDCWD, link, out, PATH_BYTES - 1);
	out[n > 0 ? n : 0] = '\0';
}

/* Does the path (or the descriptor, where path is NULL) count? */
static bool
concerns(int fd, const char *path)
{
	char full[PATH_BYTES] = "";

	if (path_filter == NULL)
		return true;
	if (path != NULL && strstr(path, path_filter) != NULL)
		return true;
	if (path != NULL && (*path == '/' || fd == AT_FDCWD))
		return false;
	fd_path(fd, full);
	return strstr(full, path_filter) != NULL;
}

/* 0: make the call. Else an errno, or A_SHORT. */
static int
count(enum call c)
{
	unsigned long n, any = 0;

	n = __atomic_add_fetch(&seen[c], 1, __ATOMIC_RELAXED);
	if (c != C_READ && c != C_MALLOC)
		any = __atomic_add_fetch(&seen[C_ANY], 1, __ATOMIC_RELAXED);
	for (size_t i = 0; i < rule_n; i++) {
		const struct rule *r = &rules[i];
		unsigned long at = r->call == c       ? n
				   : r->call == C_ANY ? any
						      : 0;

		if (at == 0 || (r->later ? at < r->n : at != r->n))
			continue;
		if (r->action != A_KILL)
			return r->action;
		(void)syscall(SYS_kill, getpid(), SIGKILL);
		for (;;)
			pause();
	}
	return 0;
}

static int
fault(enum call c, int fd, const char *path)
{
	int saved = errno, e;

	if (!ready || (path == NULL && fd == 2) || !concerns(fd, path)) {
		errno = saved;
		return 0;
	}
	e = count(c);
	errno = e > 0 ? e : saved;
	return e;
}

ssize_t
write(int fd, const void *p, size_t n)
{
	int e = fault(C_WRITE, fd, NULL);
	REAL(ssize_t, "write", (int, const void *, size_t));

	if (e > 0)
		return -1;
	return real(fd, p, e == A_SHORT && n > 1 ? n / 2 : n);
}

static ssize_t
do_pwrite(int fd, const void *p, size_t n, off_t at)
{
	int e = fault(C_PWRITE, fd, NULL);
	REAL(ssize_t, "pwrite", (int, const void *, size_t, off_t));

	if (e > 0)
		return -1;
	return real(fd, p, e == A_SHORT && n > 1 ? n / 2 : n, at);
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	return do_pwrite(fd, p, n, at);
}

ssize_t
pwrite64(int fd, const void *p, size_t n, off_t at)
{
	return do_pwrite(fd, p, n, at);
}

static ssize_t
do_read(int fd, void *p, size_t n)
{
	int e = fault(C_READ, fd, NULL);
	REAL(ssize_t, "read", (int, void *, size_t));

	if (e > 0)
		return -1;
	return real(fd, p, e == A_SHORT && n > 1 ? n / 2 : n);
}

ssize_t
read(int fd, void *p, size_t n)
{
	return do_read(fd, p, n);
}

ssize_t __read_chk(int fd, void *p, size_t n, size_t room);
ssize_t
__read_chk(int fd, void *p, size_t n, size_t room)
{
	if (n > room)
		abort();
	return do_read(fd, p, n);
}

int
fsync(int fd)
{
	int e = fault(C_FSYNC, fd, NULL);
	REAL(int, "fsync", (int));

	return e > 0 ? -1 : real(fd);
}

int
fdatasync(int fd)
{
	int e = fault(C_FDATASYNC, fd, NULL);
	REAL(int, "fdatasync", (int));

	return e > 0 ? -1 : real(fd);
}

static int
fault_rename(int a, const char *old, int b, const char *new)
{
	if (ready && !concerns(a, old) && !concerns(b, new))
		return 0;
	return fault(C_RENAME, b, concerns(b, new) ? new : old);
}

int
rename(const char *old, const char *new)
{
	int e = fault_rename(AT_FDCWD, old, AT_FDCWD, new);
	REAL(int, "rename", (const char *, const char *));

	return e > 0 ? -1 : real(old, new);
}

int
renameat(int a, const char *old, int b, const char *new)
{
	int e = fault_rename(a, old, b, new);
	REAL(int, "renameat", (int, const char *, int, const char *));

	return e > 0 ? -1 : real(a, old, b, new);
}

int
renameat2(int a, const char *old, int b, const char *new, unsigned flags)
{
	int e = fault_rename(a, old, b, new);
	REAL(
	    int, "renameat2", (int, const char *, int, const char *, unsigned));

	return e > 0 ? -1 : real(a, old, b, new, flags);
}

/* The descriptor is gone even where close reports an error. */
int
close(int fd)
{
	int e = fault(C_CLOSE, fd, NULL);
	REAL(int, "close", (int));
	int rc = real(fd);

	if (e <= 0)
		return rc;
	errno = e;
	return -1;
}

static int
do_open(int dir, const char *path, int flags, mode_t mode)
{
	int e = fault(C_OPEN, dir, path);
	REAL(int, "openat", (int, const char *, int, ...));

	return e > 0 ? -1 : real(dir, path, flags, mode);
}

#define OPEN_MODE(flags, last)                                            \
	mode_t mode = 0;                                                  \
	if (((flags)&O_CREAT) != 0 || ((flags)&O_TMPFILE) == O_TMPFILE) { \
		va_list ap;                                               \
		va_start(ap, last);                                       \
		mode = va_arg(ap, mode_t);                                \
		va_end(ap);                                               \
	}

int
open(const char *path, int flags, ...)
{
	OPEN_MODE(flags, flags)
	return do_open(AT_FDCWD, path, flags, mode);
}

int
open64(const char *path, int flags, ...)
{
	OPEN_MODE(flags, flags)
	return do_open(AT_FDCWD, path, flags, mode);
}

int
openat(int dir, const char *path, int flags, ...)
{
	OPEN_MODE(flags, flags)
	return do_open(dir, path, flags, mode);
}

int
openat64(int dir, const char *path, int flags, ...)
{
	OPEN_MODE(flags, flags)
	return do_open(dir, path, flags, mode);
}

/* What fortified programs call instead. */
int __open_2(const char *path, int flags);
int
__open_2(const char *path, int flags)
{
	return do_open(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags);
int
__open64_2(const char *path, int flags)
{
	return do_open(AT_FDCWD, path, flags, 0);
}

int __openat_2(int dir, const char *path, int flags);
int
__openat_2(int dir, const char *path, int flags)
{
	return do_open(dir, path, flags, 0);
}

int __openat64_2(int dir, const char *path, int flags);
int
__openat64_2(int dir, const char *path, int flags)
{
	return do_open(dir, path, flags, 0);
}

int
ftruncate(int fd, off_t n)
{
	int e = fault(C_FTRUNCATE, fd, NULL);
	REAL(int, "ftruncate", (int, off_t));

	return e > 0 ? -1 : real(fd, n);
}

int
ftruncate64(int fd, off_t n)
{
	return ftruncate(fd, n);
}

int
unlink(const char *path)
{
	int e = fault(C_UNLINK, AT_FDCWD, path);
	REAL(int, "unlink", (const char *));

	return e > 0 ? -1 : real(path);
}

int
unlinkat(int dir, const char *path, int flags)
{
	int e = fault(C_UNLINK, dir, path);
	REAL(int, "unlinkat", (int, const char *, int));

	return e > 0 ? -1 : real(dir, path, flags);
}

#ifndef FAULT_NO_MALLOC
/* dlsym allocates: these go to glibc by its own names. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

static bool
no_memory(void)
{
	int e = ready ? count(C_MALLOC) : 0;

	if (e > 0)
		errno = e;
	return e > 0;
}

void *
malloc(size_t n)
{
	return no_memory() ? NULL : __libc_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
	return no_memory() ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *p, size_t n)
{
	return no_memory() ? NULL : __libc_realloc(p, n);
}
#endif

int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
    struct addrinfo **result)
{
	const char *to = getenv("FAULT_DNS");
	REAL(int, "getaddrinfo",
	    (const char *, const char *, const struct addrinfo *,
		struct addrinfo **));

	return real(
	    to != NULL && node != NULL ? to : node, service, hints, result);
}
