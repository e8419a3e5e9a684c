/*
 * lock.c - the steps Lock and Unlock: a lock held by a run, from when it is its turn until it
 * unlocks or ends.
 *
 * A lock is the rows of flowforge.lock with its key, in order of their tickets: the first holds it,
 * the others wait. Rows come and go as effects of the changes of the runs they belong to, under the
 * key's guard, so that executors change one lock one after another; whose row has become the first
 * is told so by a message (lock.sql). What is in rows outlives everybody, so a lock is lost by
 * nobody's death and kept by nobody's either: a run that ends, in whatever way, takes its rows
 * along.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "run/actor.h"
#include "step/step.h"
#include "util/duration.h"
#include "util/json.h"
#include "util/spi.h"

#define MAX_KEY_BYTES 512

/* --- options --- */

static const char *
read_key(FfOp *op, Jsonb *options)
{
	char *key = options ? ff_json_text(options, "key") : NULL;

	if (key == NULL || *key == '\0')
		return "has no key";
	if (strlen(key) > MAX_KEY_BYTES)
		return "has a key of more than 512 bytes";
	op->options = options;
	return NULL;
}

static const char *
read_lock(FfOp *op, Jsonb *options, TimestampTz now)
{
	const char *fault = read_key(op, options);
	JsonbValue *timeout = fault ? NULL : ff_json_get(options, "timeout");
	char	   *text = timeout ? ff_json_text(options, "timeout") : NULL;

	op->due = now + FF_MAX_DURATION_US;
	if (timeout != NULL && timeout->type != jbvNull &&
		(text == NULL || !ff_when_parse(text, now, &op->due)))
		return "has a timeout that is neither a duration nor an instant";
	return fault;
}

static const char *
read_unlock(FfOp *op, Jsonb *options, TimestampTz now)
{
	return read_key(op, options);
}

/* --- rows --- */

typedef struct Turn
{
	char *key;
	char *step_id; /* NULL: all of the run's */
	bool  only_held;
} Turn;

static uint64
guard_of(const FfRun *run, const char *key)
{
	return hash_bytes_extended((const unsigned char *) key, (int) strlen(key),
							   (uint64) run->tenant_id) |
		   1;
}

static FfEffect *
add_turn(FfRun *run, FfEffectWrite write, const char *key, const char *step_id, bool only_held)
{
	Turn	 *turn = palloc(sizeof(Turn));
	FfEffect *effect;

	turn->key = pstrdup(key);
	turn->step_id = step_id ? pstrdup(step_id) : NULL;
	turn->only_held = only_held;
	effect = ff_run_effect(run, write, turn);
	effect->guard = guard_of(run, key);
	return effect;
}

static void
queue_up(FfRun *run, FfEffect *effect)
{
	static FfPlan plan = {
		"select flowforge.lock_queue($1, $2, $3, $4)", 4, {INT4OID, TEXTOID, UUIDOID, TEXTOID}};
	const Turn *turn = effect->detail;
	Datum		values[4] = {Int32GetDatum(run->tenant_id), CStringGetTextDatum(turn->key),
							 UUIDPGetDatum(&run->id), CStringGetTextDatum(turn->step_id)};

	ff_spi_run(&plan, values, NULL, false);
}

/* True when the run held the lock. */
static bool
give_up(const FfRun *run, const FfEffect *effect)
{
	static FfPlan plan = {"select flowforge.lock_release($1, $2, $3, $4, $5)",
						  5,
						  {INT4OID, TEXTOID, UUIDOID, TEXTOID, BOOLOID}};
	const Turn	 *turn = effect->detail;
	Datum		  values[5] = {Int32GetDatum(run->tenant_id), CStringGetTextDatum(turn->key),
							   UUIDPGetDatum(&run->id), (Datum) 0, BoolGetDatum(turn->only_held)};
	bool		  isnull;

	if (turn->step_id != NULL)
		values[3] = CStringGetTextDatum(turn->step_id);
	ff_spi_run(&plan, values, turn->step_id ? NULL : "   n ", false);
	return DatumGetBool(ff_spi_value(0, 1, &isnull));
}

static void
leave(FfRun *run, FfEffect *effect)
{
	give_up(run, effect);
}

/* --- what a run knows of its locks: the keys it has asked for and not given back --- */

static bool
knows(const FfRun *run, const char *key)
{
	ListCell *cell;

	foreach (cell, run->locks)
	{
		if (strcmp(lfirst(cell), key) == 0)
			return true;
	}
	return false;
}

static void
note_key(FfRun *run, const char *key)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);

	if (!knows(run, key))
		run->locks = lappend(run->locks, pstrdup(key));
	MemoryContextSwitchTo(old);
}

static void
release_all(FfRun *run)
{
	ListCell *cell;

	foreach (cell, run->locks)
		add_turn(run, leave, lfirst(cell), NULL, false);
}

/* --- Lock --- */

static bool
begin_lock(FfRun *run, const FfOp *op, int group, int max_attempts, TimestampTz now)
{
	FfItem *item = ff_kind_item(run, op, group, max_attempts, now);

	note_key(run, ff_json_text(op->options, "key"));
	ff_item_note(run, item, "step.waiting", now);
	add_turn(run, queue_up, ff_json_text(op->options, "key"), item->id, false);
	return false;
}

static Jsonb *
said(const char *key, bool value, const char *lock)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, "key");
	ff_jb_text(&builder, lock);
	ff_jb_key(&builder, key);
	ff_jb_bool(&builder, value);
	ff_jb_end(&builder);
	return ff_run_wrap("data", ff_jb_finish(&builder));
}

static void
receive(FfRun *run, FfItem *item, const char *message, Jsonb *payload, TimestampTz now)
{
	if (strcmp(message, "locked") == 0)
		ff_item_finish(run, item, "completed",
					   said("locked", true, ff_json_text(item->options, "key")), now);
}

/* It gives up its place; if its turn has just come, the message about it finds no item. */
static void
run_out(FfRun *run, FfItem *item, TimestampTz now)
{
	char *key = ff_json_text(item->options, "key");

	ff_run_change(run);
	add_turn(run, leave, key, item->id, false);
	ff_item_finish(
		run, item, "failed",
		ff_run_wrap("error",
					ff_run_error("LockTimeoutError",
								 psprintf("the lock \"%s\" was not to be had in time", key))),
		now);
}

const FfStepKind ff_step_lock = {.op = "Lock",
								 .name = "lock",
								 .place = FF_STEP_WAITS,
								 .read = read_lock,
								 .begin = begin_lock,
								 .message = receive,
								 .time_out = run_out,
								 .run_ended = release_all};

/* --- Unlock --- */

static void
unlock(FfRun *run, FfEffect *effect)
{
	const Turn *turn = effect->detail;

	ff_step_set_memo(run, effect->step, said("unlocked", give_up(run, effect), turn->key));
}

static bool
begin_unlock(FfRun *run, const FfOp *op, int group, int max_attempts, TimestampTz now)
{
	char	 *key = ff_json_text(op->options, "key");
	FfEffect *effect;

	effect = add_turn(run, unlock, key, NULL, true);
	effect->first = true;
	effect->step = ff_step_checkpoint(run, op->id, "unlock", op->name, "completed", 0,
									  said("unlocked", false, key), now, now);
	return true;
}

const FfStepKind ff_step_unlock = {.op = "Unlock",
								   .name = "unlock",
								   .place = FF_STEP_WAITS,
								   .read = read_unlock,
								   .begin = begin_unlock};
