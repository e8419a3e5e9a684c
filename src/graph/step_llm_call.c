/*
 * step_llm_call.c - the step type llm_call: a model is asked, by the step Ai (step/ai.c), whose
 * options its config has, and what that gives is the output.
 *
 * The config may say the form of the answer shortly: "json", or a JSON Schema as it stands.
 */
#include "postgres.h"

#include "graph/option.h"
#include "graph/type.h"
#include "util/json.h"

/* Of those an empty text says as little as none: forms leave them behind. */
static const char *const texts[] = {"provider", "prompt", "system"};
static const char *const members[] = {"model", "messages",	  "temperature", "max_tokens",
									  "tools", "tool_choice", "stop",		 "stream"};

static void
put(FfJsonBuilder *builder, const char *key, Jsonb *value)
{
	if (value == NULL)
		return;
	ff_jb_key(builder, key);
	ff_jb_json(builder, value);
}

/* Whether it is a response_format as the step Ai has it, rather than a schema, whose type is none
 * of these. */
static bool
is_format(Jsonb *format)
{
	char *type = ff_json_text(format, "type");

	return type != NULL && (strcmp(type, "text") == 0 || strcmp(type, "json_object") == 0 ||
							strcmp(type, "json_schema") == 0);
}

static void
put_format(FfJsonBuilder *builder, Jsonb *config)
{
	Jsonb *format = ff_option(config, "response_format");
	char  *word = ff_json_text(config, "response_format");
	bool   json = word != NULL && strcmp(word, "json") == 0;

	if (format == NULL || (word != NULL && (*word == '\0' || strcmp(word, "text") == 0)))
		return;
	if (!json && (!ff_json_is_object(format) || is_format(format)))
	{
		put(builder, "response_format", format);
		return;
	}
	ff_jb_key(builder, "response_format");
	ff_jb_object(builder);
	ff_jb_key(builder, "type");
	ff_jb_text(builder, json ? "json_object" : "json_schema");
	put(builder, "schema", json ? NULL : format);
	ff_jb_end(builder);
}

static void
start(const FfNodeStart *start, FfOp *op)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	for (int i = 0; i < (int) lengthof(members); i++)
		put(&builder, members[i], ff_option(start->config, members[i]));
	for (int i = 0; i < (int) lengthof(texts); i++)
	{
		char *text = ff_json_text(start->config, texts[i]);

		if (text == NULL || *text != '\0')
			put(&builder, texts[i], ff_option(start->config, texts[i]));
	}
	put_format(&builder, start->config);
	ff_jb_end(&builder);
	ff_op_step(op, "Ai", ff_jb_finish(&builder), start->now);
}

const FfNodeType ff_node_llm_call = {
	.name = "llm_call", .place = FF_NODE_WORKS, .pure = true, .start = start};
