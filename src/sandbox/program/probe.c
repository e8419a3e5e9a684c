/*
 * probe.c - a door for tests (see probe.h). No program that is installed has it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef FF_SANDBOX_PROBE
#define FF_SANDBOX_PROBE 1 /* for who looks at this file alone */
#endif
#include "probe.h"

static long
own_clone(void)
{
	return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static long
own_mmap(int access, int flags, int file)
{
	return syscall(SYS_mmap, 0, 4096, access, flags, file, 0);
}

static long
own_exec(void)
{
	static char *none[] = {NULL};

	return syscall(SYS_execve, "/bin/sh", none, none);
}

static long
set_clock(void)
{
	struct timespec now = {0, 0};

	return syscall(SYS_clock_settime, CLOCK_REALTIME, &now);
}

static long
raise_limit(void)
{
	struct rlimit bound = {RLIM_INFINITY, RLIM_INFINITY};

	return syscall(SYS_prlimit64, 0, RLIMIT_AS, &bound, NULL);
}

static long
write_to(int descriptor)
{
	return syscall(SYS_write, descriptor, "x", 1);
}

static long
fill_memory(void)
{
	long got = 0;

	while (mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
		   MAP_FAILED)
		got++;
	return got > 4096 ? got : -1; /* MB */
}

static long
grow_stack(int depth)
{
	volatile char room[4096];

	room[0] = (char) depth;
	return depth == 0 ? room[0] : grow_stack(depth - 1) + room[0];
}

static long
read_nowhere(void)
{
	volatile char *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return *nowhere;
}

#define ATTEMPTS(X)                                                                       \
	X("open", syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY))                     \
	X("create", syscall(SYS_openat, AT_FDCWD, "/tmp/x", O_CREAT | O_WRONLY, 0600))        \
	X("stat", syscall(SYS_newfstatat, AT_FDCWD, "/", NULL, 0))                            \
	X("unlink", syscall(SYS_unlinkat, AT_FDCWD, "/tmp/x", 0))                             \
	X("getdents", syscall(SYS_getdents64, 0, NULL, 0))                                    \
	X("socket", syscall(SYS_socket, AF_INET, SOCK_STREAM, 0))                             \
	X("unix socket", syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0))                        \
	X("socketpair", syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, NULL))               \
	X("connect", syscall(SYS_connect, 3, NULL, 0))                                        \
	X("sendmsg", syscall(SYS_sendmsg, 3, NULL, 0))                                        \
	X("recvmsg", syscall(SYS_recvmsg, 3, NULL, 0))                                        \
	X("clone", own_clone())                                                               \
	X("clone3", syscall(SYS_clone3, NULL, 0))                                             \
	X("execve", own_exec())                                                               \
	X("execveat", syscall(SYS_execveat, AT_FDCWD, "/bin/sh", NULL, NULL, 0))              \
	X("ptrace", syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0))                             \
	X("kill", syscall(SYS_kill, 1, SIGKILL))                                              \
	X("kill all", syscall(SYS_kill, -1, SIGKILL))                                         \
	X("tgkill", syscall(SYS_tgkill, 1, 1, SIGKILL))                                       \
	X("clock_settime", set_clock())                                                       \
	X("settimeofday", syscall(SYS_settimeofday, NULL, NULL))                              \
	X("nanosleep", syscall(SYS_nanosleep, NULL, NULL))                                    \
	X("setitimer", syscall(SYS_setitimer, 0, NULL, NULL))                                 \
	X("setrlimit", raise_limit())                                                         \
	X("prctl", syscall(SYS_prctl, 1, 0, 0, 0, 0))                                         \
	X("seccomp", syscall(SYS_seccomp, 0, 0, NULL))                                        \
	X("setuid", syscall(SYS_setuid, 0))                                                   \
	X("unshare", syscall(SYS_unshare, CLONE_NEWUSER))                                     \
	X("setns", syscall(SYS_setns, 3, 0))                                                  \
	X("mount", syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL))                         \
	X("chroot", syscall(SYS_chroot, "/"))                                                 \
	X("bpf", syscall(SYS_bpf, 0, NULL, 0))                                                \
	X("io_uring", syscall(SYS_io_uring_setup, 1, NULL))                                   \
	X("keyctl", syscall(SYS_keyctl, 0, 0))                                                \
	X("memfd", syscall(SYS_memfd_create, "x", 0))                                         \
	X("shmget", syscall(SYS_shmget, 0, 4096, 0600))                                       \
	X("process_vm_readv", syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0))          \
	X("pidfd_open", syscall(SYS_pidfd_open, 1, 0))                                        \
	X("dup", syscall(SYS_dup, 3))                                                         \
	X("fcntl", syscall(SYS_fcntl, 3, F_GETFL))                                            \
	X("ioctl", syscall(SYS_ioctl, 3, 0, NULL))                                            \
	X("map executable", own_mmap(PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1)) \
	X("map writable and executable",                                                      \
	  own_mmap(PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1))      \
	X("map a file", own_mmap(PROT_READ, MAP_PRIVATE, 3))                                  \
	X("make executable",                                                                  \
	  syscall(SYS_mprotect, (long) own_exec & ~4095L, 4096, PROT_READ | PROT_EXEC))       \
	X("read descriptor 0", syscall(SYS_read, 0, NULL, 1))                                 \
	X("write descriptor 1", write_to(1))                                                  \
	X("write descriptor 2", write_to(2))                                                  \
	X("write descriptor 4", write_to(4))                                                  \
	X("fill memory", fill_memory())                                                       \
	X("grow the stack", grow_stack(100000))                                               \
	X("read nowhere", read_nowhere())                                                     \
	X("trap", (__builtin_trap(), 0))

/* Gives what came of it: the name of the error, or what the call gave. */
static JSValueRef
attempt(JSContextRef context, JSObjectRef function, JSObjectRef this, size_t count,
		const JSValueRef values[], JSValueRef *exception)
{
	JSStringRef text = JSValueToStringCopy(context, values[0], NULL);
	char		what[100];
	char		told[100] = "unknown";
	long		result = 0;

	JSStringGetUTF8CString(text, what, sizeof(what));
	JSStringRelease(text);
	errno = 0;
#define TRY(name, expression)                                               \
	if (strcmp(what, name) == 0)                                            \
	{                                                                       \
		result = (expression);                                              \
		snprintf(told, sizeof(told), result < 0 ? "refused %s" : "done %s", \
				 errno ? strerrorname_np(errno) : "");                      \
	}
	ATTEMPTS(TRY)
	text = JSStringCreateWithUTF8CString(told);
	return JSValueMakeString(context, text);
}

static JSValueRef
list(JSContextRef context, JSObjectRef function, JSObjectRef this, size_t count,
	 const JSValueRef values[], JSValueRef *exception)
{
	JSStringRef text;
#define NAME(name, expression) name "\n"
	text = JSStringCreateWithUTF8CString(ATTEMPTS(NAME));
	return JSValueMakeString(context, text);
}

static void
add(JSGlobalContextRef context, const char *name, JSObjectCallAsFunctionCallback callback)
{
	JSStringRef key = JSStringCreateWithUTF8CString(name);

	JSObjectSetProperty(context, JSContextGetGlobalObject(context), key,
						JSObjectMakeFunctionWithCallback(context, key, callback),
						kJSPropertyAttributeNone, NULL);
	JSStringRelease(key);
}

void
probe_install(JSGlobalContextRef context)
{
	add(context, "attempt", attempt);
	add(context, "attempts", list);
}
