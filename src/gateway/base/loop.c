/*
 * The event loop. libpq may close a socket and get the same number for the next one behind our
 * back, so a change that epoll does not know the descriptor for becomes an addition.
 */
#define _GNU_SOURCE
#include "base/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

#define EVENTS_PER_TURN 256

static int	   epoll_fd = -1;
static int64_t turn_clock;

void
ff_loop_open(void)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		abort();
	turn_clock = ff_log_clock();
}

void
ff_loop_close(void)
{
	close(epoll_fd);
	epoll_fd = -1;
}

void
ff_loop_watch(FfWatch *watch, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};

	if (watch->fd >= 0 && watch->fd != fd)
		ff_loop_unwatch(watch);
	watch->fd = fd;
	watch->events = events;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
		return;
	if (errno != ENOENT || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		ff_log("error", "cannot watch descriptor %d: errno %d", fd, errno);
}

void
ff_loop_unwatch(FfWatch *watch)
{
	if (watch->fd >= 0)
		epoll_ctl(epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	watch->fd = -1;
	watch->events = 0;
}

void
ff_loop_turn(int timeout)
{
	struct epoll_event events[EVENTS_PER_TURN];
	int				   count = epoll_wait(epoll_fd, events, EVENTS_PER_TURN, timeout);

	turn_clock = ff_log_clock();
	for (int at = 0; at < count; at++)
	{
		FfWatch *watch = events[at].data.ptr;

		if (watch->fd >= 0)
			watch->ready(watch, events[at].events);
	}
}

int64_t
ff_loop_now(void)
{
	return turn_clock;
}
