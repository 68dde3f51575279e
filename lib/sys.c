/* What Linux adds to POSIX, in one place. */
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#ifdef __x86_64__
#include <cpuid.h>
#endif

#include "diag.h"
#include "exits.h"

enum { PIPE_SIZE = 1 << 20, HUGE_PAGE = 2 << 20, PAGE_STEP = 64 << 10 };

void
sys_start(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
			continue;
		/* The wrong way round, so that its use fails with EBADF. */
		if (open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd &&
		    open("/", O_PATH) != fd)
			_exit(RC_OSERR);
	}
	umask(umask(S_IWGRP | S_IWOTH) | S_IWGRP | S_IWOTH);
}

void
sys_pipe_size(int fd)
{
	int saved = errno;

	(void)fcntl(fd, F_SETPIPE_SZ, (int)PIPE_SIZE);
	errno = saved;
}

/*
 * Signals. The first sets the flag and starts a tick of one second that
 * interrupts a call which began to block between a look at the flag and now;
 * the second ends the process by the default action.
 */
static volatile sig_atomic_t sig_flag, sig_ticks;

static void
on_signal(int sig)
{
	if (sig_flag != 0) {
		signal(sig, SIG_DFL);
		raise(sig);
		return;
	}
	sig_flag = sig;
	alarm(1);
}

static void
on_tick(int sig)
{
	(void)sig;
	sig_ticks = 1;
	alarm(1);
}

void
sig_init(void)
{
	static const int ends[] = {SIGTERM, SIGINT, SIGHUP};
	struct sigaction sa = {0}, old;

	sigemptyset(&sa.sa_mask);
	sa.sa_handler = on_tick;
	sigaction(SIGALRM, &sa, NULL);
	sa.sa_handler = on_signal; /* no SA_RESTART: a read shall return */
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (sigaction(ends[i], NULL, &old) == 0 &&
		    old.sa_handler != SIG_IGN) /* nohup */
			sigaction(ends[i], &sa, NULL);
}

int
sig_pending(void)
{
	return sig_flag;
}

void
sig_die(int sig)
{
	sigset_t one;

	signal(sig, SIG_DFL);
	sigemptyset(&one);
	sigaddset(&one, sig);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	raise(sig);
	_exit(128 + sig);
}

/* True: try again. */
static bool
wait_for(int fd, short events)
{
	struct pollfd pfd = {.fd = fd, .events = events};

	return poll(&pfd, 1, -1) >= 0 || errno == EINTR;
}

ssize_t
sys_read(int fd, void *p, size_t n)
{
	for (;;) {
		ssize_t got;

		if (sig_flag != 0) {
			errno = EINTR;
			return -1;
		}
		got = read(fd, p, n);
		if (got >= 0)
			return got;
		if (errno == EINTR)
			continue;
		if ((errno != EAGAIN && errno != EWOULDBLOCK) ||
		    !wait_for(fd, POLLIN))
			return -1;
	}
}

int
sys_write_all(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n > 0) {
		ssize_t put = write(fd, at, n);

		if (put > 0) {
			at += put;
			n -= (size_t)put;
			continue;
		}
		if (put == 0) {
			errno = EIO;
			return -1;
		}
		/* A record begun is ended, if the reader takes it in time. */
		if (sig_flag != 0 && sig_ticks != 0 &&
		    (errno == EINTR || errno == EAGAIN)) {
			errno = EINTR;
			return -1;
		}
		if (errno == EINTR)
			continue;
		if ((errno != EAGAIN && errno != EWOULDBLOCK) ||
		    !wait_for(fd, POLLOUT))
			return -1;
	}
	return 0;
}

/* What is mapped for a size: large ones in steps that suit any page size. */
static size_t
mapped(size_t size)
{
	if (size < HUGE_PAGE)
		return size > 0 ? size : 1;
	return (size + (PAGE_STEP - 1)) & ~(size_t)(PAGE_STEP - 1);
}

/* Large ones begin on the border of a huge page: else the kernel can neither
 * give huge ones for all of it nor move them whole. */
static void *
map(size_t size)
{
	size_t spare = size >= HUGE_PAGE ? HUGE_PAGE : 0, before;
	char *p = mmap(NULL, mapped(size) + spare, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (spare == 0)
		return p;
	before = (size_t)(-(uintptr_t)p) & (HUGE_PAGE - 1);
	if (before > 0)
		(void)munmap(p, before);
	(void)munmap(p + before + mapped(size), spare - before);
	(void)madvise(p + before, mapped(size), MADV_HUGEPAGE);
	return p + before;
}

void *
sys_pages(size_t size)
{
	return map(size);
}

void *
sys_pages_grow(void *p, size_t size, size_t more)
{
	void *to = map(more), *q;

	if (to == NULL)
		return NULL;
	q = mremap(
	    p, mapped(size), mapped(more), MREMAP_MAYMOVE | MREMAP_FIXED, to);
	if (q == MAP_FAILED) {
		(void)munmap(to, mapped(more));
		return NULL;
	}
	if (more >= HUGE_PAGE)
		(void)madvise(q, mapped(more), MADV_HUGEPAGE);
	return q;
}

void
sys_pages_free(void *p, size_t size)
{
	if (p != NULL)
		(void)munmap(p, mapped(size));
}

void
sys_random(void *p, size_t n)
{
	char *at = p;

	while (n > 0) {
		ssize_t got = getrandom(at, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			die(RC_OSERR, NULL, "no random bytes to be had");
		at += got;
		n -= (size_t)got;
	}
}

#ifdef __x86_64__
static bool
cpu_bit(unsigned leaf, int reg, unsigned bit)
{
	unsigned r[4] = {0, 0, 0, 0};

	if (!__get_cpuid_count(leaf, 0, &r[0], &r[1], &r[2], &r[3]))
		return false;
	return (r[reg] >> bit & 1) != 0;
}

/* Asked once: virtual machines answer it slowly. */
bool
sys_has_avx2(void)
{
	static int has = -1;

	/* the builtin also asks whether the kernel saves the registers */
	if (has < 0)
		has = __builtin_cpu_supports("avx2") &&
		      __builtin_cpu_supports("bmi") &&
		      __builtin_cpu_supports("bmi2") && cpu_bit(1, 2, 1) &&
		      cpu_bit(0x80000001u, 2, 5);
	return has == 1;
}

bool
sys_has_avx512(void)
{
#ifdef __x86_64__
	return sys_has_avx2() && __builtin_cpu_supports("avx512f") &&
	       __builtin_cpu_supports("avx512bw");
#else
	return false;
#endif
}

bool
sys_has_sha(void)
{
	return cpu_bit(1, 2, 19) && cpu_bit(1, 2, 9) && cpu_bit(7, 1, 29);
}
#else
bool
sys_has_avx2(void)
{
	return false;
}

bool
sys_has_sha(void)
{
	return false;
}
#endif

static int64_t
clock_ns(clockid_t which)
{
	struct timespec ts;

	if (clock_gettime(which, &ts) < 0)
		return 0;
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t
sys_mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

int64_t
sys_real_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

/* The leak checker traces its own process: no filter under sanitizers. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SECCOMP_OFF 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || \
    __has_feature(thread_sanitizer)
#define SECCOMP_OFF 1
#endif
#endif

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#else
#define SECCOMP_OFF 1
#endif

#ifndef SECCOMP_OFF
#define LOAD(field) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define REFUSE BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)
#define DENY(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##nr, 0, 1), REFUSE

static const struct sock_filter deny_list[] = {
    LOAD(arch),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0),
    REFUSE,
    LOAD(nr),
    /* the x32 numbers, a second door into the same kernel */
    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000u, 0, 1),
    REFUSE,
    DENY(execve),
    DENY(execveat),
    DENY(ptrace),
    DENY(process_vm_readv),
    DENY(process_vm_writev),
    DENY(socket),
    DENY(socketpair),
    DENY(connect),
    DENY(bind),
    DENY(listen),
    DENY(accept),
    DENY(accept4),
    DENY(sendto),
    DENY(sendmsg),
    DENY(mount),
    DENY(umount2),
    DENY(pivot_root),
    DENY(chroot),
    DENY(setns),
    DENY(unshare),
    DENY(bpf),
    DENY(perf_event_open),
    DENY(userfaultfd),
    DENY(keyctl),
    DENY(add_key),
    DENY(request_key),
    DENY(open_by_handle_at),
    DENY(init_module),
    DENY(finit_module),
    DENY(kexec_load),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

static void
deny(void)
{
	static const struct sock_fprog prog = {
	    sizeof(deny_list) / sizeof(deny_list[0]),
	    (struct sock_filter *)(uintptr_t)deny_list,
	};

	(void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0);
}
#endif

void
sys_restrict(int flags)
{
	int saved = errno;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	    (flags & SYS_PURE) != 0) {
#ifndef SECCOMP_OFF
		deny();
#endif
	}
	errno = saved;
}

const char *
sys_restrict_text(void)
{
#ifdef SECCOMP_OFF
	return "no_new_privs";
#else
	return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0 ? "no_new_privs, seccomp"
						      : "no_new_privs";
#endif
}

void
sys_guard(void)
{
	const struct rlimit none = {0, 0};
	int saved = errno;

	(void)setrlimit(RLIMIT_CORE, &none);
#ifndef SECCOMP_OFF
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
	errno = saved;
}
