/*
 * rows.c - writing rows without a statement (see rows.h).
 *
 * A Writer is the executor's state for one table, as COPY FROM sets it up. Rows wait in its slots
 * while they go to the same partition; then they are put into the heap together, and one by one
 * into the indexes and before the triggers.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "executor/execPartition.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "util/compat.h"
#include "util/rows.h"

#define MAX_PENDING 128 /* several pages of the smallest rows */

typedef struct Writer
{
	Relation			   table;
	EState				  *estate;
	ModifyTableState	  *state;
	ResultRelInfo		  *root;
	PartitionTupleRouting *routing; /* NULL: the table has no partitions */
	ResultRelInfo		  *target;	/* where the pending rows go */
	int					   pending;
	TupleTableSlot		  *slots[MAX_PENDING];
	TupleTableSlot		  *stored[MAX_PENDING]; /* the same rows in the partition's form */
	AttrNumber			   places[FF_ROWS_MAX_COLUMNS];
} Writer;

void
ff_rows_add(FfRows *rows, const Datum *values, const bool *nulls)
{
	int width = rows->table->width;

	if (rows->count == rows->capacity)
	{
		Size cells;

		rows->capacity = rows->capacity * 2 + 1;
		cells = (Size) rows->capacity * width;
		rows->values = rows->values == NULL ? palloc(sizeof(Datum) * cells)
											: repalloc_huge(rows->values, sizeof(Datum) * cells);
		rows->nulls = rows->nulls == NULL ? palloc(sizeof(bool) * cells)
										  : repalloc_huge(rows->nulls, sizeof(bool) * cells);
	}
	memcpy(&rows->values[(Size) rows->count * width], values, sizeof(Datum) * width);
	if (nulls != NULL)
		memcpy(&rows->nulls[(Size) rows->count * width], nulls, sizeof(bool) * width);
	else
		memset(&rows->nulls[(Size) rows->count * width], false, sizeof(bool) * width);
	rows->count++;
}

/* --- beginning and ending --- */

static Relation
open_table(const FfTable *table)
{
	Oid		  schema = get_namespace_oid("flowforge", false);
	Oid		  relid = get_relname_relid(table->name, schema);
	AclResult allowed;

	if (!OidIsValid(relid))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("relation \"flowforge.%s\" does not exist", table->name)));
	PreventCommandIfReadOnly("INSERT");
	allowed = pg_class_aclcheck(relid, GetUserId(), ACL_INSERT);
	if (allowed != ACLCHECK_OK)
		aclcheck_error(allowed, OBJECT_TABLE, table->name);
	if (check_enable_rls(relid, InvalidOid, false) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("row-level security on \"flowforge.%s\" is not supported", table->name),
				 errhint("Policies on FlowForge's tables may not be forced on their owner.")));
	return table_open(relid, RowExclusiveLock);
}

/* Where the columns stand: nearly always in the order in which they are named. */
static void
find_places(Writer *writer, const FfTable *table)
{
	TupleDesc desc = RelationGetDescr(writer->table);

	for (int c = 0; c < table->width; c++)
	{
		int place = c;

		for (int tried = 0;
			 strcmp(NameStr(TupleDescAttr(desc, place)->attname), table->columns[c]) != 0; tried++)
		{
			if (tried == desc->natts)
				elog(ERROR, "flowforge.%s has no column \"%s\"", table->name, table->columns[c]);
			place = (place + 1) % desc->natts;
		}
		writer->places[c] = place;
	}
}

static void
begin(Writer *writer, const FfTable *table)
{
	MemoryContext outer;

	writer->table = open_table(table);
	writer->pending = 0;
	writer->target = NULL;
	writer->routing = NULL;
	memset(writer->slots, 0, sizeof(writer->slots));
	find_places(writer, table);
	writer->estate = CreateExecutorState();
	outer = MemoryContextSwitchTo(writer->estate->es_query_cxt);
	writer->root = makeNode(ResultRelInfo);
	InitResultRelInfo(writer->root, writer->table, 0, NULL, 0);
	CheckValidResultRel(writer->root, CMD_INSERT);
	writer->estate->es_opened_result_relations = list_make1(writer->root);
	writer->estate->es_output_cid = GetCurrentCommandId(true);
	writer->state = makeNode(ModifyTableState);
	writer->state->ps.state = writer->estate;
	writer->state->operation = CMD_INSERT;
	writer->state->mt_nrels = 1;
	writer->state->resultRelInfo = writer->state->rootResultRelInfo = writer->root;
	if (writer->table->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		writer->routing = ExecSetupPartitionTupleRouting(writer->estate, writer->table);
	else
		ExecOpenIndices(writer->root, false);
	AfterTriggerBeginQuery();
	writer->state->mt_transition_capture = MakeTransitionCaptureState(
		writer->root->ri_TrigDesc, RelationGetRelid(writer->table), CMD_INSERT);
	MemoryContextSwitchTo(outer);
	ExecBSInsertTriggers(writer->estate, writer->root);
}

static void
end(Writer *writer)
{
	ExecASInsertTriggers(writer->estate, writer->root, writer->state->mt_transition_capture);
	AfterTriggerEndQuery(writer->estate);
	ExecResetTupleTable(writer->estate->es_tupleTable, false);
	ExecCloseResultRelations(writer->estate);
	if (writer->routing != NULL)
		ExecCleanupTupleRouting(writer->state, writer->routing);
	FreeExecutorState(writer->estate);
	table_close(writer->table, NoLock);
	CommandCounterIncrement();
}

/* --- rows --- */

static TupleTableSlot *
new_slot(Writer *writer, Relation relation)
{
	MemoryContext	outer = MemoryContextSwitchTo(writer->estate->es_query_cxt);
	TupleTableSlot *slot = ExecAllocTableSlot(&writer->estate->es_tupleTable,
											  RelationGetDescr(relation), &TTSOpsVirtual);

	MemoryContextSwitchTo(outer);
	return slot;
}

/* The row, as the table has its columns, in the next free slot. */
static TupleTableSlot *
fill_slot(Writer *writer, const FfRows *rows, int row)
{
	int				width = rows->table->width;
	Datum		   *values = &rows->values[(Size) row * width];
	bool		   *nulls = &rows->nulls[(Size) row * width];
	TupleTableSlot *slot;

	if (writer->slots[writer->pending] == NULL)
		writer->slots[writer->pending] = new_slot(writer, writer->table);
	slot = ExecClearTuple(writer->slots[writer->pending]);
	memset(slot->tts_isnull, true, sizeof(bool) * slot->tts_tupleDescriptor->natts);
	for (int c = 0; c < width; c++)
	{
		slot->tts_values[writer->places[c]] = values[c];
		slot->tts_isnull[writer->places[c]] = nulls[c];
	}
	return ExecStoreVirtualTuple(slot);
}

/* A partition may have its columns at other places than its parent. */
static TupleTableSlot *
in_form_of(Writer *writer, ResultRelInfo *target, TupleTableSlot *slot)
{
	TupleConversionMap *map = ff_root_to_child_map(target, writer->estate);

	if (map == NULL)
		return slot;
	return execute_attr_map_slot(map->attrMap, slot, new_slot(writer, target->ri_RelationDesc));
}

static void
flush(Writer *writer)
{
	EState		  *estate = writer->estate;
	ResultRelInfo *target = writer->target;
	MemoryContext  outer = MemoryContextSwitchTo(GetPerTupleMemoryContext(estate));

	table_multi_insert(target->ri_RelationDesc, writer->stored, writer->pending,
					   estate->es_output_cid, 0, NULL);
	for (int i = 0; i < writer->pending; i++)
	{
		List *recheck = NIL;

		if (target->ri_NumIndices > 0)
			recheck = ff_insert_index_tuples(target, writer->stored[i], estate);
		ExecARInsertTriggers(estate, target, writer->stored[i], recheck,
							 writer->state->mt_transition_capture);
	}
	MemoryContextSwitchTo(outer);
	ResetPerTupleExprContext(estate);
	writer->pending = 0;
}

/* A trigger before the row may change it, or drop it, and may look for the rows before it. */
static void
put(Writer *writer, ResultRelInfo *target, TupleTableSlot *slot)
{
	TriggerDesc *triggers = target->ri_TrigDesc;
	bool		 before = triggers != NULL && triggers->trig_insert_before_row;

	slot = in_form_of(writer, target, slot);
	slot->tts_tableOid = RelationGetRelid(target->ri_RelationDesc);
	if (before && !ExecBRInsertTriggers(writer->estate, target, slot))
		return;
	if (target->ri_RelationDesc->rd_att->constr != NULL)
		ExecConstraints(target, slot, writer->estate);
	if (before && target->ri_RelationDesc->rd_rel->relispartition)
		ExecPartitionCheck(target, slot, writer->estate, true);
	writer->stored[writer->pending++] = slot;
	if (before || writer->pending == MAX_PENDING)
		flush(writer);
}

static void
add(Writer *writer, const FfRows *rows, int row)
{
	TupleTableSlot *slot = fill_slot(writer, rows, row);
	ResultRelInfo  *target = writer->root;

	if (writer->routing != NULL)
		target =
			ExecFindPartition(writer->state, writer->root, writer->routing, slot, writer->estate);
	if (target == NULL)
		elog(ERROR, "a row has no table to go to");
	if (target != writer->target && writer->pending > 0)
	{
		flush(writer);
		slot = fill_slot(writer, rows, row);
	}
	writer->target = target;
	put(writer, target, slot);
}

void
ff_rows_write(const FfRows *rows)
{
	Writer writer;
	bool   snapshot = !ActiveSnapshotSet();

	if (rows->count == 0)
		return;
	if (snapshot) /* functions of triggers and indexes need one, and so does a value stored apart */
		PushActiveSnapshot(GetTransactionSnapshot());
	begin(&writer, rows->table);
	for (int i = 0; i < rows->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		add(&writer, rows, i);
	}
	if (writer.pending > 0)
		flush(&writer);
	end(&writer);
	if (snapshot)
		PopActiveSnapshot();
}
