/*
 * kind.c - the kinds of steps the server takes itself (see kind.h), and effects: what a change
 * writes beyond the run's own rows.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "run/actor.h"
#include "run/kind.h"

static const FfStepKind *kinds[FF_MAX_STEP_KINDS];
static int				 kind_count = 0;

void
ff_kind_register(const FfStepKind *kind)
{
	if (kind_count == FF_MAX_STEP_KINDS)
		elog(ERROR, "too many kinds of steps");
	kinds[kind_count++] = kind;
}

const FfStepKind *
ff_kind_by_op(const char *op)
{
	for (int i = 0; i < kind_count; i++)
	{
		if (pg_strcasecmp(kinds[i]->op, op) == 0)
			return kinds[i];
	}
	return NULL;
}

const FfStepKind *
ff_kind_by_name(const char *name)
{
	for (int i = 0; i < kind_count; i++)
	{
		if (strcmp(kinds[i]->name, name) == 0)
			return kinds[i];
	}
	return NULL;
}

void
ff_kinds_run_ended(FfRun *run)
{
	for (int i = 0; i < kind_count; i++)
	{
		if (kinds[i]->run_ended != NULL)
			kinds[i]->run_ended(run);
	}
}

bool
ff_item_is_work(const FfItem *item)
{
	return ff_item_calls(item) ||
		   (item->kind == FF_ITEM_STEP && item->step->place != FF_STEP_WAITS);
}

FfItem *
ff_kind_item(FfRun *run, const FfOp *op, int group, int max_attempts, TimestampTz now)
{
	FfItem *item = ff_item_add(run, FF_ITEM_STEP, op->id, op->name, group, now);

	item->step = op->step;
	item->race = op->race;
	item->type = op->type ? MemoryContextStrdup(run->context, op->type) : NULL;
	item->max_attempts = max_attempts;
	item->options = ff_run_keep_json(run, op->options);
	item->mark = op->mark ? MemoryContextStrdup(run->context, op->mark) : NULL;
	item->due = op->step->place == FF_STEP_WAITS ? op->due : 0;
	return item;
}

bool
ff_kind_begin(FfRun *run, const FfOp *op, int group, int max_attempts, TimestampTz now)
{
	ff_item_note(run, ff_kind_item(run, op, group, max_attempts, now), "step.planned", now);
	return false;
}

FfEffect *
ff_run_effect(FfRun *run, FfEffectWrite write, void *detail)
{
	FfChange *change = ff_run_change(run);
	FfEffect *effect = palloc0(sizeof(FfEffect));

	effect->write = write;
	effect->detail = detail;
	change->effects = lappend(change->effects, effect);
	return effect;
}
