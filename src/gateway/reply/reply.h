/*
 * Answers as bytes.
 */
#ifndef FF_REPLY_H
#define FF_REPLY_H

#include "base/buffer.h"
#include "database/pg.h"

/* What of the request shapes its answer. */
typedef struct FfReplyTo
{
	const char *request_id;
	const char *origin;	   /* that may read it; NULL: none but ours */
	bool		by_origin; /* who may read it depends on who asks */
	bool		is_head;   /* HEAD: no body */
	bool		takes_gzip;
	bool		is_http10;
	bool		closes; /* the connection ends with this answer */
} FfReplyTo;

typedef enum FfStreamKind
{
	FF_STREAM_NONE,
	FF_STREAM_RUN,
	FF_STREAM_FEED,
	FF_STREAM_SILENT /* open, but it follows nothing */
} FfStreamKind;

/*
 * What headers of the answer say. x-flowforge-stream: "run TENANT RUN SEQ", with " end" when
 * nothing will follow, "feed TENANT FUNCTION CURSOR" (function 0: all), or "none".
 * x-flowforge-pass: "MILLISECONDS PASS" (live/pass.h). x-flowforge-messages: the path that is told
 * what the client of a WebSocket says. x-flowforge-subscription: what to call it, in JSON.
 */
typedef struct FfReplyStream
{
	FfStreamKind kind;
	int			 tenant;
	char		 run[37];
	int			 seq;
	bool		 is_complete;
	int			 function;
	char		*cursor;
	char		*pass;
	int64_t		 lifetime; /* of the pass */
	char		*messages;
	char		*name;
} FfReplyStream;

/* Finds out whether serve() answered with a stream; a malformed header counts as none. */
extern void ff_reply_stream(const FfAnswer *answer, FfReplyStream *stream);
extern void ff_reply_stream_free(FfReplyStream *stream);

/* Adds serve()'s answer to out, compressed when it is large, the client takes that and no entity
 * tag speaks of its bytes. A stream has no length: it ends with the connection. */
extern void ff_reply_answer(FfBuffer *out, const FfReplyTo *to, const FfAnswer *answer,
							bool is_stream);

/* Adds an answer of our own with these header lines. */
extern void ff_reply_content(FfBuffer *out, const FfReplyTo *to, int status, const char *fields,
							 const char *body, size_t length);

/* Adds an answer of our own: JSON, or an application/problem+json for a status with title and hint;
 * 503 says when to retry. */
extern void ff_reply_json(FfBuffer *out, const FfReplyTo *to, int status, const char *json);
extern void ff_reply_problem(FfBuffer *out, const FfReplyTo *to, int status, const char *code,
							 const char *detail, const char *hint);

/* Adds the JSON of such a problem alone. */
extern void ff_reply_problem_json(FfBuffer *out, int status, const char *code, const char *detail,
								  const char *hint);

/* Adds the answer to a CORS preflight: any of our methods and headers. */
extern void ff_reply_preflight(FfBuffer *out, const FfReplyTo *to);

#endif
