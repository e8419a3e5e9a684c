/*
 * walk.c - a config walked value by value, with the place of each for errors (see walk.h).
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "lang/template.h"
#include "lang/walk.h"

#define LONGEST_PATH 500
#define LONGEST_KEY 200

/* A container that is open: where in it the walk is. */
struct FfWalkLevel
{
	const char *key; /* NULL in a list */
	int			length;
	int			index;
};

char *
ff_walk_path(const FfWalk *walk)
{
	StringInfoData path;

	initStringInfo(&path);
	for (int i = 0; i < walk->depth && path.len < LONGEST_PATH; i++)
	{
		const struct FfWalkLevel *level = &walk->levels[i];

		if (i > 0)
			appendStringInfoChar(&path, '.');
		if (level->key != NULL)
			appendBinaryStringInfo(&path, level->key,
								   pg_mbcliplen(level->key, level->length, LONGEST_KEY));
		else
			appendStringInfo(&path, "%d", level->index);
	}
	return path.data;
}

static void
tell_place(void *argument)
{
	const FfWalk *walk = argument;

	if (walk->depth > 0)
		errcontext("the text at %s", ff_walk_path(walk));
}

void
ff_walk_begin(FfWalk *walk, Jsonb *config)
{
	memset(walk, 0, sizeof(*walk));
	walk->iterator = JsonbIteratorInit(&config->root);
	walk->place.callback = tell_place;
	walk->place.arg = walk;
	walk->place.previous = error_context_stack;
	error_context_stack = &walk->place;
}

static void
open_level(FfWalk *walk)
{
	struct FfWalkLevel *level;

	if (walk->depth == walk->room)
	{
		walk->room = Max(walk->room * 2, 8);
		walk->levels = walk->levels == NULL
						   ? palloc(walk->room * sizeof(struct FfWalkLevel))
						   : repalloc(walk->levels, walk->room * sizeof(struct FfWalkLevel));
	}
	level = &walk->levels[walk->depth++];
	level->key = NULL;
	level->index = -1;
}

/* A list's item, scalar or not, begins. */
static void
count_item(FfWalk *walk)
{
	if (walk->depth > 0 && walk->levels[walk->depth - 1].key == NULL)
		walk->levels[walk->depth - 1].index++;
}

bool
ff_walk_next(FfWalk *walk)
{
	CHECK_FOR_INTERRUPTS();
	walk->token = JsonbIteratorNext(&walk->iterator, &walk->part, false);
	switch (walk->token)
	{
		case WJB_BEGIN_ARRAY:
		case WJB_BEGIN_OBJECT:
			count_item(walk);
			open_level(walk);
			break;
		case WJB_END_ARRAY:
		case WJB_END_OBJECT:
			walk->depth--;
			break;
		case WJB_KEY:
			walk->levels[walk->depth - 1].key = walk->part.val.string.val;
			walk->levels[walk->depth - 1].length = walk->part.val.string.len;
			break;
		case WJB_ELEM:
			count_item(walk);
			break;
		default:
			break;
	}
	return walk->token != WJB_DONE;
}

void
ff_walk_end(FfWalk *walk)
{
	error_context_stack = walk->place.previous;
}

static bool
is_template(const JsonbValue *value)
{
	return value->type == jbvString && ff_is_template(value->val.string.val, value->val.string.len);
}

bool
ff_walk_at_template(const FfWalk *walk)
{
	return (walk->token == WJB_VALUE || walk->token == WJB_ELEM) && is_template(&walk->part);
}

bool
ff_walk_scalar_template(Jsonb *config, JsonbValue *text)
{
	return JB_ROOT_IS_SCALAR(config) && JsonbExtractScalar(&config->root, text) &&
		   is_template(text);
}
