/*
 * watch.c - flowforge.watch(), the trigger by which changes of a table become events (ff_watch).
 *
 * It fires once a statement, with the changed rows in transition tables, and records their events
 * in batches in the very transaction: however many rows change, the events are committed with them
 * or not at all. The n-th old row and the n-th new row of an update are the same row before and
 * after. What is watched, and how, stands in the trigger's argument, so it is renamed, dropped,
 * dumped and restored with the table.
 *
 * Rows are read as whoever changes them: making JSON of one may call functions of the types of its
 * columns, which are nobody's whom the engine trusts. Only the events are recorded as its owner.
 *
 * A watch never makes the watched statement fail for what a row holds: a row that is too large for
 * an event is told by its key alone.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "event/event.h"
#include "function/filter.h"
#include "util/acting.h"
#include "util/json.h"
#include "util/spi.h"

#define BATCH 5000 /* events that are recorded together */

/* What ff_watch was told, and the statement it fires for. */
typedef struct Watch
{
	Oid			owner; /* the extension's, as whom events are recorded */
	Relation	relation;
	const char *schema;
	const char *table;
	const char *op; /* insert, update, delete */
	int32		tenant_id;
	const char *event;
	Jsonb	   *columns; /* of which one must change in an update; NULL: any, or none */
	Jsonb	   *key;	 /* names of columns */
	FfExpr	   *filter;
	FmgrInfo	to_jsonb;
	TimestampTz at;
} Watch;

/* One transition table being read; others may read it too, each at its own place. */
typedef struct Rows
{
	Tuplestorestate *store; /* NULL: the statement has none */
	int				 pointer;
	TupleTableSlot	*slot;
} Rows;

/* The events gathered so far, where they are kept until they are recorded, and where one row's are
 * made. */
typedef struct Gathered
{
	MemoryContext context;
	MemoryContext row;
	FfEvent		 *events;
	int			  count;
} Gathered;

static Jsonb *
list_of(Jsonb *settings, const char *name)
{
	Jsonb *list = ff_json_member(settings, name);

	return list != NULL && ff_json_is_array(list) ? list : NULL;
}

/* to_jsonb takes any type and learns which from its call's expression. */
static void
prepare_to_jsonb(FmgrInfo *function, Oid row_type)
{
	Const *row = makeNullConst(row_type, -1, InvalidOid);

	fmgr_info(F_TO_JSONB, function);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(row), InvalidOid,
											 InvalidOid, COERCE_EXPLICIT_CALL),
					   function);
}

static const char *
op_of(const TriggerData *trigger)
{
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		return "insert";
	return TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? "update" : "delete";
}

static Oid
owner_of(Oid function)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid		  owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return owner;
}

static void
read_watch(Watch *watch, const TriggerData *trigger)
{
	FfJsonError error;
	const char *text = trigger->tg_trigger->tgargs[0];
	Jsonb	   *settings = ff_json_parse(text, strlen(text), ff_json_depth_limit, &error);
	char	   *filter;
	int64		tenant;

	if (settings == NULL || !ff_json_int64(settings, "tenant", &tenant))
		elog(ERROR, "the trigger \"%s\" was not made by ff_watch", trigger->tg_trigger->tgname);
	watch->owner = owner_of(trigger->tg_trigger->tgfoid);
	watch->relation = trigger->tg_relation;
	watch->schema = get_namespace_name(RelationGetNamespace(trigger->tg_relation));
	watch->table = pstrdup(RelationGetRelationName(trigger->tg_relation));
	watch->op = op_of(trigger);
	watch->tenant_id = (int32) tenant;
	watch->event = ff_json_text(settings, "event");
	watch->columns = strcmp(watch->op, "update") == 0 ? list_of(settings, "columns") : NULL;
	watch->key = list_of(settings, "key");
	filter = ff_json_text(settings, "filter");
	watch->filter = filter != NULL ? ff_expr_compile_stored(filter, CurrentMemoryContext) : NULL;
	watch->at = GetCurrentTimestamp();
	prepare_to_jsonb(&watch->to_jsonb, trigger->tg_relation->rd_rel->reltype);
}

/* --- rows --- */

static void
open_rows(Rows *rows, Tuplestorestate *store, Relation relation)
{
	rows->store = store;
	if (store == NULL)
		return;
	rows->pointer = tuplestore_alloc_read_pointer(store, EXEC_FLAG_REWIND);
	rows->slot = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsMinimalTuple);
	tuplestore_select_read_pointer(store, rows->pointer);
	tuplestore_rescan(store);
}

static bool
next_row(Rows *rows)
{
	if (rows->store == NULL)
		return false;
	tuplestore_select_read_pointer(rows->store, rows->pointer);
	return tuplestore_gettupleslot(rows->store, true, false, rows->slot);
}

static void
close_rows(Rows *rows)
{
	if (rows->store != NULL)
		ExecDropSingleTupleTableSlot(rows->slot);
}

static Jsonb *
row_json(Watch *watch, TupleTableSlot *slot)
{
	return DatumGetJsonbP(FunctionCall1(&watch->to_jsonb, ExecFetchSlotHeapTupleDatum(slot)));
}

static bool
is_listed(Jsonb *names, const char *name)
{
	JsonbValue value = {.type = jbvString};

	value.val.string.val = unconstify(char *, name);
	value.val.string.len = (int) strlen(name);
	return findJsonbValueFromContainer(&names->root, JB_FARRAY, &value) != NULL;
}

static bool
differs(const Rows *before, const Rows *after, int column)
{
	Form_pg_attribute type = TupleDescAttr(after->slot->tts_tupleDescriptor, column);
	bool			  was_null = before->slot->tts_isnull[column];
	bool			  is_null = after->slot->tts_isnull[column];

	if (was_null || is_null)
		return was_null != is_null;
	return !datum_image_eq(before->slot->tts_values[column], after->slot->tts_values[column],
						   type->attbyval, type->attlen);
}

/* Appends the names of the columns that an update changed; whether one of those watched is among
 * them. */
static bool
add_changed(const Watch *watch, const Rows *before, const Rows *after, FfJsonBuilder *builder)
{
	TupleDesc columns = after->slot->tts_tupleDescriptor;
	bool	  watched = watch->columns == NULL;

	slot_getallattrs(before->slot);
	slot_getallattrs(after->slot);
	ff_jb_array(builder);
	for (int i = 0; i < columns->natts; i++)
	{
		const char *name = NameStr(TupleDescAttr(columns, i)->attname);

		if (TupleDescAttr(columns, i)->attisdropped || !differs(before, after, i))
			continue;
		ff_jb_text(builder, name);
		watched = watched || is_listed(watch->columns, name);
	}
	ff_jb_end(builder);
	return watched;
}

/* --- events --- */

static void
add_key(const Watch *watch, FfJsonBuilder *builder, Jsonb *row)
{
	int count = JB_ROOT_COUNT(watch->key);

	ff_jb_key(builder, "key");
	ff_jb_object(builder);
	for (int i = 0; i < count; i++)
	{
		JsonbValue *name = getIthJsonbValueFromContainer(&watch->key->root, i);
		char	   *text = pnstrdup(name->val.string.val, name->val.string.len);
		Jsonb	   *value = ff_json_member(row, text);

		if (value == NULL)
			continue;
		ff_jb_key(builder, text);
		ff_jb_json(builder, value);
	}
	ff_jb_end(builder);
}

static void
add_row(FfJsonBuilder *builder, const char *name, Jsonb *row)
{
	if (row == NULL)
		return;
	ff_jb_key(builder, name);
	ff_jb_json(builder, row);
}

/* The event's data; without the rows, and in the end without the key, when it is `cut`. */
static Jsonb *
event_data(const Watch *watch, Jsonb *before, Jsonb *after, Jsonb *changed, int cut)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, "op");
	ff_jb_text(&builder, watch->op);
	ff_jb_key(&builder, "schema");
	ff_jb_text(&builder, watch->schema);
	ff_jb_key(&builder, "table");
	ff_jb_text(&builder, watch->table);
	if (watch->key != NULL && cut < 2)
		add_key(watch, &builder, after != NULL ? after : before);
	add_row(&builder, "changed", changed);
	if (cut == 0)
	{
		add_row(&builder, "old", before);
		add_row(&builder, "new", after);
	}
	else
	{
		ff_jb_key(&builder, "truncated");
		ff_jb_bool(&builder, true);
	}
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static bool
fits(Jsonb *data)
{
	return VARSIZE(data) <= (Size) ff_event_size_limit &&
		   ff_json_depth(data, ff_json_depth_limit + 1) <= ff_json_depth_limit;
}

static bool
passes(const Watch *watch, Jsonb *before, Jsonb *after)
{
	JsonbValue op = {.type = jbvString};
	FfBinding  bindings[3] = {{"old", before}, {"new", after}, {"op", NULL}};

	if (watch->filter == NULL)
		return true;
	op.val.string.val = unconstify(char *, watch->op);
	op.val.string.len = (int) strlen(watch->op);
	bindings[2].value = JsonbValueToJsonb(&op);
	if (before == NULL)
		bindings[0].value = ff_json_null();
	if (after == NULL)
		bindings[1].value = ff_json_null();
	/* Counted under the table, where functions have their own number. */
	return ff_filter_passes(watch->filter, bindings, 3, watch->tenant_id,
							-(int32) (RelationGetRelid(watch->relation) & PG_INT32_MAX));
}

/* Adds the event of a changed row, unless the watch is not for it. */
static void
gather(Watch *watch, const Rows *before, const Rows *after, bool has_old, bool has_new,
	   Gathered *out)
{
	FfJsonBuilder builder = {0};
	Jsonb		 *old_row = has_old ? row_json(watch, before->slot) : NULL;
	Jsonb		 *new_row = has_new ? row_json(watch, after->slot) : NULL;
	Jsonb		 *changed = NULL;
	Jsonb		 *data = NULL;
	FfEvent		 *event = &out->events[out->count];

	if (has_old && has_new)
	{
		if (!add_changed(watch, before, after, &builder))
			return;
		changed = ff_jb_finish(&builder);
	}
	if (!passes(watch, old_row, new_row))
		return;
	memset(event, 0, sizeof(*event));
	event->tenant_id = watch->tenant_id;
	event->name = watch->event;
	event->ts = watch->at;
	for (int cut = 0; cut <= 2 && (cut == 0 || !fits(data)); cut++)
		data = event_data(watch, old_row, new_row, changed, cut);
	event->data = memcpy(MemoryContextAlloc(out->context, VARSIZE(data)), data, VARSIZE(data));
	out->count++;
}

static void
record(const Watch *watch, Gathered *out)
{
	if (out->count > 0)
	{
		FfActing before = ff_act_as(watch->owner);

		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "could not connect to SPI");
		ff_event_record(out->events, out->count);
		SPI_finish();
		ff_act_end(&before);
	}
	out->count = 0;
	MemoryContextReset(out->context);
	out->events = MemoryContextAlloc(out->context, sizeof(FfEvent) * BATCH);
}

static void
watch_rows(Watch *watch, Rows *before, Rows *after)
{
	Gathered	  out = {0};
	MemoryContext caller = CurrentMemoryContext;

	out.context = AllocSetContextCreate(caller, "flowforge watch", ALLOCSET_DEFAULT_SIZES);
	out.row = AllocSetContextCreate(caller, "flowforge watched row", ALLOCSET_DEFAULT_SIZES);
	record(watch, &out);
	for (;;)
	{
		bool has_old = next_row(before);
		bool has_new = next_row(after);

		CHECK_FOR_INTERRUPTS();
		if (!has_old && !has_new)
			break;
		MemoryContextReset(out.row);
		MemoryContextSwitchTo(out.row);
		gather(watch, before, after, has_old, has_new, &out);
		MemoryContextSwitchTo(caller);
		if (out.count == BATCH)
			record(watch, &out);
	}
	record(watch, &out);
	MemoryContextDelete(out.context);
	MemoryContextDelete(out.row);
}

PG_FUNCTION_INFO_V1(ff_watch_fire);
Datum
ff_watch_fire(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Watch		 watch = {0};
	Rows		 before = {0};
	Rows		 after = {0};

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) || trigger->tg_trigger->tgnargs != 1 ||
		(trigger->tg_oldtable == NULL && trigger->tg_newtable == NULL))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("flowforge.watch is the trigger that ff_watch makes")));
	read_watch(&watch, trigger);
	open_rows(&before, trigger->tg_oldtable, trigger->tg_relation);
	open_rows(&after, trigger->tg_newtable, trigger->tg_relation);
	watch_rows(&watch, &before, &after);
	close_rows(&before);
	close_rows(&after);
	PG_RETURN_POINTER(NULL);
}
