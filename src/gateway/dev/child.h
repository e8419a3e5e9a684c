/*
 * Child processes of `flowforge dev`.
 *
 * Each is the leader of a process group of its own, so that Ctrl-C reaches only us and we stop them
 * in order, and gets SIGTERM should we be killed.
 */
#ifndef FF_CHILD_H
#define FF_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct FfChild
{
	pid_t	pid;		/* 0: not running */
	int64_t started;	/* steady clock */
	int		quick_ends; /* times in a row it ended soon after its start */
} FfChild;

/* fork() with the signals, group and parent's death set as said above. Gives 0 in the child, -1 on
 * failure. */
extern pid_t ff_child_fork(FfChild *child);

/* Notes that the child has ended. True when it did so soon after its start too often to be started
 * again. */
extern bool ff_child_ended(FfChild *child);

/* Sends a signal to the child's group. */
extern void ff_child_signal(const FfChild *child, int signal);

/* Waits until the child is gone; after the deadline (steady clock), or once `hurry` gives true,
 * kills its group. */
extern void ff_child_wait(FfChild *child, int64_t deadline, bool (*hurry)(void));

#endif
