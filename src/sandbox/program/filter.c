/*
 * filter.c - the system calls left to a child (see filter.h).
 *
 * What is in no table kills. What is refused is what an honest library may try when it has the
 * chance, and does without when told no; what is left is each justified below. The program is
 * written here rather than by a library because it is a list of numbers.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../wire.h"
#include "filter.h"

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "flowforge-sandbox knows x86_64 and aarch64"
#endif

#define COUNT(list) (sizeof(list) / sizeof(*(list)))

/* Left, on the child's stream only. */
static const unsigned on_stream[] = {
	SYS_read,  /* the request */
	SYS_write, /* console and answer */
};

/* Left, if it is memory of nobody else's that is never executable. */
static const unsigned mapping[] = {
	SYS_mmap, /* malloc, for large pieces */
};

/* Left. */
static const unsigned left[] = {
	SYS_exit_group,	   /* the end */
	SYS_exit,		   /* the same, of a thread */
	SYS_brk,		   /* malloc */
	SYS_munmap,		   /* free */
	SYS_mremap,		   /* realloc */
	SYS_madvise,	   /* what the collector gives back */
	SYS_futex,		   /* the engine's locks, which nobody else holds */
	SYS_sched_yield,   /* the same */
	SYS_clock_gettime, /* Date and the collector's timing, where the kernel does not map the clock
						*/
	SYS_gettimeofday,  /* the same */
	SYS_getrandom,	   /* the seed of Math.random */
};

/* Refused with EPERM: what libraries do without. */
static const unsigned refused[] = {
	SYS_openat,			   /* time zones, /proc */
	SYS_newfstatat,		   /* the same */
	SYS_faccessat,		   /* the same */
	SYS_readlinkat,		   /* the same */
	SYS_close,			   /* of what could not be opened */
	SYS_pread64,		   /* the collector asks a file of /proc, which is closed */
	SYS_getpid,			   /* abort() */
	SYS_gettid,			   /* abort() */
	SYS_tgkill,			   /* abort(), which then crashes, and is heard of so (crash.c) */
	SYS_rt_sigprocmask,	   /* abort() */
	SYS_rt_sigaction,	   /* abort() */
	SYS_sched_getaffinity, /* how many processors there are */
	SYS_sysinfo,		   /* how much memory there is */
	SYS_getrusage,		   /* the collector's timing */
#if defined(__x86_64__)
	SYS_open,
	SYS_stat,
	SYS_access,
	SYS_readlink,
#endif
};

#define MAX_PROGRAM 256

typedef struct Program
{
	struct sock_filter lines[MAX_PROGRAM];
	unsigned short	   count;
} Program;

static void
put(Program *program, unsigned short code, unsigned value, unsigned char yes, unsigned char no)
{
	struct sock_filter line = {code, yes, no, value};

	program->lines[program->count++] = line;
}

static void
load(Program *program, size_t offset)
{
	put(program, BPF_LD | BPF_W | BPF_ABS, (unsigned) offset, 0, 0);
}

static void
end(Program *program, unsigned verdict)
{
	put(program, BPF_RET | BPF_K, verdict, 0, 0);
}

/* The low half of an argument; the kernel looks at no more of these. */
static void
load_argument(Program *program, int number)
{
	load(program, offsetof(struct seccomp_data, args) + sizeof(__u64) * (size_t) number);
}

/* The verdict on every call of a list. */
static void
judge(Program *program, const unsigned *calls, size_t count, unsigned verdict)
{
	for (size_t i = 0; i < count; i++)
	{
		put(program, BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1);
		end(program, verdict);
	}
}

static void
judge_stream(Program *program)
{
	for (size_t i = 0; i < COUNT(on_stream); i++)
	{
		put(program, BPF_JMP | BPF_JEQ | BPF_K, on_stream[i], 0, 4);
		load_argument(program, 0);
		put(program, BPF_JMP | BPF_JEQ | BPF_K, FF_SANDBOX_CONTROL_FD, 0, 1);
		end(program, SECCOMP_RET_ALLOW);
		/* The engine may complain on a descriptor that is closed. */
		end(program, SECCOMP_RET_ERRNO | EBADF);
	}
}

static void
judge_mapping(Program *program)
{
	for (size_t i = 0; i < COUNT(mapping); i++)
	{
		put(program, BPF_JMP | BPF_JEQ | BPF_K, mapping[i], 0, 6);
		load_argument(program, 2);
		put(program, BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 3, 0);
		load_argument(program, 3);
		put(program, BPF_JMP | BPF_JSET | BPF_K, MAP_ANONYMOUS, 0, 1);
		end(program, SECCOMP_RET_ALLOW);
		end(program, SECCOMP_RET_KILL_PROCESS);
	}
}

bool
filter_install(void)
{
	Program			  program = {.count = 0};
	struct sock_fprog sent = {0, program.lines};

	load(&program, offsetof(struct seccomp_data, arch));
	put(&program, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
	end(&program, SECCOMP_RET_KILL_PROCESS);
	load(&program, offsetof(struct seccomp_data, nr));
	judge(&program, left, COUNT(left), SECCOMP_RET_ALLOW);
	judge(&program, refused, COUNT(refused), SECCOMP_RET_ERRNO | EPERM);
	judge_stream(&program);
	judge_mapping(&program);
	end(&program, SECCOMP_RET_KILL_PROCESS);
	sent.len = program.count;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &sent) == 0;
}
