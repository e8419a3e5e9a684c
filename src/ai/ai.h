/*
 * ai.h - calls to models: who answers for a model, what is asked, and what the answer means,
 * whatever words the provider uses.
 *
 * A call is options {model, messages or prompt, system?, tools?, max_tokens?, temperature?,
 * response_format?, provider?}; its result is {content, model, finish_reason, tool_calls, usage}.
 * Messages, tools and response formats are written as OpenAI's chat API has them; the other formats
 * are made of that here.
 */
#ifndef FF_AI_H
#define FF_AI_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

typedef enum FfAiFormat
{
	FF_AI_OPENAI,
	FF_AI_ANTHROPIC,
	FF_AI_GEMINI
} FfAiFormat;

typedef struct FfAiProvider
{
	char	  *name;
	FfAiFormat format;
	char	  *base_url;
	char	  *key;	  /* NULL: it needs none */
	char	  *model; /* as the provider calls it */
	bool	   priced;
	double	   input_price; /* dollars for a million tokens */
	double	   output_price;
} FfAiProvider;

/* What is wrong with a call's options, as the rest of a sentence, or NULL. */
extern const char *ff_ai_check(Jsonb *options);

/* Who answers the call, key included. Raises FF412, FF410 and FF411. Needs SPI. */
extern void ff_ai_provider(FfAiProvider *provider, int32 tenant_id, Jsonb *options);

/* The call as HTTP: writes the body, gives the address and the headers (of char *). */
extern char *ff_ai_request(const FfAiProvider *provider, Jsonb *options, StringInfo body,
						   List **headers);

/* What a whole answer means. Gives the result, or NULL with an error {name, message, ...} and
 * whether another attempt may end better. The key is nowhere in either. */
extern Jsonb *ff_ai_answer(const FfAiProvider *provider, long status, const char *body, int length,
						   int64 took_ms, Jsonb **error, bool *retry);

/* An error of a call that got no answer. */
extern Jsonb *ff_ai_error(const FfAiProvider *provider, const char *message);

#endif
