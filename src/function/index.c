/*
 * index.c - which of many triggers of one event name an event can meet.
 *
 * Of ten thousand functions that listen to the same event, each with a filter such as
 * `event.data.kind == 'x' && ...`, an event is for one. So triggers are sorted by the text their
 * filter demands and the member it demands it of; an event is looked up by what it has there. The
 * rest, which demand nothing of the kind, are always candidates. The index only selects: the whole
 * filter is evaluated for what it gives.
 */
#include "postgres.h"

#include "function/function.h"
#include "util/json.h"

#define MIN_TRIGGERS 16 /* fewer are evaluated one by one */

typedef struct Demand
{
	const char *path;
	const char *text;
	int			trigger;
} Demand;

struct FfTriggerIndex
{
	int		count;
	Demand *demands; /* by path, text, trigger */
	int		rest_count;
	int	   *rest;
};

static int
compare_demands(const void *a, const void *b)
{
	const Demand *left = a;
	const Demand *right = b;
	int			  order = strcmp(left->path, right->path);

	if (order == 0)
		order = strcmp(left->text, right->text);
	return order != 0 ? order : left->trigger - right->trigger;
}

static int
compare_ints(const void *a, const void *b)
{
	return *(const int *) a - *(const int *) b;
}

struct FfTriggerIndex *
ff_trigger_index_make(const FfTriggerSet *set, MemoryContext context)
{
	MemoryContext		   caller;
	struct FfTriggerIndex *index;

	if (set->count < MIN_TRIGGERS)
		return NULL;
	caller = MemoryContextSwitchTo(context);
	index = palloc0(sizeof(*index));
	index->demands = palloc(sizeof(Demand) * set->count);
	index->rest = palloc(sizeof(int) * set->count);
	for (int i = 0; i < set->count; i++)
	{
		char *path;
		char *text;

		if (set->triggers[i].filter != NULL &&
			ff_expr_event_key(set->triggers[i].filter, &path, &text))
			index->demands[index->count++] = (Demand){path, text, i};
		else
			index->rest[index->rest_count++] = i;
	}
	qsort(index->demands, index->count, sizeof(Demand), compare_demands);
	MemoryContextSwitchTo(caller);
	return index;
}

/* The first demand that is not before this one. */
static int
first_not_before(const struct FfTriggerIndex *index, const Demand *wanted)
{
	int low = 0;
	int high = index->count;

	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (compare_demands(&index->demands[middle], wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The text an event has at a path, or NULL when it has something else there. */
static const char *
text_at(Jsonb *event, const char *path)
{
	Jsonb	  *value = ff_json_at(event, path);
	JsonbValue scalar;

	if (value == NULL || !JB_ROOT_IS_SCALAR(value) || !JsonbExtractScalar(&value->root, &scalar) ||
		scalar.type != jbvString)
		return NULL;
	return pnstrdup(scalar.val.string.val, scalar.val.string.len);
}

typedef struct Found
{
	int *triggers;
	int	 count;
	int	 capacity;
} Found;

static void
add_found(Found *found, int trigger)
{
	if (found->count == found->capacity)
	{
		found->capacity *= 2;
		found->triggers = repalloc(found->triggers, sizeof(int) * found->capacity);
	}
	found->triggers[found->count++] = trigger;
}

/* Adds the triggers that demand the text which the event has at the path of the demand `at`; gives
 * the first demand of another path. */
static int
look_at_path(const struct FfTriggerIndex *index, Jsonb *event, int at, Found *found)
{
	Demand wanted = {index->demands[at].path, text_at(event, index->demands[at].path), 0};
	Demand next = {psprintf("%s\001", wanted.path), "", 0};
	int	   end = first_not_before(index, &next);

	if (wanted.text == NULL)
		return end;
	for (int i = first_not_before(index, &wanted);
		 i < end && strcmp(index->demands[i].text, wanted.text) == 0; i++)
		add_found(found, index->demands[i].trigger);
	return end;
}

int *
ff_trigger_index_look(const struct FfTriggerIndex *index, Jsonb *event, int *count)
{
	Found found = {NULL, 0, index->rest_count + 8};
	int	  at = 0;

	found.triggers = palloc(sizeof(int) * found.capacity);
	for (int i = 0; i < index->rest_count; i++)
		add_found(&found, index->rest[i]);
	while (at < index->count)
		at = look_at_path(index, event, at, &found);
	qsort(found.triggers, found.count, sizeof(int), compare_ints);
	*count = found.count;
	return found.triggers;
}
