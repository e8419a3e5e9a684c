/*
 * item.c - the parts a change of a run is made of: its log, its items, its checkpoints, and the
 * rule of what is asked next (see actor.h).
 *
 * The rules of the SDK protocol about what is called next are here and only here:
 * `ff_run_decide_next`.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "run/actor.h"
#include "run/driver.h"
#include "run/kind.h"
#include "util/id.h"
#include "util/jcs.h"
#include "util/json.h"

#define EVENT_KEYS 6  /* a, d, n, s, t, at */
#define MANY_ITEMS 32 /* from here on they are found by a table */

typedef struct ItemEntry
{
	const char *id;
	FfItem	   *item;
	char		status;
} ItemEntry;

#define SH_PREFIX item_table
#define SH_ELEMENT_TYPE ItemEntry
#define SH_KEY_TYPE const char *
#define SH_KEY id
#define SH_HASH_KEY(table, key) hash_bytes((const unsigned char *) (key), (int) strlen(key))
#define SH_EQUAL(table, a, b) (strcmp(a, b) == 0)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* The run's change, begun when there is none; made in the current context, the group's. */
FfChange *
ff_run_change(FfRun *run)
{
	if (run->change == NULL)
	{
		run->change = palloc0(sizeof(FfChange));
		run->change->run = run;
		run->change->home_before = run->home;
		run->change->begun_before = run->started != 0;
		run->change->first_seq = run->seq + 1;
		if (run->claim != NULL)
		{
			run->change->claim_before = palloc(sizeof(FfClaim));
			*run->change->claim_before = *run->claim;
		}
	}
	return run->change;
}

static void
put_text(FfJsonBuilder *builder, const char *key, const char *text)
{
	if (text == NULL || *text == '\0')
		return;
	ff_jb_key(builder, key);
	ff_jb_text(builder, text);
}

void
ff_run_log(FfRun *run, const char *type, const char *step_id, const char *name, int attempt,
		   Jsonb *data, TimestampTz at)
{
	if (run->driver != NULL)
		run->driver->log(run, type, step_id, name, attempt, data, at);
	else
		ff_run_log_event(run, type, step_id, name, attempt, data, at);
}

/* One pair of an event's object; its place is the next. */
static JsonbValue *
add_pair(JsonbValue *event, const char *key, enum jbvType type)
{
	JsonbPair *pair = &event->val.object.pairs[event->val.object.nPairs];

	pair->order = event->val.object.nPairs++;
	pair->key.type = jbvString;
	pair->key.val.string.val = unconstify(char *, key);
	pair->key.val.string.len = (int) strlen(key);
	pair->value.type = type;
	return &pair->value;
}

static void
add_text(JsonbValue *event, const char *key, const char *text)
{
	JsonbValue *value;

	if (text == NULL || *text == '\0')
		return;
	value = add_pair(event, key, jbvString);
	value->val.string.val = pstrdup(text);
	value->val.string.len = (int) strlen(text);
}

/*
 * An event is kept as the tree of its object until the log's row is made of all of them, so that
 * nothing is put together twice. Its keys are added in the order in which jsonb keeps them: by
 * length, then by bytes.
 */
void
ff_run_log_tree(FfRun *run, const char *type, const char *step_id, const char *name, int attempt,
				const JsonbValue *data, TimestampTz at)
{
	FfChange   *change = ff_run_change(run);
	JsonbValue *event = palloc0(sizeof(JsonbValue));

	event->type = jbvObject;
	event->val.object.pairs = palloc0(sizeof(JsonbPair) * EVENT_KEYS);
	if (attempt >= 0)
		add_pair(event, "a", jbvNumeric)->val.numeric = int64_to_numeric(attempt);
	if (data != NULL)
		*add_pair(event, "d", jbvNull) = *data;
	add_text(event, "n", name);
	add_text(event, "s", step_id);
	add_text(event, "t", type);
	add_pair(event, "at", jbvNumeric)->val.numeric = int64_to_numeric(ff_unix_us(at));
	change->events = lappend(change->events, event);
	run->seq++;
}

void
ff_run_log_event(FfRun *run, const char *type, const char *step_id, const char *name, int attempt,
				 Jsonb *data, TimestampTz at)
{
	ff_run_log_tree(run, type, step_id, name, attempt, data ? ff_json_tree(data) : NULL, at);
}

Jsonb *
ff_run_error(const char *name, const char *message)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	put_text(&builder, "message", message);
	put_text(&builder, "name", name);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

Jsonb *
ff_run_wrap(const char *key, Jsonb *value)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, key);
	ff_jb_json(&builder, value);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

Jsonb *
ff_run_keep_json(FfRun *run, Jsonb *value)
{
	Jsonb *copy;

	if (value == NULL)
		return NULL;
	copy = MemoryContextAlloc(run->context, VARSIZE(value));
	memcpy(copy, value, VARSIZE(value));
	return copy;
}

/* --- items --- */

/* Of two with one id, which there should not be, the first is found, as in the list. */
static void
put_into_table(FfRun *run, FfItem *item)
{
	bool	   found;
	ItemEntry *entry = item_table_insert(run->item_table, item->id, &found);

	if (!found)
		entry->item = item;
}

static void
make_table(FfRun *run)
{
	ListCell *cell;

	run->item_table = item_table_create(run->context, (uint32) list_length(run->items), NULL);
	foreach (cell, run->items)
		put_into_table(run, lfirst(cell));
}

static void
drop_table(FfRun *run)
{
	if (run->item_table != NULL)
		item_table_destroy(run->item_table);
	run->item_table = NULL;
}

/* Into the list: the current context is the run's. */
static void
list_item(FfRun *run, FfItem *item)
{
	run->items = lappend(run->items, item);
	if (run->item_table != NULL)
		put_into_table(run, item);
	else if (list_length(run->items) >= MANY_ITEMS)
		make_table(run);
}

FfItem *
ff_item_add(FfRun *run, FfItemKind kind, const char *id, const char *name, int group,
			TimestampTz now)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);
	FfItem		 *item = palloc0(sizeof(FfItem));

	item->kind = kind;
	strlcpy(item->id, id, sizeof(item->id));
	item->name = name ? pstrdup(name) : NULL;
	item->group = group;
	item->created = now;
	item->due = ff_item_calls(item) ? 0 : DT_NOEND;
	item->max_attempts = 1;
	list_item(run, item);
	MemoryContextSwitchTo(old);
	return item;
}

/* The change may still tell of what it held: that is given back later (ff_items_forget). */
void
ff_item_remove(FfRun *run, FfItem *item)
{
	MemoryContext old;

	run->items = list_delete_ptr(run->items, item);
	if (list_length(run->items) < MANY_ITEMS / 2)
		drop_table(run);
	else if (run->item_table != NULL && item != NULL)
		item_table_delete(run->item_table, item->id);
	if (run->driver == NULL || item == NULL)
		return;
	old = MemoryContextSwitchTo(run->context);
	run->gone = lappend(run->gone, item);
	MemoryContextSwitchTo(old);
}

static void
give_back(void *value)
{
	if (value != NULL)
		pfree(value);
}

void
ff_items_forget(FfRun *run)
{
	ListCell *cell;

	foreach (cell, run->gone)
	{
		FfItem *item = lfirst(cell);

		give_back(item->name);
		give_back(item->input);
		give_back(item->error);
		give_back(item->terms);
		give_back(item->request);
		give_back(item->options);
		pfree(item);
	}
	list_free(run->gone);
	run->gone = NIL;
}

void
ff_item_restore(FfRun *run, FfItem *item)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);

	list_item(run, item);
	MemoryContextSwitchTo(old);
}

FfItem *
ff_item_find(const FfRun *run, const char *id)
{
	ListCell *cell;

	if (run->item_table != NULL)
	{
		const ItemEntry *entry = item_table_lookup(run->item_table, id);

		return entry != NULL ? entry->item : NULL;
	}
	foreach (cell, run->items)
	{
		FfItem *item = lfirst(cell);

		if (strcmp(item->id, id) == 0)
			return item;
	}
	return NULL;
}

bool
ff_run_advances(const FfRun *run)
{
	const FfItem *asking = run->driver ? ff_item_find(run, "") : NULL;

	return asking != NULL && asking->due <= GetCurrentTimestamp() &&
		   !(run->change != NULL && run->change->ended);
}

bool
ff_memo_exists(const FfRun *run, const char *id)
{
	for (int i = 0; i < run->memo_count; i++)
	{
		if (strcmp(run->memos[i].id, id) == 0)
			return true;
	}
	return false;
}

static bool
group_pending(const FfRun *run, int group)
{
	ListCell *cell;

	foreach (cell, run->items)
	{
		const FfItem *item = lfirst(cell);

		if (item->id[0] != '\0' && item->group == group)
			return true;
	}
	return false;
}

void
ff_run_ask_next(FfRun *run, TimestampTz now)
{
	FfItem *asking = ff_item_find(run, "");

	if (asking == NULL)
		ff_item_add(run, FF_ITEM_CALL, "", NULL, 0, now);
	else if (asking->call != NULL)
		asking->again = true;
}

/*
 * Something of a group has finished. Version 1 of the protocol asks after each finish; version 2
 * when the whole group has finished, or after each when the function races its steps.
 */
void
ff_run_decide_next(FfRun *run, int group, bool race, TimestampTz now)
{
	bool group_done;

	if (run->change->ended)
		return;
	if (run->driver != NULL)
	{
		ff_run_ask_next(run, now);
		return;
	}
	group_done = !group_pending(run, group);
	if (run->protocol != 1 && group_done)
		run->plan = false;
	if (run->protocol == 1 || race || group_done)
		ff_run_ask_next(run, now);
}

/* --- steps --- */

FfStepRow *
ff_step_checkpoint(FfRun *run, const char *id, const char *op, const char *name, const char *status,
				   int attempt, Jsonb *memo, TimestampTz started, TimestampTz now)
{
	FfChange  *change = ff_run_change(run);
	FfStepRow *row = palloc0(sizeof(FfStepRow));

	strlcpy(row->id, id, sizeof(row->id));
	row->op = op;
	row->name = pstrdup(name ? name : "");
	row->status = status;
	row->attempt = attempt;
	row->memo = memo;
	row->started = started;
	row->ended = now;
	if (run->driver != NULL)
		run->driver->describe(run, row);
	else
		ff_run_add_memo(run, id, memo);
	if (strcmp(run->edited_step, id) == 0)
		run->edited_input = NULL; /* it has been run with it */
	row->position = run->driver ? ++run->step_count : run->memo_count;
	change->steps = lappend(change->steps, row);
	ff_run_log(run, strcmp(status, "failed") == 0 ? "step.failed" : "step.completed", id, name,
			   attempt, strcmp(status, "failed") == 0 ? memo : NULL, now);
	return row;
}

void
ff_step_set_memo(FfRun *run, FfStepRow *row, Jsonb *memo)
{
	char   *json = ff_jcs_text(memo);
	FfMemo *place = &run->memos[row->position - 1];

	row->memo = memo;
	run->memo_bytes += strlen(json);
	run->memo_bytes -= strlen(place->json);
	pfree(place->json);
	place->json = MemoryContextStrdup(run->context, json);
	pfree(json);
}

const char *
ff_item_op(const FfItem *item)
{
	switch (item->kind)
	{
		case FF_ITEM_SLEEP:
			return "sleep";
		case FF_ITEM_WAIT:
			return "wait";
		case FF_ITEM_INVOKE:
			return "invoke";
		case FF_ITEM_STEP:
			return item->step->name;
		case FF_ITEM_SIGNAL:
			return "signal";
		case FF_ITEM_FETCH:
			return "fetch";
		case FF_ITEM_AI:
			return "ai";
		case FF_ITEM_LOOP:
			return "loop";
		case FF_ITEM_CALL:
			break;
	}
	return "run";
}

void
ff_item_release(FfRun *run, const FfItem *item)
{
	FfChange *change = ff_run_change(run);

	if (item->kind == FF_ITEM_WAIT)
		change->waits_done = lappend(change->waits_done, pstrdup(item->id));
	else if (item->kind == FF_ITEM_STEP && item->step->release != NULL)
		item->step->release(run, item);
	else if (item->kind == FF_ITEM_SIGNAL)
		change->signals_done = lappend(change->signals_done, pstrdup(item->id));
}

void
ff_item_finish(FfRun *run, FfItem *item, const char *status, Jsonb *memo, TimestampTz now)
{
	if (run->driver != NULL)
	{
		ff_run_change(run);
		run->driver->finish(run, item, status, memo, now);
		ff_run_decide_next(run, item->group, item->race, now);
		return;
	}
	ff_step_checkpoint(run, item->id, ff_item_op(item), item->name, status, item->attempt, memo,
					   item->created, now);
	ff_item_release(run, item);
	ff_item_remove(run, item);
	ff_run_decide_next(run, item->group, item->race, now);
}

void
ff_item_note(FfRun *run, FfItem *item, const char *type, TimestampTz now)
{
	FfJsonBuilder builder = {0};

	if (item->due == 0 || item->due == DT_NOEND)
	{
		ff_run_log(run, type, item->id, item->name, -1, NULL, now);
		return;
	}
	ff_jb_object(&builder);
	ff_jb_key(&builder, "due");
	ff_jb_int(&builder, ff_unix_us(item->due) / 1000);
	ff_jb_end(&builder);
	ff_run_log(run, type, item->id, item->name, -1, ff_jb_finish(&builder), now);
}
