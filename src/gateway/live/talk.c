/*
 * What is said over a WebSocket (see talk.h).
 */
#define _GNU_SOURCE
#include "live/talk.h"

#include <stdlib.h>
#include <string.h>

#include "reply/reply.h"
#include "wire/socket.h"

static const char end_message[] = "data: {\"type\": \"end\"}\n\n";

typedef struct Subscription Subscription;
struct Subscription
{
	FfSubscriber  subscriber; /* first */
	FfTalk		 *talk;
	Subscription *next;
	char		  name[];
};

struct FfTalk
{
	FfTalkHost	  host;
	Subscription *first;
	int			  count;
	FfCall		 *call; /* what was said last, until it is answered */
	char		  path[];
};

/* ---- what is followed ---- */

static void
drop(FfTalk *talk, const char *name)
{
	for (Subscription **at = &talk->first; *at != NULL; at = &(*at)->next)
	{
		Subscription *subscription = *at;

		if (strcmp(subscription->name, name) != 0)
			continue;
		*at = subscription->next;
		ff_live_unsubscribe(&subscription->subscriber);
		free(subscription);
		talk->count--;
		return;
	}
}

static void
deliver(FfSubscriber *subscriber, FfNews *news)
{
	Subscription *subscription = (Subscription *) subscriber;
	FfTalk		 *talk = subscription->talk;
	FfNews		  end = {.text = end_message, .length = sizeof(end_message) - 1};

	talk->host.deliver(talk->host.connection, news, subscription->name);
	if (!news->is_final)
		return;
	talk->host.deliver(talk->host.connection, &end, subscription->name);
	ff_news_free(&end);
	news->name = NULL; /* it goes with the subscription */
	ff_buffer_free(&news->named_frames);
	drop(talk, subscription->name);
}

static void
add(FfTalk *talk, const FfReplyStream *stream)
{
	size_t		  size = strlen(stream->name) + 1;
	Subscription *subscription = calloc(1, sizeof(Subscription) + size);

	if (subscription == NULL)
		abort();
	memcpy(subscription->name, stream->name, size);
	subscription->subscriber.deliver = deliver;
	subscription->talk = talk;
	subscription->next = talk->first;
	talk->first = subscription;
	talk->count++;
	if (stream->kind == FF_STREAM_RUN)
		ff_live_subscribe(&subscription->subscriber, stream->tenant, stream->run, stream->seq);
	else
		ff_live_subscribe_feed(&subscription->subscriber, stream->tenant, stream->function,
							   stream->cursor);
}

/* ---- answers ---- */

/* Refusals are told; only who is nobody any more, or may do nothing here, is sent away. */
static int
take_refusal(FfTalk *talk, const FfAnswer *answer)
{
	FfBuffer frame = {0};

	if (answer->status == 401 || answer->status == 403)
		return ff_socket_refusal(answer->status);
	ff_buffer_text(&frame, "{\"error\":");
	ff_buffer_add(&frame, answer->body, answer->body_length);
	ff_buffer_text(&frame, "}");
	ff_frame_text(talk->host.out, ff_buffer_at(&frame), ff_buffer_length(&frame));
	ff_buffer_free(&frame);
	return 0;
}

static int
take_answer(FfTalk *talk, const FfAnswer *answer)
{
	FfReplyStream stream;
	int			  code = 0;

	ff_reply_stream(answer, &stream);
	if (stream.kind == FF_STREAM_NONE || stream.name == NULL)
		code = take_refusal(talk, answer);
	else
	{
		drop(talk, stream.name);
		ff_frame_events(talk->host.out, stream.name, answer->body, answer->body_length);
		if (stream.is_complete)
			ff_frame_events(talk->host.out, stream.name, end_message, sizeof(end_message) - 1);
		else if (stream.kind != FF_STREAM_SILENT)
			add(talk, &stream);
	}
	ff_reply_stream_free(&stream);
	return code;
}

/* What could not be asked is answered here. */
static void
make_refusal(FfBuffer *json, FfCallEnd end, FfAnswer *answer)
{
	bool broken = end == FF_CALL_BROKEN;

	answer->status = end == FF_CALL_TIMEOUT ? 504 : broken ? 500 : 503;
	ff_reply_problem_json(json, answer->status,
						  end == FF_CALL_TIMEOUT ? "timeout"
						  : broken				 ? "internal"
												 : "unavailable",
						  "The database did not answer. Nothing has changed.",
						  "Say it again in a moment.");
	answer->body = ff_buffer_at(json);
	answer->body_length = ff_buffer_length(json);
}

static void
ended(FfCall *call, FfCallEnd end, const FfAnswer *answer)
{
	FfTalk	*talk = call->argument;
	FfAnswer own = {0};
	FfBuffer json = {0};
	int		 code;

	if (talk == NULL)
		return;
	talk->call = NULL;
	if (end != FF_CALL_ANSWERED)
	{
		make_refusal(&json, end, &own);
		answer = &own;
	}
	code = take_answer(talk, answer);
	talk->host.answered(talk->host.connection, call, answer->status, code);
	ff_buffer_free(&json);
}

/* ---- the outside ---- */

FfTalk *
ff_talk_begin(const char *path, const FfTalkHost *host)
{
	size_t	size = strlen(path) + 1;
	FfTalk *talk = calloc(1, sizeof(FfTalk) + size);

	if (talk == NULL)
		abort();
	talk->host = *host;
	memcpy(talk->path, path, size);
	return talk;
}

void
ff_talk_end(FfTalk *talk)
{
	if (talk == NULL)
		return;
	while (talk->first != NULL)
		drop(talk, talk->first->name);
	if (talk->call != NULL)
		ff_pg_abandon(talk->call);
	free(talk);
}

bool
ff_talk_is_busy(const FfTalk *talk)
{
	return talk->call != NULL;
}

void
ff_talk_say(FfTalk *talk, const char *message, size_t length)
{
	FfCall *call =
		ff_call_said(talk->path, talk->host.pass != NULL ? ff_pass_text(talk->host.pass) : NULL,
					 talk->count, talk->host.request_id, talk->host.remote);

	talk->call = call;
	call->ended = ended;
	call->argument = talk;
	if (ff_call_add_body(call, message, length) == 0)
	{
		ff_pg_call(call);
		return;
	}
	ended(call, FF_CALL_REFUSED, NULL);
	ff_call_free(call);
}
