/*
 * recall.c - when what a backend remembers has to be forgotten (see recall.h).
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "util/recall.h"

static void
forget_relation(Datum arg, Oid relid)
{
	FfRecall *recall = (FfRecall *) DatumGetPointer(arg);

	if (relid != recall->relid && relid != InvalidOid)
		return;
	recall->stale = true;
	recall->generation++;
}

void
ff_recall_register(FfRecall *recall)
{
	recall->stale = true;
	CacheRegisterRelcacheCallback(forget_relation, PointerGetDatum(recall));
}

bool
ff_recall_expired(FfRecall *recall)
{
	return recall->stale ||
		   (recall->reader != 0 && recall->reader != GetCurrentTransactionStartTimestamp());
}

void
ff_recall_renewed(FfRecall *recall)
{
	recall->relid = get_relname_relid(recall->table, get_namespace_oid("flowforge", false));
	recall->stale = false;
	recall->reader = 0;
}

void
ff_recall_noted(FfRecall *recall)
{
	if (IsolationUsesXactSnapshot())
		recall->reader = GetCurrentTransactionStartTimestamp();
}
