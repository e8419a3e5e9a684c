/*
 * Child processes of `flowforge dev`: see child.h.
 */
#define _GNU_SOURCE
#include "dev/child.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

#define QUICK_MS 3000
#define QUICK_ENDS_MAX 3
#define TURN_MS 20

pid_t
ff_child_fork(FfChild *child)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid == 0)
	{
		sigset_t none;

		setpgid(0, 0);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent)
			_exit(FF_EXIT_FAILED);
		return 0;
	}
	if (pid > 0)
	{
		setpgid(pid, pid);
		child->pid = pid;
		child->started = ff_steady_clock();
	}
	return pid;
}

bool
ff_child_ended(FfChild *child)
{
	child->pid = 0;
	child->quick_ends = ff_steady_clock() - child->started < QUICK_MS ? child->quick_ends + 1 : 0;
	return child->quick_ends >= QUICK_ENDS_MAX;
}

void
ff_child_signal(const FfChild *child, int signal)
{
	if (child->pid > 0)
		kill(-child->pid, signal);
}

void
ff_child_wait(FfChild *child, int64_t deadline, bool (*hurry)(void))
{
	pid_t group = child->pid;

	if (group <= 0)
		return;
	while (waitpid(group, NULL, WNOHANG) == 0)
	{
		struct timespec time = {0, TURN_MS * 1000000L};

		if (ff_steady_clock() > deadline || hurry())
			kill(-group, SIGKILL);
		nanosleep(&time, NULL);
	}
	kill(-group, SIGKILL); /* what it may have left behind */
	child->pid = 0;
}
