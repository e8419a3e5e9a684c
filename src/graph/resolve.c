/*
 * resolve.c - a node's config as it is when the node starts: its templates rendered, but for the
 * members that its type reads itself, or what a replay gave instead; and what people are shown of
 * it.
 */
#include "postgres.h"

#include "graph/drive.h"
#include "util/json.h"

#define MAX_STORED_INPUT 16384 /* bytes of a resolved config that is kept for people */

static bool
listed(const char *const *names, const char *key, int length)
{
	for (; names != NULL && *names != NULL; names++)
	{
		if ((int) strlen(*names) == length && memcmp(*names, key, length) == 0)
			return true;
	}
	return false;
}

/* The members of an object that are among `names`, or those that are not. */
static Jsonb *
members(Jsonb *object, const char *const *names, bool among)
{
	JsonbIterator	  *iterator = JsonbIteratorInit(&object->root);
	FfJsonBuilder	   builder = {0};
	JsonbIteratorToken token;
	JsonbValue		   part;
	bool			   taken = false;

	ff_jb_object(&builder);
	while ((token = JsonbIteratorNext(&iterator, &part, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			taken = listed(names, part.val.string.val, part.val.string.len) == among;
			if (taken)
				ff_jb_key(&builder, pnstrdup(part.val.string.val, part.val.string.len));
		}
		else if (token == WJB_VALUE && taken)
			ff_jb_json(&builder, JsonbValueToJsonb(&part));
	}
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

Jsonb *
ff_config_joined(Jsonb *first, Jsonb *second)
{
	FfJsonBuilder builder = {0};
	Jsonb		 *both[2] = {first, second};

	ff_jb_object(&builder);
	for (int i = 0; i < 2; i++)
	{
		JsonbIterator	  *iterator = JsonbIteratorInit(&both[i]->root);
		JsonbIteratorToken token;
		JsonbValue		   part;

		while ((token = JsonbIteratorNext(&iterator, &part, true)) != WJB_DONE)
		{
			if (token == WJB_KEY)
				ff_jb_key(&builder, pnstrdup(part.val.string.val, part.val.string.len));
			else if (token == WJB_VALUE)
				ff_jb_json(&builder, JsonbValueToJsonb(&part));
		}
	}
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static Jsonb *
resolve(const FfNode *node, const FfScope *scope)
{
	const char *const *raw = node->type->raw;

	if (!JB_ROOT_IS_OBJECT(node->config) || raw == NULL)
		return ff_render(node->config, scope);
	return ff_config_joined(ff_render(members(node->config, raw, false), scope),
							members(node->config, raw, true));
}

/* What a replayed step is to run with instead of its resolved config, or NULL. */
static Jsonb *
edited(const FfRun *run, const char *step_id)
{
	JsonbValue *first;

	if (run->edited_input == NULL || strcmp(run->edited_step, step_id) != 0)
		return NULL;
	first = getIthJsonbValueFromContainer(&run->edited_input->root, 0);
	return first != NULL && first->type == jbvBinary ? JsonbValueToJsonb(first) : NULL;
}

Jsonb *
ff_config_resolve(const FfRun *run, const FfPlace *place, const FfScope *scope)
{
	Jsonb *config = edited(run, place->step_id);

	return config != NULL && ff_json_is_object(config) ? config : resolve(place->inner, scope);
}

Jsonb *
ff_node_config(FfRun *run, const FfPlace *place)
{
	return ff_config_resolve(run, place, ff_context_scope(run, place));
}

Jsonb *
ff_node_detail(const FfNode *node, Jsonb *config)
{
	const char *const *secret = node->type ? node->type->secret : NULL;
	FfJsonBuilder	   builder = {0};

	if (config == NULL || JB_ROOT_COUNT(config) == 0)
		return NULL;
	if (node->type != NULL && node->type->shown != NULL)
		config = node->type->shown(config);
	ff_jb_object(&builder);
	ff_jb_key(&builder, "input");
	if (VARSIZE(config) > MAX_STORED_INPUT)
		ff_jb_json(&builder, ff_json_literal("{\"_truncated\": true}"));
	else if (secret != NULL && JB_ROOT_IS_OBJECT(config))
		ff_jb_json(&builder, members(config, secret, false));
	else
		ff_jb_json(&builder, config);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}
