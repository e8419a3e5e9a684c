/*
 * ai.h - calls to models: who answers for a model, what is asked, and what the answer means,
 * whatever words the provider uses.
 *
 * A call is options {model, messages or prompt, system?, tools?, tool_choice?, max_tokens?,
 * temperature?, stop?, response_format?, provider?, stream?}; its result is {content, model,
 * provider, finish_reason, tool_calls, usage, parsed?}. Messages, tools and response formats are
 * written as OpenAI's chat API has them; the other formats are made of that here. docs/ai.md tells
 * all of it to users.
 */
#ifndef FF_AI_H
#define FF_AI_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

struct FfAiStream;
struct FfAiWire;

/* Dollars for a million tokens. */
typedef struct FfAiPrice
{
	bool	known;
	Numeric input;
	Numeric output;
	Numeric cached;		 /* read from the provider's cache; NULL: as input */
	Numeric cache_write; /* written to it; NULL: as input */
} FfAiPrice;

typedef struct FfAiProvider
{
	char				  *name;
	const struct FfAiWire *wire;
	char				  *base_url;
	char				  *region;		/* of AWS, or NULL */
	char				  *api_version; /* of Azure, or NULL */
	char				  *key;			/* NULL: it needs none */
	List				  *headers;		/* of char *, "name: value" */
	List				  *secrets;		/* of char *: what no answer may show */
	char				  *model;		/* as the provider calls it */
	FfAiPrice			   price;
} FfAiProvider;

/* What is wrong with a call's options, as the rest of a sentence, or NULL. */
extern const char *ff_ai_check(Jsonb *options);

/* Who answers the call, keys included, in `context`. Raises FF412, FF410 and FF411. Needs SPI. */
extern FfAiProvider *ff_ai_provider(int32 tenant_id, Jsonb *options, MemoryContext context);

/* The call as HTTP: writes the body, gives the address and the headers (of char *). NULL, with an
 * error, when the provider has no words for what is asked. */
extern char *ff_ai_request(const FfAiProvider *provider, Jsonb *options, StringInfo body,
						   List **headers, TimestampTz now, Jsonb **error);

/* What came back, as far as it has come. */
typedef struct FfAiReply
{
	long			   status;
	const char		  *type; /* Content-Type, or NULL */
	StringInfo		   body;
	int64			   took_ms;
	struct FfAiStream *stream; /* what has been read of a streamed answer; NULL at first */
} FfAiReply;

/* Reads what has come of a streamed answer, and takes it out of the body; what it has read is in
 * `context`. Does nothing of another answer. */
extern void ff_ai_progress(const FfAiProvider *provider, FfAiReply *reply, MemoryContext context);

/* The text that a streamed answer has brought since the last time, without secrets; NULL when there
 * is none. It begins at character `offset` of the whole. What may be the beginning of a secret is
 * kept back until more has come, or until the `last` time. */
extern char *ff_ai_news(const FfAiProvider *provider, FfAiReply *reply, bool last, int64 *offset);

typedef struct FfAiFault
{
	Jsonb *error; /* {name, message, ...} */
	bool   retry;
	int64  retry_after; /* microseconds; -1: it does not say */
} FfAiFault;

/* What a whole answer means: the result, or NULL and the fault. No secret is in either. */
extern Jsonb *ff_ai_answer(const FfAiProvider *provider, Jsonb *options, FfAiReply *reply,
						   FfAiFault *fault);

/* An error of a call that got no answer. */
extern Jsonb *ff_ai_error(const FfAiProvider *provider, const char *message);

#endif
