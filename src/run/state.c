/*
 * state.c - a run's state as the jsonb of its row, and what it is in memory.
 *
 * {"v": protocol, "gen": calls, "seq": events, "grp": answers, "plan": bool, "start": us, "parent":
 * ULID, "pstep": id, "depth": invocations, "from": us, when it was made to go on, "end": us, its
 * deadline, "edit": {step: input}, "defers": [{"id", "f": slug, "p": payload, "x": aborted}],
 * "batch": whether it may have several events, "ask": steps it has asked room for, "locks": [keys
 * of locks the run may hold], "items": [...]}; an item is {"id", "n": name, "op":
 * run|sleep|wait|invoke|signal|fetch|ai|loop, "a": attempt, "g": group, "r": race, "at": us, "due":
 * us, "e": error, "t": {timeout, retries}, "b": begun, "ch": ULID of the invoked run, "rem":
 * remote, "u": unreachable count, "us": since}. A step the server takes itself has the name of its
 * kind as op, its options as "o", the mark of secrets in them as "k" and its attempts as "m". Times
 * are microseconds since 1970.
 * Members that say nothing are left out.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "run/actor.h"
#include "run/kind.h"
#include "util/errors.h"
#include "util/id.h"
#include "util/jcs.h"
#include "util/json.h"

static const char *const kind_names[] = {
	[FF_ITEM_CALL] = "run",		 [FF_ITEM_SLEEP] = "sleep",	  [FF_ITEM_WAIT] = "wait",
	[FF_ITEM_INVOKE] = "invoke", [FF_ITEM_SIGNAL] = "signal", [FF_ITEM_FETCH] = "fetch",
	[FF_ITEM_AI] = "ai",		 [FF_ITEM_LOOP] = "loop"};

FfRun *
ff_run_new(const pg_uuid_t *id, MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "flowforge run", ALLOCSET_SMALL_SIZES);
	FfRun		 *run = MemoryContextAllocZero(context, sizeof(FfRun));

	run->id = *id;
	run->context = context;
	run->protocol = -1;
	run->queued = ff_from_unix_us(ff_id_ms(id) * 1000);
	return run;
}

void
ff_run_free(FfRun *run)
{
	MemoryContextDelete(run->context);
}

static int64
number(Jsonb *json, const char *key, int64 otherwise)
{
	int64 value;

	return ff_json_int64(json, key, &value) ? value : otherwise;
}

static TimestampTz
instant(Jsonb *json, const char *key, TimestampTz otherwise)
{
	int64 value;

	return ff_json_int64(json, key, &value) ? ff_from_unix_us(value) : otherwise;
}

static void
copy_text(Jsonb *json, const char *key, char *out, size_t size)
{
	char *text = ff_json_text(json, key);

	strlcpy(out, text ? text : "", size);
}

static void
read_kind(Jsonb *json, FfItem *item)
{
	char *op = ff_json_text(json, "op");

	for (int k = 0; op != NULL && k < (int) lengthof(kind_names); k++)
	{
		item->kind = (FfItemKind) k;
		if (strcmp(op, kind_names[k]) == 0)
			return;
	}
	item->kind = FF_ITEM_STEP;
	item->step = op == NULL ? NULL : ff_kind_by_name(op);
	if (item->step != NULL)
		return;
	ereport(ERROR, (errcode(FF_ERR_RUN_STATE),
					errmsg("a run's state has an item of unknown kind \"%s\"", op ? op : "")));
}

static FfItem *
read_item(Jsonb *json)
{
	FfItem *item = palloc0(sizeof(FfItem));
	char   *child;

	read_kind(json, item);
	copy_text(json, "id", item->id, sizeof(item->id));
	item->name = ff_json_text(json, "n");
	item->type = ff_json_text(json, "ty");
	item->attempt = (int) number(json, "a", 0);
	item->group = (int) number(json, "g", 0);
	item->race = ff_json_bool(json, "r");
	item->created = instant(json, "at", 0);
	item->due = instant(json, "due", ff_item_is_work(item) ? 0 : DT_NOEND);
	item->options = ff_json_member(json, "o");
	item->mark = ff_json_text(json, "k");
	item->max_attempts = (int) number(json, "m", 1);
	item->error = ff_json_member(json, "e");
	item->terms = ff_json_member(json, "t");
	item->timeout = number(json, "to", 0);
	item->input = ff_json_member(json, "in");
	item->begun = ff_json_bool(json, "b");
	if ((child = ff_json_text(json, "ch")) != NULL)
		(void) ff_id_parse(child, &item->child);
	item->remote = ff_json_bool(json, "rem");
	item->unreachable = (int) number(json, "u", 0);
	item->unreachable_since = instant(json, "us", 0);
	return item;
}

static FfItem *
first_call(TimestampTz now)
{
	FfItem *item = palloc0(sizeof(FfItem));

	item->kind = FF_ITEM_CALL;
	item->created = now;
	return item;
}

static void
read_items(FfRun *run, Jsonb *items)
{
	uint32 count = JB_ROOT_COUNT(items);

	for (uint32 i = 0; i < count; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(&items->root, i);

		ff_item_restore(run, read_item(JsonbValueToJsonb(element)));
	}
}

/* {step: input}: one step that is to run with another input than the function gives it. */
static void
read_edit(FfRun *run, Jsonb *edit)
{
	JsonbIterator *iterator;
	JsonbValue	   value;

	if (!ff_json_is_object(edit) || JB_ROOT_COUNT(edit) == 0)
		return;
	iterator = JsonbIteratorInit(&edit->root);
	JsonbIteratorNext(&iterator, &value, true);
	JsonbIteratorNext(&iterator, &value, true);
	strlcpy(run->edited_step, pnstrdup(value.val.string.val, value.val.string.len),
			sizeof(run->edited_step));
	run->edited_input = ff_json_member(edit, run->edited_step);
}

static void
read_locks(FfRun *run, Jsonb *keys)
{
	uint32 count = keys ? JB_ROOT_COUNT(keys) : 0;

	for (uint32 i = 0; i < count; i++)
	{
		JsonbValue *key = getIthJsonbValueFromContainer(&keys->root, i);

		run->locks = lappend(run->locks, pnstrdup(key->val.string.val, key->val.string.len));
	}
}

void
ff_run_read_state(FfRun *run, Jsonb *state, TimestampTz now)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);
	Jsonb		 *items = state ? ff_json_member(state, "items") : NULL;
	char		 *parent = state ? ff_json_text(state, "parent") : NULL;

	run->seq = 1; /* run.created is the run's own row */
	if (parent != NULL && ff_id_parse(parent, &run->parent_id))
	{
		run->has_parent = true;
		copy_text(state, "pstep", run->parent_step, sizeof(run->parent_step));
		run->depth = (int) number(state, "depth", 0);
	}
	if (items == NULL)
		run->items = list_make1(first_call(now));
	else
	{
		run->protocol = (int) number(state, "v", -1);
		run->generation = (int) number(state, "gen", 0);
		run->seq = (int) number(state, "seq", 1);
		run->group = (int) number(state, "grp", 0);
		run->asked = (int) number(state, "ask", 0);
		run->plan = ff_json_bool(state, "plan");
		run->paused = ff_json_bool(state, "paused");
		run->again = ff_json_member(state, "again");
		run->batched = ff_json_bool(state, "batch");
		read_locks(run, ff_json_member(state, "locks"));
		run->started = instant(state, "start", 0);
		run->queued = instant(state, "from", run->queued);
		read_edit(run, ff_json_member(state, "edit"));
		read_items(run, items);
		ff_defer_read(run, ff_json_member(state, "defers"));
	}
	MemoryContextSwitchTo(old);
}

static void
put_int(FfJsonBuilder *builder, const char *key, int64 value)
{
	ff_jb_key(builder, key);
	ff_jb_int(builder, value);
}

static void
put_flag(FfJsonBuilder *builder, const char *key, bool value)
{
	if (!value)
		return;
	ff_jb_key(builder, key);
	ff_jb_bool(builder, true);
}

static void
put_text(FfJsonBuilder *builder, const char *key, const char *value)
{
	if (value == NULL)
		return;
	ff_jb_key(builder, key);
	ff_jb_text(builder, value);
}

static void
put_json(FfJsonBuilder *builder, const char *key, Jsonb *value)
{
	if (value == NULL)
		return;
	ff_jb_key(builder, key);
	ff_jb_json(builder, value);
}

/* The keys come in the order in which jsonb keeps them (by length, then by bytes): that spares
 * sorting them, of which a run with many items has much. */
static void
put_item(FfJsonBuilder *builder, const FfItem *item)
{
	char child[FF_ULID_SIZE];

	ff_jb_object(builder);
	put_int(builder, "a", item->attempt);
	put_flag(builder, "b", item->begun);
	put_json(builder, "e", item->error);
	if (item->group != 0)
		put_int(builder, "g", item->group);
	put_text(builder, "k", item->mark);
	if (item->options != NULL || item->type != NULL)
		put_int(builder, "m", item->max_attempts);
	put_text(builder, "n", item->name);
	put_json(builder, "o", item->options);
	put_flag(builder, "r", item->race);
	put_json(builder, "t", item->terms);
	if (item->unreachable > 0)
		put_int(builder, "u", item->unreachable);
	put_int(builder, "at", ff_unix_us(item->created));
	if (item->kind == FF_ITEM_INVOKE)
	{
		ff_ulid_encode(&item->child, child);
		put_text(builder, "ch", pstrdup(child)); /* the builder keeps the pointer */
	}
	put_text(builder, "id", item->id);
	if (item->type != NULL)
		put_json(builder, "in", item->input);
	put_text(builder, "op", item->step ? item->step->name : kind_names[item->kind]);
	if (item->type != NULL && item->timeout > 0)
		put_int(builder, "to", item->timeout);
	put_text(builder, "ty", item->type);
	if (item->unreachable > 0)
		put_int(builder, "us", ff_unix_us(item->unreachable_since));
	if (item->due != 0 && item->due != DT_NOEND)
		put_int(builder, "due", ff_unix_us(item->due));
	put_flag(builder, "rem", item->remote);
	ff_jb_end(builder);
}

static void
put_locks(FfJsonBuilder *builder, const FfRun *run)
{
	ListCell *cell;

	if (run->locks == NIL)
		return;
	ff_jb_key(builder, "locks");
	ff_jb_array(builder);
	foreach (cell, run->locks)
		ff_jb_text(builder, lfirst(cell));
	ff_jb_end(builder);
}

Jsonb *
ff_run_write_state(const FfRun *run)
{
	FfJsonBuilder builder = {0};
	ListCell	 *cell;
	char		  ulid[FF_ULID_SIZE];

	ff_jb_object(&builder);
	put_int(&builder, "v", run->protocol);
	put_int(&builder, "gen", run->generation);
	put_int(&builder, "seq", run->seq);
	put_int(&builder, "grp", run->group);
	if (run->asked > 0)
		put_int(&builder, "ask", run->asked);
	put_flag(&builder, "plan", run->plan);
	put_flag(&builder, "paused", run->paused);
	put_locks(&builder, run);
	put_flag(&builder, "batch", run->batched);
	put_json(&builder, "again", run->again);
	if (run->started != 0)
		put_int(&builder, "start", ff_unix_us(run->started));
	if (run->has_parent)
	{
		ff_ulid_encode(&run->parent_id, ulid);
		put_text(&builder, "parent", ulid);
		put_text(&builder, "pstep", run->parent_step);
		put_int(&builder, "depth", run->depth);
	}
	if (run->queued != ff_from_unix_us(ff_id_ms(&run->id) * 1000))
		put_int(&builder, "from", ff_unix_us(run->queued));
	if (ff_run_deadline(run) != DT_NOEND)
		put_int(&builder, "end", ff_unix_us(ff_run_deadline(run)));
	if (run->edited_input != NULL)
	{
		ff_jb_key(&builder, "edit");
		ff_jb_object(&builder);
		ff_jb_key(&builder, run->edited_step);
		ff_jb_json(&builder, run->edited_input);
		ff_jb_end(&builder);
	}
	ff_defer_write(&builder, run);
	ff_jb_key(&builder, "items");
	ff_jb_array(&builder);
	foreach (cell, run->items)
		put_item(&builder, lfirst(cell));
	ff_jb_end(&builder);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

void
ff_run_add_memo(FfRun *run, const char *step_id, Jsonb *memo)
{
	char   *json = ff_jcs_text(memo);
	FfMemo *place;

	if (run->memo_count == run->memo_capacity)
	{
		run->memo_capacity = run->memo_capacity * 2 + 4;
		run->memos = run->memos == NULL
						 ? MemoryContextAlloc(run->context, sizeof(FfMemo) * run->memo_capacity)
						 : repalloc(run->memos, sizeof(FfMemo) * run->memo_capacity);
	}
	place = &run->memos[run->memo_count++];
	strlcpy(place->id, step_id, sizeof(place->id));
	place->json = MemoryContextStrdup(run->context, json);
	run->memo_bytes += strlen(json);
	pfree(json);
}

TimestampTz
ff_run_next_due(const FfRun *run, TimestampTz now)
{
	TimestampTz next = DT_NOEND;
	ListCell   *cell;

	foreach (cell, run->items)
	{
		const FfItem *item = lfirst(cell);

		if (item->call != NULL || item->due <= now)
			return 0;
		next = Min(next, item->due);
	}
	return Min(next, ff_run_deadline(run));
}
