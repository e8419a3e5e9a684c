/*
 * The lanes. A lane is a queue and its links. Calls wait in the queue while all links are busy, so
 * groups form by themselves: what arrives while a group is on its way is the next group, and a lone
 * call waits for nothing.
 *
 * A lane without any working link refuses at once instead of queueing: clients are told to come
 * again.
 */
#define _GNU_SOURCE
#include "database/pg.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "database/call.h"
#include "database/link.h"

#define MOST_LINKS 16
#define MOST_QUEUED 2048
#define GROUP_BYTES (1024 * 1024) /* of bodies: no more calls join a group that has as much */
#define QUEUED_MS 30000
#define CONNECT_MS 10000
#define SPARE_MS 60000 /* links beyond the first ones are closed when idle this long */

#define TEXT_OID 25
#define BYTEA_OID 17
#define JSONB_OID 3802

typedef struct Slot
{
	FfLink		 link; /* first */
	struct Lane *lane;
	FfCall		*call[FF_GROUP_SIZE];
	int			 count;
} Slot;

typedef struct Lane
{
	int		 fewest; /* links that are always kept */
	int		 most;
	int		 group; /* calls in a transaction */
	FfCall	*first;
	FfCall **last;
	int		 queued;
	uint64_t transactions;
	uint64_t calls;
	Slot	 slot[MOST_LINKS];
} Lane;

static void idle(FfLink *link);
static void ended(FfLink *link, FfOutcome outcome);
static void down(FfLink *link);

static const Oid		 serve_types[] = {TEXT_OID, TEXT_OID, TEXT_OID, JSONB_OID, BYTEA_OID};
static const FfStatement statements[] = {
	{"serve", "select status, headers, body from flowforge.serve($1, $2, $3, $4, $5)", serve_types,
	 5},
	{0}};
static const FfLinkOwner owner = {statements, idle, ended, down, NULL};
static Lane				 lanes[FF_LANE_COUNT] = {{.fewest = 4, .most = 4, .group = FF_GROUP_SIZE},
												 {.fewest = 2, .most = MOST_LINKS, .group = 1}};

/* ---- calls ---- */

static void
end_call(FfCall *call, FfCallEnd end, const FfAnswer *answer)
{
	call->ended(call, end, answer);
	ff_call_free(call);
}

static void
enqueue(Lane *lane, FfCall *call)
{
	call->next = NULL;
	*lane->last = call;
	lane->last = &call->next;
	lane->queued++;
}

static FfCall *
dequeue(Lane *lane)
{
	FfCall *call = lane->first;

	lane->first = call->next;
	if (lane->first == NULL)
		lane->last = &lane->first;
	lane->queued--;
	return call;
}

/* Puts the calls of a failed group back at the front, each to run alone, in their order. */
static void
enqueue_alone(Lane *lane, Slot *slot)
{
	for (int at = slot->count - 1; at >= 0; at--)
	{
		FfCall *call = slot->call[at];

		call->alone = true;
		call->next = lane->first;
		if (lane->first == NULL)
			lane->last = &call->next;
		lane->first = call;
		lane->queued++;
	}
	slot->count = 0;
}

static void
refuse_queued(Lane *lane, int64_t before)
{
	while (lane->first != NULL && lane->first->queued_at <= before)
		end_call(dequeue(lane), FF_CALL_REFUSED, NULL);
}

/* ---- sending ---- */

static bool
send_call(FfLink *link, const FfCall *call)
{
	const char *values[] = {call->method, call->path, call->query, call->headers.data,
							ff_buffer_length(&call->body) > 0 ? ff_buffer_at(&call->body) : ""};
	const int	lengths[] = {0, 0, 0, 0, (int) ff_buffer_length(&call->body)};
	const int	formats[] = {0, 0, 0, 0, 1};

	return ff_link_send(link, "serve", 5, values, lengths, formats, 1);
}

/* Takes the next group from the queue and sends it. */
static void
send_group(Lane *lane, Slot *slot)
{
	size_t bytes = 0;

	while (slot->count < lane->group && bytes < GROUP_BYTES && lane->first != NULL &&
		   !(slot->count > 0 && lane->first->alone))
	{
		FfCall *call = dequeue(lane);

		bytes += ff_buffer_length(&call->body);
		slot->call[slot->count++] = call;
		if (!send_call(&slot->link, call))
		{
			slot->link.state = FF_LINK_BUSY;
			ff_link_drop(&slot->link, PQerrorMessage(slot->link.connection));
			return;
		}
		if (lane->group == 1)
			ff_call_free_body(call); /* libpq has it, and it will not be sent again */
		if (call->alone)
			break;
	}
	lane->transactions++;
	lane->calls += (uint64_t) slot->count;
	ff_link_sync(&slot->link);
}

/* ---- what links tell ---- */

static void
idle(FfLink *link)
{
	Slot *slot = (Slot *) link;

	if (slot->lane->first != NULL)
		send_group(slot->lane, slot);
}

static void
end_answered(FfCall *call, const PGresult *result)
{
	FfAnswer answer;
	int32_t	 status;

	if (PQntuples(result) != 1 || PQnfields(result) != 3 || PQgetlength(result, 0, 0) != 4)
	{
		end_call(call, FF_CALL_BROKEN, NULL);
		return;
	}
	memcpy(&status, PQgetvalue(result, 0, 0), sizeof(status));
	answer.status = (int32_t) ntohl((uint32_t) status);
	answer.headers = PQgetvalue(result, 0, 1);
	answer.headers_length = (size_t) PQgetlength(result, 0, 1);
	answer.body = PQgetvalue(result, 0, 2);
	answer.body_length = (size_t) PQgetlength(result, 0, 2);
	end_call(call, answer.status >= 200 && answer.status <= 599 ? FF_CALL_ANSWERED : FF_CALL_BROKEN,
			 &answer);
}

/* What an error means for the one call it ended; every such transaction is rolled back. */
static FfCallEnd
judge(const FfLink *link)
{
	if (strcmp(link->sqlstate, "57014") == 0)
		return FF_CALL_TIMEOUT;
	if (strncmp(link->sqlstate, "40", 2) == 0 || strncmp(link->sqlstate, "53", 2) == 0 ||
		strncmp(link->sqlstate, "55", 2) == 0 || strncmp(link->sqlstate, "57", 2) == 0 ||
		strcmp(link->sqlstate, "25006") == 0)
		return FF_CALL_REFUSED;
	return FF_CALL_BROKEN;
}

/* Errors that a new connection cures: the prepared statement is gone or stale, or this server has
 * become a standby. */
static bool
is_stale(const char *sqlstate)
{
	return strcmp(sqlstate, "26000") == 0 || strcmp(sqlstate, "0A000") == 0 ||
		   strcmp(sqlstate, "25006") == 0 || strcmp(sqlstate, "42883") == 0;
}

static void
ended(FfLink *link, FfOutcome outcome)
{
	Slot *slot = (Slot *) link;
	int	  count = slot->count;

	link->useless = outcome == FF_FAILED && is_stale(link->sqlstate);
	if (outcome == FF_FAILED)
		ff_log("warning", "a group of %d failed: %s %s", count, link->sqlstate, link->message);
	if (outcome == FF_FAILED && count > 1)
	{
		enqueue_alone(slot->lane, slot);
		return;
	}
	slot->count = 0;
	for (int at = 0; at < count; at++)
	{
		if (outcome == FF_DONE)
			end_answered(slot->call[at], link->result[at]);
		else
			end_call(slot->call[at], outcome == FF_LOST ? FF_CALL_UNKNOWN : judge(link), NULL);
	}
}

static bool
has_link(const Lane *lane)
{
	for (int at = 0; at < lane->most; at++)
	{
		if (lane->slot[at].link.state >= FF_LINK_IDLE)
			return true;
	}
	return false;
}

static void
down(FfLink *link)
{
	Slot *slot = (Slot *) link;

	if (!has_link(slot->lane))
		refuse_queued(slot->lane, INT64_MAX);
}

/* ---- the outside ---- */

void
ff_pg_open(const char *database_url, int statement_ms)
{
	for (int which = 0; which < FF_LANE_COUNT; which++)
	{
		Lane *lane = &lanes[which];

		lane->last = &lane->first;
		for (int at = 0; at < lane->most; at++)
		{
			lane->slot[at].lane = lane;
			lane->slot[at].link.owner = &owner;
			lane->slot[at].link.database_url = database_url;
			lane->slot[at].link.statement_ms = statement_ms;
			lane->slot[at].link.watch.fd = -1;
			if (at < lane->fewest)
				ff_link_open(&lane->slot[at].link);
		}
	}
}

void
ff_pg_close(void)
{
	for (int which = 0; which < FF_LANE_COUNT; which++)
	{
		refuse_queued(&lanes[which], INT64_MAX);
		for (int at = 0; at < lanes[which].most; at++)
		{
			Slot *slot = &lanes[which].slot[at];

			ff_link_close(&slot->link);
			while (slot->count > 0)
				end_call(slot->call[--slot->count], FF_CALL_UNKNOWN, NULL);
		}
	}
}

void
ff_pg_call(FfCall *call)
{
	Lane *lane = &lanes[call->lane];

	call->queued_at = ff_loop_now();
	if (!has_link(lane) || lane->queued >= MOST_QUEUED)
		end_call(call, FF_CALL_REFUSED, NULL);
	else
		enqueue(lane, call);
}

void
ff_pg_abandon(FfCall *call)
{
	Lane *lane = &lanes[call->lane];

	call->argument = NULL;
	for (FfCall **at = &lane->first; *at != NULL; at = &(*at)->next)
	{
		if (*at != call)
			continue;
		*at = call->next;
		if (lane->last == &call->next)
			lane->last = at;
		lane->queued--;
		ff_call_free(call);
		return;
	}
}

/* Gives the queue to idle links; opens one more when that is not enough, one at a time. */
static void
flush_lane(Lane *lane)
{
	FfLink *spare = NULL;
	bool	is_opening = false;

	for (int at = 0; at < lane->most && lane->first != NULL; at++)
	{
		FfLink *link = &lane->slot[at].link;

		if (link->state == FF_LINK_IDLE)
			send_group(lane, &lane->slot[at]);
		else if (link->state == FF_LINK_CONNECTING || link->state == FF_LINK_SETUP)
			is_opening = true;
		else if (link->state == FF_LINK_DOWN && link->retry_at <= ff_loop_now() && spare == NULL)
			spare = link;
	}
	if (lane->first != NULL && spare != NULL && !is_opening)
		ff_link_open(spare);
}

void
ff_pg_flush(void)
{
	for (int which = 0; which < FF_LANE_COUNT; which++)
		flush_lane(&lanes[which]);
}

/* Looks after one link; gives the milliseconds until that is needed again. */
static int
tend(Lane *lane, int at)
{
	FfLink *link = &lane->slot[at].link;
	int64_t age = ff_loop_now() - link->since;

	if (link->state == FF_LINK_DOWN && at < lane->fewest)
	{
		if (link->retry_at > ff_loop_now())
			return (int) (link->retry_at - ff_loop_now());
		ff_link_open(link);
	}
	else if ((link->state == FF_LINK_CONNECTING || link->state == FF_LINK_SETUP) &&
			 age > CONNECT_MS)
		ff_link_drop(link, "connecting takes too long");
	else if (link->state == FF_LINK_BUSY && age > link->statement_ms + FF_LINK_GRACE_MS)
		ff_link_drop(link, "no answer");
	else if (link->state == FF_LINK_IDLE && at >= lane->fewest && age > SPARE_MS)
		ff_link_close(link);
	return 1000;
}

int
ff_pg_tick(void)
{
	int wait = 1000;

	for (int which = 0; which < FF_LANE_COUNT; which++)
	{
		refuse_queued(&lanes[which], ff_loop_now() - QUEUED_MS);
		for (int at = 0; at < lanes[which].most; at++)
		{
			int next = tend(&lanes[which], at);

			wait = next < wait ? next : wait;
		}
	}
	return wait;
}

void
ff_pg_figures(FfLane which, FfLaneFigures *figures)
{
	const Lane *lane = &lanes[which];

	*figures = (FfLaneFigures){
		.queued = lane->queued, .transactions = lane->transactions, .calls = lane->calls};
	for (int at = 0; at < lane->most; at++)
	{
		figures->idle += lane->slot[at].link.state == FF_LINK_IDLE;
		figures->busy += lane->slot[at].link.state == FF_LINK_BUSY;
	}
}

bool
ff_pg_is_ready(void)
{
	bool is_ready = true;

	for (int which = 0; which < FF_LANE_COUNT; which++)
		is_ready &= has_link(&lanes[which]);
	return is_ready;
}
