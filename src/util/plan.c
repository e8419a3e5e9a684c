/*
 * plan.c - what the planner is told of FlowForge's tables while it plans FlowForge's own
 * statements.
 *
 * Tables of live runs, waits and messages are empty one second and hold a million rows the next. A
 * plan that is kept, made while the statistics said "empty", scans the whole table for each key
 * until they are taken again. So our statements, which are all lookups by key, are planned as if
 * every table were large; what others ask of the tables is planned by the facts.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "nodes/pathnodes.h"
#include "optimizer/plancat.h"
#include "utils/lsyscache.h"

#include "util/spi.h"

#define LARGE_TUPLES 1000000.0
#define LARGE_PAGES 20000
#define LARGE_INDEX_PAGES 4000
#define LARGE_INDEX_HEIGHT 2

bool ff_planning_own = false;

static get_relation_info_hook_type next_hook = NULL;

static void
enlarge_index(IndexOptInfo *index)
{
	index->pages = Max(index->pages, LARGE_INDEX_PAGES);
	index->tuples = Max(index->tuples, LARGE_TUPLES);
	index->tree_height = Max(index->tree_height, LARGE_INDEX_HEIGHT);
}

static void
enlarge(PlannerInfo *root, Oid relation, bool parent, RelOptInfo *info)
{
	ListCell *cell;

	if (next_hook != NULL)
		next_hook(root, relation, parent, info);
	if (!ff_planning_own || get_rel_namespace(relation) != get_namespace_oid("flowforge", true))
		return;
	info->pages = Max(info->pages, LARGE_PAGES);
	info->tuples = Max(info->tuples, LARGE_TUPLES);
	foreach (cell, info->indexlist)
		enlarge_index(lfirst(cell));
}

void
ff_plan_init(void)
{
	next_hook = get_relation_info_hook;
	get_relation_info_hook = enlarge;
}
