/*
 * What Linux adds to POSIX, in one place: pipe sizes, file locks, huge pages,
 * processor features, self-restraint, and signals that end a stream well.
 */
#ifndef WEIR_SYS_H
#define WEIR_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Opens 0, 1, 2 on /dev/null the wrong way round where they are closed (so
 * that using them fails with EBADF), takes group and world write out of the
 * umask, reads the time zone never. Called by diag_init. */
void sys_start(void);

/* Asks for a 1 MiB pipe; failure is ignored. */
void sys_pipe_size(int fd);

/* read(2) and write(2) that go on after EINTR (unless a signal of sig_init is
 * pending), short counts and EAGAIN (poll). sys_read returns 0 at the end, -1
 * on error or with errno EINTR when a signal is pending. sys_write_all
 * returns 0 or -1. */
ssize_t sys_read(int fd, void *p, size_t n);
int sys_write_all(int fd, const void *p, size_t n);

/* Zeroed pages, huge ones asked for. NULL where there is no memory. */
void *sys_pages(size_t size);
/* Moved if need be; what is added is zeroed. NULL, and p is as it was, where
 * there is no memory. */
void *sys_pages_grow(void *p, size_t size, size_t more);
void sys_pages_free(void *p, size_t size);

void sys_random(void *p, size_t n); /* getrandom; dies 71 */

bool sys_has_avx2(void);   /* with BMI1, BMI2, PCLMUL, LZCNT */
bool sys_has_avx512(void); /* the F and BW parts, and all of AVX2 */
bool sys_has_sha(void);    /* SHA-NI with SSE4.1 */

/* CLOCK_MONOTONIC and CLOCK_REALTIME in nanoseconds. */
int64_t sys_mono_ns(void);
int64_t sys_real_ns(void);

/*
 * Signals. SIGTERM, SIGINT, SIGHUP set a flag (the second one ends at once);
 * readers look at it between records. sig_die ends by that signal.
 */
void sig_init(void);
int sig_pending(void); /* the signal, 0 if none */
_Noreturn void sig_die(int sig);

/*
 * Self-restraint, best effort, after options and files are open.
 * no_new_privs always; PURE: a seccomp deny list (execve, ptrace, sockets).
 */
enum { SYS_PURE = 1 };
void sys_restrict(int flags);
const char *sys_restrict_text(void); /* for --version */
/* No core dump, no tracing by others: for a process that holds a secret. */
void sys_guard(void);

#endif
