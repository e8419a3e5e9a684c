/*
 * The event loop: epoll, level-triggered, one thread.
 */
#ifndef FF_LOOP_H
#define FF_LOOP_H

#include <stdint.h>
#include <sys/epoll.h>

/*
 * A watched descriptor. It lives in its owner, who must not free it before the turn in which it was
 * unwatched is over: events already fetched in that turn are dropped by looking at fd.
 */
typedef struct FfWatch FfWatch;
struct FfWatch
{
	int		 fd;	 /* -1: not watched */
	uint32_t events; /* EPOLLIN, EPOLLOUT; errors and hang-ups always come */
	void (*ready)(FfWatch *watch, uint32_t events);
};

extern void ff_loop_open(void);
extern void ff_loop_close(void);

/* Watches fd (anew if it was watched already), or changes what it is watched for. */
extern void ff_loop_watch(FfWatch *watch, int fd, uint32_t events);
extern void ff_loop_unwatch(FfWatch *watch);

/* Waits at most `timeout` milliseconds and calls who is ready. */
extern void ff_loop_turn(int timeout);

/* Milliseconds of a clock that only goes forward, as of this turn. */
extern int64_t ff_loop_now(void);

#endif
