/*
 * Acting on one item of the API: see item.h.
 */
#define _GNU_SOURCE
#include "command/item.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/http.h"
#include "cli/term.h"

json_t *
ff_read_json(const char *command, const char *option, const char *text, bool object)
{
	json_error_t error;
	json_t		*value = json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);

	if (value == NULL)
		ff_misused(command, "%s is no JSON: %s (column %d)", option, error.text, error.column);
	else if (object && !json_is_object(value))
	{
		ff_misused(command, "%s must be a JSON object", option);
		json_decref(value);
		value = NULL;
	}
	return value;
}

void
ff_set_text(json_t *body, const char *name, const char *text)
{
	if (text != NULL)
		json_object_set_new(body, name, json_string(text));
}

char *
ff_item_path(const char *collection, const char *id, const char *rest)
{
	char *escaped = ff_url_escape(id);
	char *path = ff_text("/api/v1/%s/%s%s", collection, escaped, rest);

	free(escaped);
	return path;
}

/* "what  result", or the answer as JSON. */
static void
print_result(const FfServer *server, const json_t *answer, const char *what, const char *result)
{
	char *clean;

	if (server->json)
	{
		ff_json_print(answer);
		return;
	}
	clean = ff_term_clean(result != NULL ? result : "done", 0);
	printf("%s  %s\n", what, clean);
	free(clean);
}

FfExit
ff_act_on(const FfServer *server, const char *collection, const char *id, const char *rest,
		  json_t *body, const char *member)
{
	FfExit	result = FF_EXIT_DONE;
	char   *path = ff_item_path(collection, id, rest);
	json_t *answer = ff_api(server, "POST", path, body, &result);

	if (answer != NULL)
		print_result(server, answer, id, ff_json_text(answer, member));
	json_decref(answer);
	free(path);
	return result;
}

FfExit
ff_act_on_each(const FfServer *server, const char *collection, const FfList *ids, const char *rest,
			   json_t *body, const char *member)
{
	FfExit result = FF_EXIT_DONE;

	for (int at = 0; at < ids->count && result != FF_EXIT_UNREACHABLE; at++)
	{
		FfExit one = ff_act_on(server, collection, ids->item[at], rest, body, member);

		if (one != FF_EXIT_DONE)
			result = one;
	}
	return result;
}
