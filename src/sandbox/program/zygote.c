/*
 * zygote.c - takes orders, forks children, and tells of their end (see zygote.h).
 *
 * It reads nothing that code has written: a child has its stream from the moment it begins, and
 * the zygote closes its own copy.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash.h"
#include "engine.h"
#include "frame.h"
#include "jail.h"
#include "zygote.h"

typedef struct Child
{
	pid_t	 pid; /* 0: none */
	uint64_t id;
} Child;

static Child children[FF_SANDBOX_MAX_CHILDREN];

static Child *
find_child(bool by_pid, pid_t pid, uint64_t id)
{
	for (int i = 0; i < FF_SANDBOX_MAX_CHILDREN; i++)
	{
		Child *child = &children[i];

		if (by_pid ? child->pid == pid : child->pid != 0 && child->id == id)
			return child;
	}
	return NULL;
}

static void
tell(FfSandboxNoticeKind kind, uint64_t id, int status, const struct rusage *usage)
{
	FfSandboxNotice notice = {.kind = kind, .status = status, .id = id};

	if (usage != NULL)
	{
		notice.peak = (uint64_t) usage->ru_maxrss * 1024;
		notice.cpu_us = (uint64_t) (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000 +
						(uint64_t) (usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
	}
	(void) send(FF_SANDBOX_CONTROL_FD, &notice, sizeof(notice), MSG_NOSIGNAL);
}

/* --- a child --- */

static void __attribute__((noreturn)) live(const FfSandboxOrder *order, int stream, pid_t zygote)
{
	sigset_t none;
	char	*request;
	size_t	 length;

	sigemptyset(&none);
	if (!jail_tie_to_parent() || getppid() != zygote)
		_exit(1);
	if (dup2(stream, FF_SANDBOX_CONTROL_FD) < 0 ||
		close_range(FF_SANDBOX_CONTROL_FD + 1, ~0U, 0) != 0 ||
		close_range(0, FF_SANDBOX_CONTROL_FD - 1, 0) != 0)
		_exit(1);
	crash_watch(order->memory);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (!jail_child(order->memory, order->seconds))
		_exit(1);
	request = frame_read(&length);
	if (request == NULL)
		_exit(1);
	engine_run(request, length, order->output);
}

static void
start_child(const FfSandboxOrder *order, int stream)
{
	Child *child = find_child(true, 0, 0);
	pid_t  zygote = getpid();
	pid_t  pid;

	if (child == NULL || stream < 0)
	{
		tell(FF_SANDBOX_UNBORN, order->id, child ? EBADF : EAGAIN, NULL);
		return;
	}
	pid = fork();
	if (pid == 0)
		live(order, stream, zygote);
	if (pid < 0)
	{
		tell(FF_SANDBOX_UNBORN, order->id, errno, NULL);
		return;
	}
	child->pid = pid;
	child->id = order->id;
}

/* --- the loop --- */

/* False when whoever gives orders is gone. */
static bool
take_order(void)
{
	FfSandboxOrder	order;
	char			control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct iovec	part = {&order, sizeof(order)};
	struct msghdr	message = {.msg_iov = &part,
							   .msg_iovlen = 1,
							   .msg_control = control,
							   .msg_controllen = sizeof(control)};
	ssize_t			got = recvmsg(FF_SANDBOX_CONTROL_FD, &message, MSG_CMSG_CLOEXEC);
	struct cmsghdr *header;
	int				stream = -1;
	Child		   *child;

	if (got < 0 && errno == EINTR)
		return true;
	if (got != sizeof(order))
		return false;
	header = CMSG_FIRSTHDR(&message);
	if (header != NULL && header->cmsg_type == SCM_RIGHTS)
		memcpy(&stream, CMSG_DATA(header), sizeof(stream));
	if (order.kind == FF_SANDBOX_START)
		start_child(&order, stream);
	else if (order.kind == FF_SANDBOX_KILL)
	{
		child = find_child(false, 0, order.id);
		if (child != NULL)
			kill(child->pid, SIGKILL);
	}
	if (stream >= 0)
		close(stream);
	return true;
}

static void
reap(int signals)
{
	struct signalfd_siginfo info;
	struct rusage			usage;
	int						status;
	pid_t					pid;

	(void) !read(signals, &info, sizeof(info));
	while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0)
	{
		Child *child = find_child(true, pid, 0);

		if (child == NULL)
			continue;
		child->pid = 0;
		tell(FF_SANDBOX_ENDED, child->id, status, &usage);
	}
}

int
zygote_serve(void)
{
	struct pollfd watched[2] = {{.fd = FF_SANDBOX_CONTROL_FD, .events = POLLIN},
								{.events = POLLIN}};
	sigset_t	  ends;

	sigemptyset(&ends);
	sigaddset(&ends, SIGCHLD);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	watched[1].fd = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
	if (watched[1].fd < 0)
		return 1;
	tell(FF_SANDBOX_READY, 0, 0, NULL);
	for (;;)
	{
		if (poll(watched, 2, -1) < 0 && errno != EINTR)
			return 1;
		if (watched[1].revents)
			reap(watched[1].fd);
		if (watched[0].revents && !take_order())
			return 0;
	}
}
