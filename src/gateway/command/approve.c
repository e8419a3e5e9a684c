/*
 * flowforge approve | reject: deciding what runs ask people. Each request is one call of the API.
 */
#define _GNU_SOURCE
#include "command/item.h"

typedef struct Verdict
{
	const char *command;
	const char *about;
	const char *rest;	/* after /api/v1/approvals/{id} */
	const char *reason; /* the member of the body that says why */
} Verdict;

/* What the options say; NULL when the data is no JSON. */
static json_t *
make_body(const Verdict *verdict, const char *data, const char *reason, const char *by)
{
	json_t *body = json_object();
	json_t *value;

	ff_set_text(body, verdict->reason, reason);
	ff_set_text(body, "by", by);
	if (data == NULL)
		return body;
	value = ff_read_json(verdict->command, "--data", data, false);
	if (value == NULL)
	{
		json_decref(body);
		return NULL;
	}
	json_object_set_new(body, "data", value);
	return body;
}

static FfExit
decide(int argc, char **argv, const Verdict *verdict, bool with_data)
{
	FfServer	   server = {0};
	FfList		   ids = {0};
	const char	  *data = NULL;
	const char	  *reason = NULL;
	const char	  *by = NULL;
	const FfOption options[] = {{'d', "data", "JSON", "what the form asks for", &data, NULL, NULL},
								{'r', "reason", "TEXT", "why, for the run", &reason, NULL, NULL},
								{'b', "by", "NAME", "who decides (api)", &by, NULL, NULL},
								FF_JSON_OPTION(server),
								FF_SERVER_OPTIONS(server),
								{0}};
	const FfUsage  usage = {"ID...", verdict->about, with_data ? options : options + 1};
	FfParse		   parse = ff_options(argc, argv, &usage, &ids, NULL);
	json_t		  *body;
	FfExit		   result;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (ids.count == 0)
		return ff_misused(verdict->command, "%s needs ids of requests (flowforge approvals)",
						  verdict->command);
	body = make_body(verdict, data, reason, by);
	if (body == NULL)
		return FF_EXIT_USAGE;
	ff_server_resolve(&server);
	result = ff_act_on_each(&server, "approvals", &ids, verdict->rest, body, "result");
	json_decref(body);
	return result;
}

FfExit
ff_command_approve(int argc, char **argv)
{
	static const Verdict verdict = {
		"approve", "Approves what runs ask people (flowforge approvals).", "/approve", "comment"};

	return decide(argc, argv, &verdict, true);
}

FfExit
ff_command_reject(int argc, char **argv)
{
	static const Verdict verdict = {"reject", "Rejects what runs ask people (flowforge approvals).",
									"/reject", "reason"};

	return decide(argc, argv, &verdict, false);
}
