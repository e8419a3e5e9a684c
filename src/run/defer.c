/*
 * defer.c - functions a run has asked for, to be started when it has ended (see actor.h).
 */
#include "postgres.h"

#include "run/actor.h"
#include "util/json.h"

FfDefer *
ff_defer_find(const FfRun *run, const char *id)
{
	ListCell *cell;

	foreach (cell, run->defers)
	{
		FfDefer *defer = lfirst(cell);

		if (strcmp(defer->id, id) == 0)
			return defer;
	}
	return NULL;
}

static int
compare(const ListCell *a, const ListCell *b)
{
	return strcmp(((FfDefer *) lfirst(a))->id, ((FfDefer *) lfirst(b))->id);
}

/* In order of their ids, as canonical JSON has them. */
static FfDefer *
insert(FfRun *run, const char *id)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);
	FfDefer		 *defer = palloc0(sizeof(FfDefer));

	strlcpy(defer->id, id, sizeof(defer->id));
	run->defers = lappend(run->defers, defer);
	list_sort(run->defers, compare);
	MemoryContextSwitchTo(old);
	return defer;
}

void
ff_defer_add(FfRun *run, const FfOp *op, TimestampTz now)
{
	FfDefer *defer;

	if (ff_defer_find(run, op->id) != NULL)
		return; /* it came again, or has been aborted */
	if (list_length(run->defers) >= FF_MAX_DEFERS)
	{
		ff_run_end(run, "failed", NULL,
				   ff_run_error("TooManyDefers",
								psprintf("the run defers more than %d functions", FF_MAX_DEFERS)),
				   now);
		return;
	}
	defer = insert(run, op->id);
	defer->slug = MemoryContextStrdup(run->context, op->function);
	defer->payload = ff_run_keep_json(run, op->payload);
	ff_run_log(run, "run.deferred", op->id, op->function, -1, NULL, now);
}

void
ff_defer_abort(FfRun *run, const FfOp *op, TimestampTz now)
{
	FfDefer *defer = ff_defer_find(run, op->target);

	if (defer == NULL || defer->aborted)
		return;
	defer->aborted = true;
	ff_run_log(run, "run.defer_aborted", defer->id, defer->slug, -1, NULL, now);
}

void
ff_defer_read(FfRun *run, Jsonb *list)
{
	uint32 count = list != NULL && ff_json_is_array(list) ? JB_ROOT_COUNT(list) : 0;

	for (uint32 i = 0; i < count; i++)
	{
		Jsonb	*json = JsonbValueToJsonb(getIthJsonbValueFromContainer(&list->root, i));
		char	*id = ff_json_text(json, "id");
		FfDefer *defer = insert(run, id ? id : "");

		defer->slug = ff_json_text(json, "f");
		defer->payload = ff_json_member(json, "p");
		defer->aborted = ff_json_bool(json, "x");
	}
}

void
ff_defer_write(FfJsonBuilder *builder, const FfRun *run)
{
	ListCell *cell;

	if (run->defers == NIL)
		return;
	ff_jb_key(builder, "defers");
	ff_jb_array(builder);
	foreach (cell, run->defers)
	{
		const FfDefer *defer = lfirst(cell);

		ff_jb_object(builder);
		ff_jb_key(builder, "id");
		ff_jb_text(builder, defer->id);
		ff_jb_key(builder, "f");
		ff_jb_text(builder, defer->slug);
		ff_jb_key(builder, "p");
		ff_jb_json(builder, defer->payload);
		if (defer->aborted)
		{
			ff_jb_key(builder, "x");
			ff_jb_bool(builder, true);
		}
		ff_jb_end(builder);
	}
	ff_jb_end(builder);
}
