/*
 * hold.c - which events are held back when they come (see held.h).
 */
#include "postgres.h"

#include "miscadmin.h"

#include "flow/held.h"
#include "flow/start.h"
#include "function/function.h"

static int
compare_holds(const void *a, const void *b)
{
	const FfHold *x = a;
	const FfHold *y = b;
	int			  order;

	if (x->run->function_id != y->run->function_id)
		return x->run->function_id < y->run->function_id ? -1 : 1;
	order = strcmp(x->key, y->key);
	if (order != 0)
		return order;
	return x->place < y->place ? -1 : 1;
}

void
ff_holds_sort(FfHold *holds, int count)
{
	qsort(holds, count, sizeof(FfHold), compare_holds);
}

bool
ff_holds_one_row(const FfHold *a, const FfHold *b)
{
	return a->run->function_id == b->run->function_id && strcmp(a->key, b->key) == 0;
}

const FfHold *
ff_holds_find(const FfHold *holds, int count, int32 function_id, const char *key)
{
	int low = 0;
	int high = count - 1;

	while (low < high)
	{
		int			  middle = low + (high - low) / 2;
		const FfHold *at = &holds[middle];
		bool before = at->run->function_id != function_id ? at->run->function_id < function_id
														  : strcmp(at->key, key) < 0;

		if (before)
			low = middle + 1;
		else
			high = middle;
	}
	return &holds[low];
}

/* The event of the run being looked at; consecutive runs often have the same. */
typedef struct Seen
{
	const FfEvent *event;
	Jsonb		  *json;
} Seen;

static Jsonb *
json_of(Seen *seen, const FfEvent *event)
{
	if (seen->event != event)
	{
		seen->event = event;
		seen->json = ff_event_json(event);
	}
	return seen->json;
}

static bool
in_batch(const FfBatching *batch, Seen *seen, const FfEvent *event)
{
	FfBinding binding = {"event", NULL};

	if (batch->filter == NULL)
		return true;
	binding.value = json_of(seen, event);
	return ff_expr_filter(batch->filter, &binding, 1);
}

static const char *
key_of(const FfHold *hold, const FfExpr *key, Seen *seen)
{
	return key == NULL ? "" : ff_start_key(key, json_of(seen, hold->run->event));
}

static void
debounce(FfHold *hold, const FfDebounce *rule, Seen *seen)
{
	hold->key = key_of(hold, rule->key, seen);
	hold->wait = rule->period;
	hold->bound = rule->timeout;
}

static void
gather(FfHold *hold, const FfBatching *rule, Seen *seen)
{
	hold->key = key_of(hold, rule->key, seen);
	hold->wait = rule->timeout;
	hold->max = rule->max_size;
}

/*
 * Everything that the cache says of a function is taken before the next is asked for, and all rows
 * are written after that.
 */
int
ff_flow_hold(FfNewRun *runs, int count)
{
	FfHold	 *debounced = palloc_extended(sizeof(FfHold) * count, MCXT_ALLOC_HUGE);
	FfHold	 *gathered = palloc_extended(sizeof(FfHold) * count, MCXT_ALLOC_HUGE);
	FfNewRun *held = palloc_extended(sizeof(FfNewRun) * count, MCXT_ALLOC_HUGE);
	int		  debounced_count = 0;
	int		  gathered_count = 0;
	int		  kept = 0;
	Seen	  seen = {0};

	memcpy(held, runs, sizeof(FfNewRun) * count);
	for (int i = 0; i < count; i++)
	{
		FfHold			  hold = {.run = &held[i], .place = i};
		const FfFunction *function;
		const FfFlow	 *flow;

		CHECK_FOR_INTERRUPTS();
		function = !held[i].unlimited
					   ? ff_function_get(held[i].tenant_id, held[i].function_id, held[i].version)
					   : NULL;
		flow = function ? function->flow : NULL;
		if (flow != NULL && flow->debounce.period > 0)
		{
			debounce(&hold, &flow->debounce, &seen);
			debounced[debounced_count++] = hold;
		}
		else if (flow != NULL && flow->batch.max_size > 0 &&
				 in_batch(&flow->batch, &seen, held[i].event))
		{
			gather(&hold, &flow->batch, &seen);
			gathered[gathered_count++] = hold;
		}
		else
			runs[kept++] = held[i];
	}
	ff_debounce_hold(debounced, debounced_count);
	ff_gather_hold(gathered, gathered_count);
	return kept;
}
