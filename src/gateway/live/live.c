/*
 * Live streams and the listening connection, which also tells when routes change.
 *
 * The connection does one errand at a time: what is most urgent comes first, and what there is to
 * read of runs (topic.h), of feeds (feed.h) and of passes (pass.h) takes turns.
 */
#define _GNU_SOURCE
#include "live/live.h"

#include <string.h>

#include "base/log.h"
#include "database/link.h"
#include "database/route.h"
#include "live/feed.h"
#include "live/pass.h"
#include "live/topic.h"

#define CONNECT_MS 10000
#define BELL_MS 15000
#define PAUSE_MS 2000 /* after an errand that failed */

#define UUID_ARRAY_OID 2951
#define INT4_ARRAY_OID 1007
#define TEXT_ARRAY_OID 1009

/* What the listening connection is busy with. */
typedef enum Errand
{
	NOTHING,
	LISTEN_ROUTE,
	READ_ROUTES,
	LISTEN_NEWS,
	LISTEN_ACCESS,
	READ_PASSES,
	LISTEN,
	UNLISTEN,
	READ_STREAMS,
	READ_FEED
} Errand;

static void idle(FfLink *link);
static void ended(FfLink *link, FfOutcome outcome);
static void down(FfLink *link);
static void notified(FfLink *link, const char *channel, const char *payload);

static const Oid		 read_types[] = {INT4_ARRAY_OID, UUID_ARRAY_OID, INT4_ARRAY_OID};
static const Oid		 pass_types[] = {TEXT_ARRAY_OID};
static const Oid		 feed_types[] = {INT4_ARRAY_OID, INT4_ARRAY_OID, TEXT_ARRAY_OID};
static const FfStatement statements[] = {
	/* Letters come before braces: of two routes that match, the plainer one comes first. */
	{"routes",
	 "select method, pattern, lane, headers from flowforge.route "
	 "order by lane desc, pattern collate \"C\"",
	 NULL, 0},
	{"passes", "select number, lifetime from flowforge.stream_passes($1)", pass_types, 1},
	{"streams", "select run_id::text, last_seq, sse, final from flowforge.stream_read($1, $2, $3)",
	 read_types, 3},
	{"feed", "select number, cursor, sse, more from flowforge.feed_read($1, $2, $3)", feed_types,
	 3},
	{0}};
static const FfLinkOwner owner = {statements, idle, ended, down, notified};

static FfLink  listener = {.watch.fd = -1, .owner = &owner};
static Errand  errand;
static Errand  last_read;	 /* runs and feeds take turns */
static bool	   read_passes;	 /* so do passes and these, or who connects would keep news away */
static bool	   hears_routes; /* LISTEN flowforge_route is in force */
static bool	   hears_runs;	 /* LISTEN flowforge is in force */
static bool	   hears_news;	 /* and so is that of what is only for watching */
static bool	   hears_access; /* LISTEN flowforge_access is in force */
static bool	   routes_stale;
static int64_t bell_at;

/* There may be news for everybody. */
static void
ring(void)
{
	ff_topic_ring();
	ff_feed_ring();
	ff_pass_ring();
}

static void
take_routes(const PGresult *result)
{
	ff_route_clear();
	for (int row = 0; row < PQntuples(result); row++)
		ff_route_add(PQgetvalue(result, row, 0), PQgetvalue(result, row, 1),
					 PQgetvalue(result, row, 2), PQgetvalue(result, row, 3));
}

/* ---- errands ---- */

static Errand
next_errand(void)
{
	if (!hears_routes)
		return LISTEN_ROUTE;
	if (routes_stale)
		return READ_ROUTES;
	if (!hears_news)
		return LISTEN_NEWS;
	if (!hears_access)
		return LISTEN_ACCESS;
	if (ff_pass_is_dirty() && !(read_passes && (ff_topic_is_dirty() || ff_feed_is_dirty())))
		return READ_PASSES;
	if (hears_runs != (ff_topic_is_followed() || ff_feed_is_followed()))
		return hears_runs ? UNLISTEN : LISTEN;
	if (ff_topic_is_dirty() && (last_read != READ_STREAMS || !ff_feed_is_dirty()))
		return READ_STREAMS;
	return ff_feed_is_dirty() ? READ_FEED : NOTHING;
}

static bool
send_errand(FfLink *link)
{
	switch (errand)
	{
		case LISTEN_ROUTE:
			return ff_link_send_text(link, "listen flowforge_route");
		case READ_ROUTES:
			routes_stale = false;
			return ff_link_send(link, "routes", 0, NULL, NULL, NULL, 0);
		case LISTEN_NEWS:
			return ff_link_send_text(link, "select flowforge.stream_listen()");
		case LISTEN_ACCESS:
			return ff_link_send_text(link, "listen flowforge_access");
		case READ_PASSES:
			return ff_pass_send(link);
		case LISTEN:
			return ff_link_send_text(link, "listen flowforge");
		case UNLISTEN:
			return ff_link_send_text(link, "unlisten flowforge");
		case READ_STREAMS:
			last_read = errand;
			return ff_topic_send(link);
		case READ_FEED:
			last_read = errand;
			return ff_feed_send(link);
		case NOTHING:
			break;
	}
	return false;
}

static void
idle(FfLink *link)
{
	errand = next_errand();
	if (errand == NOTHING)
		return;
	read_passes = errand == READ_PASSES;
	if (send_errand(link))
		ff_link_sync(link);
	else
		ff_link_drop(link, PQerrorMessage(link->connection));
}

/* An errand that failed is run again on a new connection, after a pause: see down(). */
static void
ended(FfLink *link, FfOutcome outcome)
{
	if (outcome == FF_FAILED)
		ff_log("warning", "the listener failed: %s %s", link->sqlstate, link->message);
	link->useless = outcome == FF_FAILED;
	switch (errand)
	{
		case LISTEN_ROUTE:
			hears_routes = routes_stale = outcome == FF_DONE;
			break;
		case READ_ROUTES:
			if (outcome == FF_DONE)
				take_routes(link->result[0]);
			break;
		case LISTEN_NEWS:
			hears_news = outcome == FF_DONE;
			break;
		case LISTEN_ACCESS:
			hears_access = outcome == FF_DONE;
			ff_pass_ring();
			break;
		case READ_PASSES:
			ff_pass_answered(outcome == FF_DONE ? link->result[0] : NULL);
			break;
		case LISTEN:
			hears_runs = outcome == FF_DONE;
			ring();
			break;
		case UNLISTEN:
			hears_runs = outcome != FF_DONE;
			break;
		case READ_STREAMS:
			ff_topic_take(outcome == FF_DONE ? link->result[0] : NULL);
			break;
		case READ_FEED:
			ff_feed_take(outcome == FF_DONE ? link->result[0] : NULL);
			break;
		case NOTHING:
			break;
	}
	errand = NOTHING;
}

static void
down(FfLink *link)
{
	if (link->useless)
		link->retry_at = ff_loop_now() + PAUSE_MS;
	hears_routes = hears_runs = hears_news = hears_access = false;
	errand = NOTHING;
}

/* The payload names the runs there may be news of; without any, all. Feeds are of all runs. */
static void
take_bell(const char *payload)
{
	ff_feed_ring();
	if (payload[strspn(payload, " ")] == '\0')
		ff_topic_ring();
	else if (hears_runs)
		ff_topic_ring_some(payload);
}

static void
notified(FfLink *link, const char *channel, const char *payload)
{
	if (strcmp(channel, "flowforge_route") == 0)
		routes_stale = true;
	else if (strcmp(channel, "flowforge_access") == 0)
		ff_pass_ring();
	else if (strcmp(channel, "flowforge") == 0)
		take_bell(payload);
	else
		ff_topic_pass_on(payload);
	if (link->state == FF_LINK_IDLE)
		idle(link);
}

/* ---- the outside ---- */

void
ff_live_check(void)
{
	if (listener.state == FF_LINK_IDLE)
		idle(&listener);
}

void
ff_live_start(const char *database_url, int statement_ms)
{
	listener.database_url = database_url;
	listener.statement_ms = statement_ms;
	bell_at = ff_loop_now() + BELL_MS;
	ff_link_open(&listener);
}

void
ff_live_stop(void)
{
	ff_link_close(&listener);
}

void
ff_live_subscribe(FfSubscriber *subscriber, int tenant, const char *run, int cursor)
{
	ff_topic_subscribe(subscriber, tenant, run, cursor);
	ff_live_check();
}

void
ff_live_subscribe_feed(FfSubscriber *subscriber, int tenant, int function, const char *cursor)
{
	ff_feed_subscribe(subscriber, tenant, function, cursor);
	ff_live_check();
}

void
ff_live_unsubscribe(FfSubscriber *subscriber)
{
	ff_feed_unsubscribe(subscriber);
	ff_topic_unsubscribe(subscriber);
}

int
ff_live_tick(void)
{
	int64_t now = ff_loop_now();
	int64_t age = now - listener.since;
	int		patience =
		listener.state == FF_LINK_BUSY ? listener.statement_ms + FF_LINK_GRACE_MS : CONNECT_MS;

	if (now >= bell_at)
	{
		bell_at = now + BELL_MS;
		ring();
	}
	if (listener.state == FF_LINK_DOWN && listener.retry_at > now)
		return (int) (listener.retry_at - now);
	if (listener.state == FF_LINK_DOWN)
		ff_link_open(&listener);
	else if (listener.state == FF_LINK_IDLE)
		idle(&listener);
	else if (age > patience)
		ff_link_drop(&listener, "no answer");
	return 1000;
}
