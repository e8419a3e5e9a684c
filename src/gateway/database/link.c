/*
 * One connection to the database. See link.h for its states.
 *
 * The errors a server sends at the Sync (a deferred constraint, say) come after the group's last
 * result. With one group in flight they can only belong to it, so any error before
 * PGRES_PIPELINE_SYNC fails the whole group.
 */
#define _GNU_SOURCE
#include "database/link.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 2000
#define TELL_MS 30000 /* a database that stays away is logged this often */

static void ready(FfWatch *watch, uint32_t events);

static void
enter(FfLink *link, FfLinkState state)
{
	link->state = state;
	link->since = ff_loop_now();
}

static void
clear_group(FfLink *link)
{
	for (int at = 0; at < FF_GROUP_SIZE; at++)
	{
		PQclear(link->result[at]);
		link->result[at] = NULL;
	}
	link->sent = link->answered = 0;
	link->sqlstate[0] = link->message[0] = '\0';
}

void
ff_link_close(FfLink *link)
{
	ff_loop_unwatch(&link->watch);
	PQfinish(link->connection);
	link->connection = NULL;
	clear_group(link);
	enter(link, FF_LINK_DOWN);
}

/* Copies the first line of a message. */
static void
keep_message(FfLink *link, const char *message)
{
	snprintf(link->message, sizeof(link->message), "%.*s", (int) strcspn(message, "\n"), message);
}

void
ff_link_drop(FfLink *link, const char *reason)
{
	bool was_busy = link->state == FF_LINK_BUSY;
	bool was_up = was_busy || link->state == FF_LINK_IDLE;

	if (link->state == FF_LINK_DOWN)
		return;
	link->backoff = link->backoff == 0 ? BACKOFF_MIN_MS : link->backoff * 2;
	if (link->backoff > BACKOFF_MAX_MS)
		link->backoff = BACKOFF_MAX_MS;
	if (was_up || link->told_at == 0 || ff_loop_now() - link->told_at >= TELL_MS)
	{
		ff_log("warning", "database connection %s: %.*s", was_up ? "lost" : "not made",
			   (int) strcspn(reason, "\n"), reason);
		link->told_at = ff_loop_now();
	}
	ff_loop_unwatch(&link->watch);
	PQfinish(link->connection);
	link->connection = NULL;
	enter(link, FF_LINK_DOWN);
	link->retry_at = ff_loop_now() + link->backoff;
	if (was_busy)
		link->owner->ended(link, FF_LOST);
	clear_group(link);
	link->owner->down(link);
}

/* Notices are for people at a terminal. */
static void
drop_notice(void *argument, const PGresult *notice)
{
	(void) argument;
	(void) notice;
}

void
ff_link_open(FfLink *link)
{
	const char *names[] = {"dbname", "fallback_application_name", "client_encoding",
						   "keepalives_idle", NULL};
	const char *values[] = {link->database_url, "flowforge gateway", "UTF8", "30", NULL};

	enter(link, FF_LINK_CONNECTING);
	link->useless = false;
	link->watch.fd = -1;
	link->watch.ready = ready;
	link->connection = PQconnectStartParams(names, values, 1);
	if (link->connection == NULL || PQstatus(link->connection) == CONNECTION_BAD)
	{
		ff_link_drop(link,
					 link->connection == NULL ? "out of memory" : PQerrorMessage(link->connection));
		return;
	}
	PQsetNoticeReceiver(link->connection, drop_notice, NULL);
	ff_loop_watch(&link->watch, PQsocket(link->connection), EPOLLOUT);
}

/* Settings and prepared statements as the first group. */
static void
set_up(FfLink *link)
{
	const FfStatement *statement = link->owner->statements;
	char			   settings[200];

	snprintf(settings, sizeof(settings),
			 "select pg_catalog.set_config('statement_timeout', '%d', false), "
			 "pg_catalog.set_config('idle_in_transaction_session_timeout', '60s', false)",
			 link->statement_ms);
	if (PQsetnonblocking(link->connection, 1) != 0 || PQenterPipelineMode(link->connection) != 1 ||
		!ff_link_send_text(link, settings))
	{
		ff_link_drop(link, PQerrorMessage(link->connection));
		return;
	}
	for (; statement->name != NULL; statement++, link->sent++)
	{
		if (PQsendPrepare(link->connection, statement->name, statement->sql, statement->type_count,
						  statement->types) != 1)
		{
			ff_link_drop(link, PQerrorMessage(link->connection));
			return;
		}
	}
	ff_link_sync(link);
	if (link->state == FF_LINK_BUSY)
		enter(link, FF_LINK_SETUP);
}

/* libpq may change the socket from step to step when a name has several addresses. */
static void
connect_step(FfLink *link)
{
	PostgresPollingStatusType next = PQconnectPoll(link->connection);

	if (next == PGRES_POLLING_FAILED)
		ff_link_drop(link, PQerrorMessage(link->connection));
	else if (next == PGRES_POLLING_OK)
		set_up(link);
	else
		ff_loop_watch(&link->watch, PQsocket(link->connection),
					  next == PGRES_POLLING_READING ? EPOLLIN : EPOLLOUT);
}

bool
ff_link_send(FfLink *link, const char *statement, int count, const char *const *values,
			 const int *lengths, const int *formats, int result_format)
{
	if (PQsendQueryPrepared(link->connection, statement, count, values, lengths, formats,
							result_format) != 1)
		return false;
	link->sent++;
	return true;
}

bool
ff_link_send_text(FfLink *link, const char *sql)
{
	if (PQsendQueryParams(link->connection, sql, 0, NULL, NULL, NULL, NULL, 0) != 1)
		return false;
	link->sent++;
	return true;
}

/* Writes what libpq holds back; waits for the socket to take the rest. */
static bool
flush(FfLink *link)
{
	int		 rest = PQflush(link->connection);
	uint32_t events = rest > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN;

	if (rest < 0)
	{
		ff_link_drop(link, PQerrorMessage(link->connection));
		return false;
	}
	if (link->watch.events != events)
		ff_loop_watch(&link->watch, PQsocket(link->connection), events);
	return true;
}

void
ff_link_sync(FfLink *link)
{
	enter(link, FF_LINK_BUSY);
	if (PQpipelineSync(link->connection) != 1)
		ff_link_drop(link, PQerrorMessage(link->connection));
	else
		flush(link);
}

/* The group is over. */
static void
end_group(FfLink *link)
{
	bool failed = link->sqlstate[0] != '\0' || link->answered != link->sent;

	if (link->state == FF_LINK_SETUP && failed)
	{
		char reason[sizeof(link->message) + 32];

		snprintf(reason, sizeof(reason), "cannot set up: %s", link->message);
		ff_link_drop(link, reason);
		return;
	}
	if (link->state == FF_LINK_SETUP)
	{
		clear_group(link);
		link->backoff = 0;
		enter(link, FF_LINK_IDLE);
		link->owner->idle(link);
		return;
	}
	enter(link, FF_LINK_IDLE);
	link->owner->ended(link, failed ? FF_FAILED : FF_DONE);
	clear_group(link);
	if (link->useless)
		ff_link_drop(link, "it cannot be used any more");
	else
		link->owner->idle(link);
}

static void
keep_result(FfLink *link, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	if (status == PGRES_FATAL_ERROR && link->sqlstate[0] == '\0')
	{
		const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
		const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

		snprintf(link->sqlstate, sizeof(link->sqlstate), "%.5s",
				 sqlstate != NULL ? sqlstate : "08006");
		keep_message(link, message != NULL ? message : PQresultErrorMessage(result));
	}
	if (link->answered < FF_GROUP_SIZE && (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK))
		link->result[link->answered++] = result;
	else
		PQclear(result);
}

/* Reads what has come. The owner may start the next group from within, so this goes by what libpq
 * has, not by state. */
static void
read_results(FfLink *link)
{
	int empty = 0;

	while ((link->state == FF_LINK_BUSY || link->state == FF_LINK_SETUP) &&
		   !PQisBusy(link->connection) && empty < 2)
	{
		PGresult *result = PQgetResult(link->connection);

		empty = result == NULL ? empty + 1 : 0;
		if (result == NULL)
			continue;
		if (PQresultStatus(result) == PGRES_PIPELINE_SYNC)
		{
			PQclear(result);
			end_group(link);
		}
		else
			keep_result(link, result);
	}
}

static void
read_notifications(FfLink *link)
{
	PGnotify *notification;

	while (link->connection != NULL && (notification = PQnotifies(link->connection)) != NULL)
	{
		if (link->owner->notified != NULL)
			link->owner->notified(link, notification->relname, notification->extra);
		PQfreemem(notification);
	}
}

static void
ready(FfWatch *watch, uint32_t events)
{
	FfLink *link = (FfLink *) watch;

	(void) events;
	if (link->state == FF_LINK_CONNECTING)
	{
		connect_step(link);
		return;
	}
	if (PQconsumeInput(link->connection) != 1)
	{
		ff_link_drop(link,
					 link->message[0] != '\0' ? link->message : PQerrorMessage(link->connection));
		return;
	}
	if (!flush(link))
		return;
	read_results(link);
	if (link->connection != NULL && PQstatus(link->connection) == CONNECTION_BAD)
		ff_link_drop(link,
					 link->message[0] != '\0' ? link->message : PQerrorMessage(link->connection));
	read_notifications(link);
}
