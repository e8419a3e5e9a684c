/*
 * inbox.c - what others tell the runs of this executor: cancels, events, ends of invoked runs,
 * steps reported during a call. A message is deleted in the transaction that writes its effect.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "worker/call.h"
#include "worker/executor.h"
#include "worker/turn.h"

#define INBOX_BATCH 128

static bool			 inbox_waiting = true;
static List			*messages = NIL;
static MemoryContext message_context = NULL;

void
ff_inbox_init(void)
{
	message_context =
		AllocSetContextCreate(TopMemoryContext, "flowforge messages", ALLOCSET_DEFAULT_SIZES);
}

void
ff_inbox_look(void)
{
	inbox_waiting = true;
}

bool
ff_inbox_waiting(void)
{
	return inbox_waiting;
}

/* A batch of messages, and with each all others to the same run. */
static void
read_messages(void *arg)
{
	List		 *found = ff_store_inbox(ff_my_slots, INBOX_BATCH);
	MemoryContext old;
	ListCell	 *cell;

	if (list_length(found) == INBOX_BATCH)
		found = list_concat(found, ff_store_inbox_rest(ff_my_slots, found));
	old = MemoryContextSwitchTo(message_context);
	foreach (cell, found)
	{
		FfMessage *message = palloc(sizeof(FfMessage));

		*message = *(FfMessage *) lfirst(cell);
		message->kind = pstrdup(message->kind);
		message->payload =
			memcpy(palloc(VARSIZE(message->payload)), message->payload, VARSIZE(message->payload));
		messages = lappend(messages, message);
	}
	MemoryContextSwitchTo(old);
}

static void
drop_messages(void *arg)
{
	ff_store_drop_messages(arg);
}

static void
admit_addressees(void)
{
	FfRunKey  keys[INBOX_BATCH];
	int		  count = 0;
	ListCell *cell;

	foreach (cell, messages)
	{
		FfMessage *message = lfirst(cell);
		bool	   known = ff_active_find(&message->run.run_id) != NULL;

		for (int i = 0; i < count && !known; i++)
			known = memcmp(&keys[i].run_id, &message->run.run_id, sizeof(pg_uuid_t)) == 0;
		Assert(known || count < INBOX_BATCH);
		if (!known)
			keys[count++] = message->run;
	}
	list_free(ff_admit(keys, count));
}

static void
hand_over_message(FfRun *run, const FfMessage *message)
{
	Size   size = VARSIZE(message->payload);
	Jsonb *payload = memcpy(palloc(size), message->payload, size);

	if (strcmp(message->kind, "checkpoint") == 0)
		ff_checkpoint_message(run, payload, GetCurrentTimestamp());
	else if (strcmp(message->kind, "report") == 0)
		ff_report_message(run, payload, GetCurrentTimestamp());
	else
		ff_run_message(run, message->kind, payload, GetCurrentTimestamp());
}

static void
deliver(FfMessage *message, List **orphans)
{
	FfRun		 *run = ff_active_find(&message->run.run_id);
	MemoryContext old;
	pg_uuid_t	 *id;

	if (run == NULL)
	{
		*orphans = lappend(*orphans, message);
		return;
	}
	run->told_at = GetCurrentTimestamp();
	/* A statement that committed while its run was ending: the ending takes its result. */
	if (run->change != NULL && run->change->ended && strcmp(message->kind, "sql") == 0)
		return;
	old = MemoryContextSwitchTo(ff_group_context);
	id = palloc(sizeof(pg_uuid_t));
	*id = message->id;
	ff_run_change(run)->inbox = lappend(ff_run_change(run)->inbox, id);
	if (!run->change->ended)
		hand_over_message(run, message);
	MemoryContextSwitchTo(old);
	if (run->change->ended)
		ff_abandon(run);
	ff_group_add(run);
}

/* Messages are read, handled and deleted before any more are read, so none is handled twice. */
void
ff_inbox_turn(void)
{
	FfFailure	  failure;
	List		 *orphans = NIL;
	ListCell	 *cell;
	MemoryContext old;

	if (!inbox_waiting)
		return;
	if (ff_group_wait_left() >= 0)
	{
		ff_group_flush(true);
		if (ff_group_wait_left() >= 0)
			return; /* it could not be written just now */
	}
	inbox_waiting = false;
	messages = NIL;
	MemoryContextReset(message_context);
	if (!ff_transaction(read_messages, NULL, &failure))
	{
		inbox_waiting = true;
		return;
	}
	if (messages == NIL)
		return;
	inbox_waiting = list_length(messages) >= INBOX_BATCH;
	admit_addressees();
	old = MemoryContextSwitchTo(message_context);
	foreach (cell, messages)
		deliver(lfirst(cell), &orphans);
	MemoryContextSwitchTo(old);
	if (orphans != NIL)
		ff_transaction(drop_messages, orphans, &failure);
	ff_group_flush(true);
	/* Kept for later with its messages: the next sweep or hint reads on. */
	if (ff_group_wait_left() >= 0)
		inbox_waiting = false;
}
