/*
 * client.c - runs code in children of flowforge-sandbox (see client.h).
 *
 *   WAITING ──► RUNNING ──► ENDING ──► OVER
 *
 * A call waits for room, runs, and is over when its answer has come or its time is up. A child that
 * closes its stream without an answer is ENDING until the zygote tells how. What a child sends is
 * not trusted: frames are bounded here as well as there.
 */
#include "postgres.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run/run.h"
#include "sandbox/client.h"
#include "sandbox/zygote.h"
#include "utils/memutils.h"

#define MAX_EVENTS 64
#define READ_BYTES (64 * 1024)
#define ANSWER_ROOM (64 * 1024) /* what an answer may have beyond its result */
#define CONSOLE_ROOM (4 * FF_SANDBOX_CONSOLE_BYTES)
#define ENDING_US (5 * USECS_PER_SEC) /* after which a zygote that does not tell is given up */
#define AGAIN_US 10000 /* after which an order that could not be sent is tried again */

enum
{
	UNSENT, /* the caller's, still or again */
	WAITING,
	RUNNING,
	ENDING,
	OVER
};

static int		  epoll_fd = -1;
static uint64	  last_id = 0;
static dlist_head waiting = DLIST_STATIC_INIT(waiting);
static dlist_head running = DLIST_STATIC_INIT(running); /* and ending */
static dlist_head over = DLIST_STATIC_INIT(over);

static bool blocked = false; /* an order could not be sent */

void
ff_sandbox_init(void)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		elog(ERROR, "an epoll descriptor cannot be made: %m");
}

int
ff_sandbox_descriptor(void)
{
	return epoll_fd;
}

FfSandboxCall *
ff_sandbox_new(MemoryContext parent)
{
	MemoryContext context =
		AllocSetContextCreate(parent, "flowforge sandbox call", ALLOCSET_SMALL_SIZES);
	MemoryContext  old = MemoryContextSwitchTo(context);
	FfSandboxCall *call = palloc0(sizeof(FfSandboxCall));

	call->context = context;
	call->stream = -1;
	initStringInfo(&call->request);
	initStringInfo(&call->answer);
	initStringInfo(&call->console);
	initStringInfo(&call->received);
	MemoryContextSwitchTo(old);
	return call;
}

/* --- a call's states --- */

static void
close_stream(FfSandboxCall *call)
{
	/* Closing takes it out of the epoll, too. */
	if (call->stream >= 0)
		close(call->stream);
	call->stream = -1;
}

/* Whoever moves a call takes it out of the list it is in. */
static void
move(FfSandboxCall *call, dlist_head *to, int state)
{
	if (call->state != UNSENT)
		dlist_delete(&call->node);
	dlist_push_tail(to, &call->node);
	call->state = state;
}

static void
finish(FfSandboxCall *call, FfSandboxOutcome outcome)
{
	close_stream(call);
	call->outcome = outcome;
	move(call, &over, OVER);
}

static void
give_up(FfSandboxCall *call, FfSandboxOutcome outcome)
{
	ff_zygote_kill(call->id);
	finish(call, outcome);
}

void
ff_sandbox_start(FfSandboxCall *call)
{
	call->id = ++last_id;
	if (call->request.len > FF_SANDBOX_MAX_REQUEST)
	{
		call->failure = MemoryContextStrdup(call->context, "the code's context is too large");
		finish(call, FF_SANDBOX_UNSTARTED);
		return;
	}
	move(call, &waiting, WAITING);
}

void
ff_sandbox_free(FfSandboxCall *call)
{
	if (call->state == RUNNING)
		ff_zygote_kill(call->id);
	close_stream(call);
	if (call->state != UNSENT)
		dlist_delete(&call->node);
	MemoryContextDelete(call->context);
}

/* --- the stream --- */

static bool
watch(int operation, int fd, uint32 events, uint64 id)
{
	struct epoll_event event = {.events = events, .data.u64 = id};

	return epoll_ctl(epoll_fd, operation, fd, &event) == 0;
}

/* The frame's head and the request, as one row of bytes. Gives false when the child takes no more.
 */
static bool
send_request(FfSandboxCall *call)
{
	FfSandboxFrame head = {(uint32) call->request.len, FF_SANDBOX_REQUEST};
	size_t		   total = sizeof(head) + (size_t) call->request.len;

	while (call->sent < total)
	{
		bool		in_head = call->sent < sizeof(head);
		const char *from = in_head ? (const char *) &head + call->sent
								   : call->request.data + (call->sent - sizeof(head));
		size_t		length = (in_head ? sizeof(head) : total) - call->sent;
		ssize_t		put = send(call->stream, from, length,
							   MSG_NOSIGNAL | MSG_DONTWAIT | (in_head ? MSG_MORE : 0));

		if (put < 0)
			return false;
		call->sent += (size_t) put;
	}
	return true;
}

static void
write_more(FfSandboxCall *call)
{
	bool done = send_request(call);

	/* A child that has ended is noticed by reading. */
	if (done || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
	{
		call->writes = false;
		(void) watch(EPOLL_CTL_MOD, call->stream, EPOLLIN, call->id);
	}
}

static void
keep_line(FfSandboxCall *call, const char *data, size_t length)
{
	if (call->lines >= FF_SANDBOX_CONSOLE_LINES ||
		(size_t) call->console.len + length > CONSOLE_ROOM)
		return;
	if (call->lines++ > 0)
		appendStringInfoChar(&call->console, ',');
	appendBinaryStringInfo(&call->console, data, (int) length);
}

/* Takes the frames that are whole. False when one is not what it should be. */
static bool
take_frames(FfSandboxCall *call)
{
	StringInfo received = &call->received;
	size_t	   at = 0;

	while (call->state == RUNNING)
	{
		FfSandboxFrame frame;
		const char	  *data = received->data + at + sizeof(frame);

		if ((size_t) received->len < at + sizeof(frame))
			break;
		memcpy(&frame, received->data + at, sizeof(frame));
		if (frame.length > (size_t) ff_output_limit + ANSWER_ROOM)
			return false;
		if ((size_t) received->len < at + sizeof(frame) + frame.length)
			break;
		if (frame.kind == FF_SANDBOX_CONSOLE)
			keep_line(call, data, frame.length);
		else if (frame.kind == FF_SANDBOX_ANSWER)
		{
			appendBinaryStringInfo(&call->answer, data, (int) frame.length);
			finish(call, FF_SANDBOX_ANSWERED);
		}
		else
			return false;
		at += sizeof(frame) + frame.length;
	}
	received->len -= (int) at;
	memmove(received->data, received->data + at, received->len);
	return true;
}

/* Gives false when there is nothing more to be read for now. */
static bool
read_more(FfSandboxCall *call)
{
	ssize_t got;

	enlargeStringInfo(&call->received, READ_BYTES);
	got = recv(call->stream, call->received.data + call->received.len, READ_BYTES, MSG_DONTWAIT);
	if (got > 0)
	{
		call->received.len += (int) got;
		if (!take_frames(call))
			give_up(call, FF_SANDBOX_CRASHED);
	}
	else if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
	{
		close_stream(call);
		call->state = ENDING;
		call->deadline = GetCurrentTimestamp() + ENDING_US;
	}
	return got > 0;
}

/* --- the zygote --- */

static FfSandboxCall *
find_running(uint64 id)
{
	dlist_iter iter;

	dlist_foreach (iter, &running)
	{
		FfSandboxCall *call = dlist_container(FfSandboxCall, node, iter.cur);

		if (call->id == id)
			return call;
	}
	return NULL;
}

static void
fail_all(dlist_head *list, FfSandboxOutcome outcome, const char *why)
{
	while (!dlist_is_empty(list))
	{
		FfSandboxCall *call = dlist_head_element(FfSandboxCall, node, list);

		call->failure = MemoryContextStrdup(call->context, why);
		finish(call, outcome);
	}
}

/* Calls that ran are lost; those that waited wait for the next, unless it has never been there. */
static void
lose_zygote(const char *why)
{
	bool started = ff_zygote_state() == FF_ZYGOTE_READY;

	ff_zygote_end();
	ereport(LOG, (errmsg("flowforge: %s", why)));
	fail_all(&running, FF_SANDBOX_LOST, why);
	if (!started)
		fail_all(&waiting, FF_SANDBOX_UNSTARTED, why);
}

static void
hear_end(const FfSandboxNotice *notice)
{
	FfSandboxCall *call = find_running(notice->id);

	if (call == NULL)
		return;
	/* Its answer may still be on its way. */
	while (call->state == RUNNING && read_more(call))
		;
	if (call->state == OVER)
		return;
	if (notice->kind == FF_SANDBOX_UNBORN)
	{
		errno = notice->status;
		call->failure = MemoryContextStrdup(call->context, psprintf("no process can be made: %m"));
		finish(call, FF_SANDBOX_LOST);
	}
	else if (WIFSIGNALED(notice->status) && WTERMSIG(notice->status) == SIGSYS)
		finish(call, FF_SANDBOX_FORBIDDEN);
	else if (WIFSIGNALED(notice->status) &&
			 (WTERMSIG(notice->status) == SIGALRM || WTERMSIG(notice->status) == SIGXCPU))
		finish(call, FF_SANDBOX_TIMED_OUT);
	else
		finish(call, FF_SANDBOX_CRASHED);
}

static void
hear(void)
{
	FfSandboxNotice notice;
	int				heard = 0;

	while (ff_zygote_state() != FF_ZYGOTE_NONE && (heard = ff_zygote_hear(&notice)) > 0)
	{
		if (notice.kind != FF_SANDBOX_READY)
			hear_end(&notice);
	}
	if (heard < 0)
		lose_zygote(ff_zygote_state() == FF_ZYGOTE_READY
						? "the sandbox's first process has ended"
						: "the sandbox did not start; the server's log may say why");
}

static void
start_zygote(void)
{
	const char *failure;

	if (ff_zygote_state() == FF_ZYGOTE_READY && !ff_zygote_is_current() &&
		ff_zygote_children() == 0 && dlist_is_empty(&running))
		ff_zygote_end();
	if (ff_zygote_state() != FF_ZYGOTE_NONE)
		return;
	failure = ff_zygote_start();
	if (failure != NULL)
		fail_all(&waiting, FF_SANDBOX_UNSTARTED, failure);
	else if (!watch(EPOLL_CTL_ADD, ff_zygote_socket(), EPOLLIN, 0))
		lose_zygote("the sandbox cannot be watched");
}

/* --- moving on --- */

/* False when no more can be started for now. */
static bool
start_next(void)
{
	FfSandboxCall *call = dlist_head_element(FfSandboxCall, node, &waiting);

	call->stream = ff_zygote_order(call->id, call->timeout);
	blocked = call->stream < 0;
	if (blocked)
		return false;
	call->deadline = GetCurrentTimestamp() + (int64) call->timeout * 1000;
	call->writes = true;
	move(call, &running, RUNNING);
	if (!watch(EPOLL_CTL_ADD, call->stream, EPOLLIN | EPOLLOUT, call->id))
		give_up(call, FF_SANDBOX_LOST);
	else
		write_more(call);
	return true;
}

/* Whether there is something to be done for calls that wait: a zygote to be started, or a child. */
static bool
may_start(void)
{
	return ff_zygote_state() == FF_ZYGOTE_NONE ||
		   (ff_zygote_state() == FF_ZYGOTE_READY && ff_zygote_children() < ff_sandbox_processes);
}

static void
start_waiting(void)
{
	blocked = false;
	if (dlist_is_empty(&waiting))
		return;
	start_zygote();
	while (!dlist_is_empty(&waiting) && ff_zygote_state() == FF_ZYGOTE_READY && may_start())
	{
		if (!start_next())
			return;
	}
}

static void
expire(void)
{
	TimestampTz		   now = GetCurrentTimestamp();
	dlist_mutable_iter iter;
	bool			   silent = false;

	dlist_foreach_modify (iter, &running)
	{
		FfSandboxCall *call = dlist_container(FfSandboxCall, node, iter.cur);

		if (call->deadline > now)
			continue;
		if (call->state == RUNNING)
			give_up(call, FF_SANDBOX_TIMED_OUT);
		else
			silent = true;
	}
	if (silent || (ff_zygote_state() == FF_ZYGOTE_STARTING && ff_zygote_deadline() <= now))
		lose_zygote("the sandbox's first process does not answer");
}

long
ff_sandbox_timeout(void)
{
	TimestampTz next = DT_NOEND;
	dlist_iter	iter;

	if (!dlist_is_empty(&over))
		return 0;
	dlist_foreach (iter, &running)
		next = Min(next, dlist_container(FfSandboxCall, node, iter.cur)->deadline);
	if (ff_zygote_state() == FF_ZYGOTE_STARTING)
		next = Min(next, ff_zygote_deadline());
	if (!dlist_is_empty(&waiting) && !blocked && may_start())
		return 0;
	if (blocked)
		next = Min(next, GetCurrentTimestamp() + AGAIN_US);
	return next == DT_NOEND ? -1 : TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next);
}

static void
take_event(const struct epoll_event *event)
{
	FfSandboxCall *call;

	if (event->data.u64 == 0)
	{
		hear();
		return;
	}
	call = find_running(event->data.u64);
	if (call == NULL || call->state != RUNNING)
		return;
	if (call->writes && (event->events & EPOLLOUT))
		write_more(call);
	if (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		(void) read_more(call);
}

void
ff_sandbox_drive(FfSandboxDone done)
{
	struct epoll_event events[MAX_EVENTS];
	int				   ready = 0;

	if (ff_zygote_state() != FF_ZYGOTE_NONE)
		ready = epoll_wait(epoll_fd, events, MAX_EVENTS, 0);
	for (int i = 0; i < ready; i++)
		take_event(&events[i]);
	expire();
	start_waiting();
	while (!dlist_is_empty(&over))
	{
		FfSandboxCall *call = dlist_head_element(FfSandboxCall, node, &over);

		dlist_delete(&call->node);
		call->state = UNSENT;
		done(call);
	}
}
