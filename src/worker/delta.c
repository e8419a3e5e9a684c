/*
 * delta.c - what people who follow a run are shown while a step's call goes on: the text of a
 * model's answer as it comes (see call.h).
 *
 * It is notified and written nowhere: who comes late sees what comes from then on, and all of it
 * when the step has finished. Nothing is said of runs that nobody follows (slot/follow.h), nor
 * oftener than every 50 ms of a step, all of a turn's in one transaction that waits for no disk.
 */
#include "postgres.h"

#include "commands/async.h"
#include "lib/ilist.h"
#include "mb/pg_wchar.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "http/client.h"
#include "run/kind.h"
#include "util/json.h"
#include "worker/call.h"
#include "worker/executor.h"
#include "worker/turn.h"

#define PAUSE_US 50000
#define MOST_BYTES 7800 /* of a payload; PostgreSQL takes 7999 */
#define PIECE_BYTES 6000

/* A call that has brought something. */
typedef struct Talker
{
	FfHttpCall	 *call;
	const FfItem *item;
	void		 *found;
	pg_uuid_t	  run_id;
	TimestampTz	  said_at;
	bool		  pending; /* in the list of those that may have something to say */
	dlist_node	  node;
} Talker;

static dlist_head	 pending = DLIST_STATIC_INIT(pending);
static List			*outbox = NIL; /* of char *: payloads to be notified this turn */
static MemoryContext outbox_context = NULL;

/* --- payloads --- */

static void
put_uuid(StringInfo out, const pg_uuid_t *id)
{
	for (int i = 0; i < UUID_LEN; i++)
		appendStringInfo(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
						 id->data[i]);
}

/* "run-id json" for the first bytes of a text. */
static char *
make_payload(const Talker *talker, const char *text, int length, int64 offset)
{
	StringInfoData out;

	initStringInfo(&out);
	put_uuid(&out, &talker->run_id);
	appendStringInfoString(&out, " {\"type\": \"step.delta\", \"run_id\": \"");
	put_uuid(&out, &talker->run_id);
	appendStringInfoString(&out, "\", \"step_id\": ");
	escape_json(&out, talker->item->id);
	appendStringInfo(&out, ", \"attempt\": %d, \"offset\": " INT64_FORMAT ", \"text\": ",
					 talker->item->attempt, offset);
	escape_json(&out, pnstrdup(text, length));
	appendStringInfoChar(&out, '}');
	return out.data;
}

/* Escapes may make a piece longer than a payload can be: then it is cut in halves. */
static void
put_piece(const Talker *talker, const char *text, int length, int64 offset)
{
	char *payload = make_payload(talker, text, length, offset);
	int	  half;

	if (strlen(payload) <= MOST_BYTES)
	{
		outbox = lappend(outbox, payload);
		return;
	}
	half = pg_mbcliplen(text, length, length / 2);
	put_piece(talker, text, half, offset);
	put_piece(talker, text + half, length - half, offset + pg_mbstrlen_with_len(text, half));
}

static void
say(Talker *talker, bool last)
{
	MemoryContext old;
	int64		  offset;
	char		 *text;
	int			  left;

	if (!ff_is_followed(&ff_my_database->followed, &talker->run_id))
		return;
	if (outbox_context == NULL)
		outbox_context =
			AllocSetContextCreate(TopMemoryContext, "flowforge news", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(outbox_context);
	text = talker->item->step->news(talker->call, talker->item, talker->found, last, &offset);
	left = text ? (int) strlen(text) : 0;
	while (left > 0)
	{
		int piece = pg_mbcliplen(text, left, PIECE_BYTES);

		put_piece(talker, text, piece, offset);
		offset += pg_mbstrlen_with_len(text, piece);
		text += piece;
		left -= piece;
	}
	talker->said_at = GetCurrentTimestamp();
	MemoryContextSwitchTo(old);
}

/* --- talkers --- */

static void
set_pending(Talker *talker, bool is_pending)
{
	if (is_pending && !talker->pending)
		dlist_push_tail(&pending, &talker->node);
	if (!is_pending && talker->pending)
		dlist_delete(&talker->node);
	talker->pending = is_pending;
}

void
ff_news_note(FfHttpCall *call, const FfRun *run, const FfItem *item, void *found)
{
	Talker *talker = call->talker;

	if (talker == NULL)
	{
		talker = call->talker = MemoryContextAllocZero(call->context, sizeof(Talker));
		talker->call = call;
		talker->item = item;
		talker->found = found;
		talker->run_id = run->id;
	}
	set_pending(talker, true);
}

void
ff_news_end(FfHttpCall *call, bool answered)
{
	if (call->talker == NULL)
		return;
	set_pending(call->talker, false);
	if (answered)
		say(call->talker, true);
	call->talker = NULL;
}

/* --- turns --- */

static void
notify(void *arg)
{
	ListCell *cell;

	/* What is lost with a crash would have been heard by nobody. */
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	foreach (cell, outbox)
		Async_Notify(ff_shared->live_channel, lfirst(cell));
}

TimestampTz
ff_news_next(void)
{
	TimestampTz next = DT_NOEND;
	dlist_iter	at;

	dlist_foreach (at, &pending)
		next = Min(next, dlist_container(Talker, node, at.cur)->said_at + PAUSE_US);
	return next;
}

/* Those that may have something to say, and have been silent for long enough. */
static void
let_speak(void)
{
	TimestampTz		   now = GetCurrentTimestamp();
	dlist_mutable_iter at;

	dlist_foreach_modify (at, &pending)
	{
		Talker *talker = dlist_container(Talker, node, at.cur);

		if (talker->said_at + PAUSE_US > now)
			continue;
		set_pending(talker, false);
		say(talker, false);
	}
}

void
ff_news_turn(void)
{
	FfFailure failure;

	let_speak();
	if (outbox == NIL)
		return;
	/* What cannot be said, when the queue of notifications is full, is not said. */
	(void) ff_transaction(notify, NULL, &failure);
	outbox = NIL;
	MemoryContextReset(outbox_context);
}
