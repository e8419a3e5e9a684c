/*
 * What is said over a WebSocket, and what its client follows by that.
 *
 * What the client says is one call of the database for each message, one after the other, whose
 * answer says what to follow from then on, or no more, and by which name; every message of that
 * then says the name. What is followed by the same name anew begins anew. Each message is answered:
 * {"error": PROBLEM} is one that was refused. No JSON is read here.
 */
#ifndef FF_TALK_H
#define FF_TALK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "database/call.h"
#include "live/live.h"
#include "live/pass.h"

typedef struct FfTalk FfTalk;

/* The connection a talk belongs to. */
typedef struct FfTalkHost
{
	const char	 *request_id;
	const char	 *remote;
	const FfPass *pass; /* NULL: nobody's */
	FfBuffer	 *out;	/* where answers go */
	/* News by this name; may not end the talk. */
	void (*deliver)(void *connection, FfNews *news, const char *name);
	/* What was said is answered in `out`, with this status; `code`: the WebSocket is to be ended
	 * with it, unless 0. */
	void (*answered)(void *connection, const FfCall *call, int status, int code);
	void *connection;
} FfTalkHost;

/* Begins one; what is said goes to `path`. */
extern FfTalk *ff_talk_begin(const char *path, const FfTalkHost *host);

/* Ends it and all that is followed by it; NULL is none. */
extern void ff_talk_end(FfTalk *talk);

/* Whether something that was said is not answered yet. Nothing may be said then. */
extern bool ff_talk_is_busy(const FfTalk *talk);

/* `answered` may be called before this returns. */
extern void ff_talk_say(FfTalk *talk, const char *message, size_t length);

#endif
