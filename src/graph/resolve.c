/*
 * resolve.c - a node's config as it is when the node starts: its templates rendered, but for the
 * members that its type reads itself, or what a replay gave instead; and what people are shown of
 * it.
 */
#include "postgres.h"

#include "graph/drive.h"
#include "secret/secret.h"
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

/* What names stand for where secrets may stand. */
static FfScope
with_secrets(const FfNode *node, const FfScope *scope, const char *mark)
{
	FfBinding *bindings = palloc(sizeof(FfBinding) * (scope->count + 1));
	FfScope	   wider = *scope;

	memcpy(bindings, scope->bindings, sizeof(FfBinding) * scope->count);
	bindings[scope->count].name = "secret";
	bindings[scope->count].value = ff_secret_stand_ins(node->secrets, mark);
	wider.bindings = bindings;
	wider.count++;
	return wider;
}

/* The members that take secrets are rendered with what stands for them, the others without. */
static Jsonb *
render(const FfNode *node, Jsonb *config, const FfScope *scope, const char *mark)
{
	const char *const *takes = node->type->takes_secrets;
	FfScope			   wider;

	if (mark == NULL || !JB_ROOT_IS_OBJECT(config))
		return ff_render(config, scope);
	wider = with_secrets(node, scope, mark);
	return ff_config_joined(ff_render(members(config, takes, false), scope),
							ff_render(members(config, takes, true), &wider));
}

static Jsonb *
resolve(const FfNode *node, const FfScope *scope, const char *mark)
{
	const char *const *raw = node->type->raw;

	if (!JB_ROOT_IS_OBJECT(node->config) || raw == NULL)
		return render(node, node->config, scope, mark);
	return ff_config_joined(render(node, members(node->config, raw, false), scope, mark),
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
ff_config_resolve(const FfRun *run, const FfPlace *place, const FfScope *scope, char **mark)
{
	const FfNode *node = place->inner;
	Jsonb		 *config = edited(run, place->step_id);

	*mark = NULL;
	if (config != NULL && ff_json_is_object(config))
		return config;
	if (node->secrets != NIL && node->type->takes_secrets != NULL)
		*mark = ff_secret_mark();
	return resolve(node, scope, *mark);
}

Jsonb *
ff_node_config(FfRun *run, const FfPlace *place)
{
	char *mark;

	return ff_config_resolve(run, place, ff_context_scope(run, place), &mark);
}

Jsonb *
ff_node_detail(const FfNode *node, Jsonb *config, const char *mark)
{
	FfJsonBuilder builder = {0};

	if (config == NULL || JB_ROOT_COUNT(config) == 0)
		return NULL;
	if (node->type != NULL && node->type->shown != NULL)
		config = node->type->shown(config);
	ff_jb_object(&builder);
	ff_jb_key(&builder, "input");
	if (VARSIZE(config) > MAX_STORED_INPUT)
		ff_jb_json(&builder, ff_json_literal("{\"_truncated\": true}"));
	else
		ff_jb_json(&builder, mark != NULL ? ff_secret_shown(config, mark) : config);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}
