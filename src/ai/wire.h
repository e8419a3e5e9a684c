/*
 * wire.h - what the files of this folder share: calls as options ask for them, results as they are
 * gathered, and the formats providers speak, one file and one FfAiWire each.
 */
#ifndef FF_AI_WIRE_H
#define FF_AI_WIRE_H

#include "ai/ai.h"
#include "util/json.h"

/* --- what is asked (ask.c) --- */

typedef enum FfAiRole
{
	FF_AI_SYSTEM,
	FF_AI_USER,
	FF_AI_ASSISTANT,
	FF_AI_TOOL
} FfAiRole;

typedef struct FfAiPart
{
	char *text;	 /* NULL: not text */
	char *url;	 /* of an image that is somewhere else, or NULL */
	char *media; /* of an image that is here: its type, */
	char *data;	 /* and its bytes in base64, or NULL */
	char *type;	 /* as it was given */
} FfAiPart;

typedef struct FfAiToolCall
{
	char		  *id;
	char		  *name;
	Jsonb		  *arguments; /* an object; NULL: see text */
	StringInfoData text;	  /* the arguments as text, as far as they have come */
	char		  *signature; /* what Gemini wants to see again, or NULL */
} FfAiToolCall;

typedef struct FfAiMessage
{
	FfAiRole role;
	Jsonb	*json;	/* as it was given; NULL for a prompt */
	char	*text;	/* the whole content, if that is text */
	List	*parts; /* of FfAiPart */
	List	*calls; /* of FfAiToolCall */
	char	*call_id;
	char	*name; /* of the tool that was called */
} FfAiMessage;

typedef enum FfAiShape
{
	FF_AI_ANY,
	FF_AI_JSON, /* some object */
	FF_AI_SCHEMA
} FfAiShape;

/* A call while its body is written. */
typedef struct FfAiAsk
{
	const FfAiProvider *provider;
	Jsonb			   *options;
	List			   *messages; /* of FfAiMessage, a prompt and a system text included */
	Jsonb			   *tools;	  /* a list of one tool or more, or NULL */
	FfAiShape			shape;
	Jsonb			   *schema;
	bool				stream;
	FfJsonBuilder		out;
	const char		   *fault; /* what the provider has no words for, as the rest of a sentence */
} FfAiAsk;

extern void ff_ai_ask(FfAiAsk *ask, const FfAiProvider *provider, Jsonb *options);

/* An option, NULL when it is not given or null. */
extern Jsonb *ff_ai_given(Jsonb *options, const char *key);
extern Jsonb *ff_ai_element(Jsonb *list, uint32 place);

/* What shape of answer is asked for. */
extern FfAiShape ff_ai_shape(Jsonb *options, Jsonb **schema);
/* A tool's {name, description?, parameters?}, in whichever way it was given. */
extern Jsonb *ff_ai_tool(Jsonb *tools, uint32 place);
/* "auto", "none", "required", or "tool" with the name of one; NULL when it is not said. */
extern const char *ff_ai_tool_choice(Jsonb *options, char **name);
/* All that the system is told, or NULL. */
extern char *ff_ai_system(const FfAiAsk *ask);
/* Whether a message goes into the same turn as the one before it. */
extern bool ff_ai_same_turn(const FfAiMessage *before, const FfAiMessage *message);
/* The first of a data URL's parts; false when it is none. */
extern bool ff_ai_data_url(const char *url, char **media, char **data);

/* Writing members. */
extern void ff_ai_put_text(FfAiAsk *ask, const char *key, const char *text);
extern void ff_ai_put_json(FfAiAsk *ask, const char *key, Jsonb *value);
/* Copies an option, under another name perhaps; nothing when it is not given. */
extern void ff_ai_put_option(FfAiAsk *ask, const char *option, const char *key);
/* Begins an object or a list that is a member. */
extern void ff_ai_open_object(FfAiAsk *ask, const char *key);
extern void ff_ai_open_array(FfAiAsk *ask, const char *key);
/* The model's name as a segment of a path. */
extern void ff_ai_put_model(StringInfo url, const FfAiAsk *ask);

/* --- what is answered (result.c) --- */

typedef struct FfAiResult
{
	MemoryContext  context; /* of what is gathered */
	StringInfoData content;
	bool		   has_content;
	char		  *model;
	char		  *finish_reason; /* in our words, or the provider's own */
	List		  *calls;		  /* of FfAiToolCall */
	int64		   input;		  /* tokens, those of caches included */
	int64		   output;		  /* those of reasoning included */
	int64		   cached;		  /* of input: read from the provider's cache */
	int64		   cache_write;	  /* of input: written to it */
	int64		   reasoning;	  /* of output */
	Jsonb		  *told_cost;	  /* in dollars, by a provider that says it */
	bool		   complete;	  /* of a stream: the provider has said that it is done */
	/* What is wrong with it: what makes it no answer of a model, */
	const char *malformed;
	bool		too_large;
	/* or an error the provider reports under a status that says otherwise. */
	Jsonb *error;
	long   error_status; /* 0: it does not say */
} FfAiResult;

extern void ff_ai_result(FfAiResult *result, MemoryContext context);

/* Reading by a path like choices.0.message; NULL, 0 or an empty list when it is not there. */
extern char	 *ff_ai_text_at(Jsonb *json, const char *path);
extern int64  ff_ai_count_at(Jsonb *json, const char *path);
extern Jsonb *ff_ai_object_at(Jsonb *json, const char *path);
extern Jsonb *ff_ai_list_at(Jsonb *json, const char *path);

/* Gathering. Texts that are NULL add nothing. */
extern void			 ff_ai_add_text(FfAiResult *result, const char *text);
extern FfAiToolCall *ff_ai_add_call(FfAiResult *result, const char *id, const char *name);
extern FfAiToolCall *ff_ai_last_call(FfAiResult *result); /* NULL: there is none */
extern void			 ff_ai_set_text(FfAiResult *result, char **place, const char *text);
extern void			 ff_ai_set_json(FfAiResult *result, Jsonb **place, Jsonb *value);
extern void			 ff_ai_set_error(FfAiResult *result, Jsonb *json, long status);
/* The reason in our words, by a table that ends with NULL; one it lacks stays as it is. */
typedef struct FfAiReason
{
	const char *theirs;
	const char *ours;
} FfAiReason;
extern void ff_ai_set_reason(FfAiResult *result, const FfAiReason *reasons, const char *theirs);

/* --- formats --- */

/* The tool a provider without JSON formats is made to call. */
#define FF_AI_ANSWER_TOOL "json_answer"

typedef struct FfAiWire
{
	const char *format; /* as rows name it */
	bool		framed; /* its streams are AWS's, not Server-Sent Events */
	bool		answer_tool;
	/* The address, after the provider's base_url. */
	void (*path)(StringInfo url, const FfAiAsk *ask);
	/* The members of the body. */
	void (*body)(FfAiAsk *ask);
	/* Adds headers (of char *): those that say who asks, which only a provider with a key has, and
	 * those that every call has, or NULL. */
	List *(*authorize)(List *headers, const FfAiProvider *provider);
	List *(*add_headers)(List *headers, const FfAiProvider *provider);
	/* Adds those that need the whole call, or NULL. */
	List *(*sign)(List *headers, const FfAiProvider *provider, const char *url, StringInfo body,
				  TimestampTz now);
	/* A whole answer, and a piece of a streamed one: what Server-Sent Events or AWS call its
	 * event. */
	void (*read)(FfAiResult *result, Jsonb *answer);
	void (*read_piece)(FfAiResult *result, const char *event, Jsonb *piece);
} FfAiWire;

extern const FfAiWire ff_ai_openai;
extern const FfAiWire ff_ai_azure;
extern const FfAiWire ff_ai_mistral;
extern const FfAiWire ff_ai_anthropic;
extern const FfAiWire ff_ai_gemini;
extern const FfAiWire ff_ai_bedrock;

/* NULL when there is none of the name. */
extern const FfAiWire *ff_ai_wire(const char *format);

/* --- money (cost.c) --- */

/* What a call cost, in dollars, exactly; NULL when that is not known. */
extern Jsonb *ff_ai_cost(const FfAiPrice *price, const FfAiResult *result);

/* --- what a stream is made of (stream.c, frame.c) --- */

typedef struct FfAiPiece
{
	char	   *event; /* NULL: a message without a name */
	const char *data;
	int			length;
	bool		error; /* of AWS: an exception */
} FfAiPiece;

typedef enum FfAiTaken
{
	FF_AI_TAKEN,
	FF_AI_MORE,	 /* the rest has not come yet */
	FF_AI_BROKEN /* it is no frame */
} FfAiTaken;

/* One frame of an event stream of AWS's; gives its bytes. */
extern FfAiTaken ff_ai_frame(const char *bytes, int length, FfAiPiece *piece, int *used);

#endif
