/*
 * Live streams and the listening connection, which also tells when routes change.
 *
 * A topic is a run that somebody follows. It is dirty when there may be news for it. One read asks
 * for many topics, each from the smallest cursor of its subscribers; who is at that cursor gets the
 * text, who is further stays for the next read. Cursors of one run meet after their first read, so
 * this costs nothing in the long run.
 */
#define _GNU_SOURCE
#include "live/live.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/log.h"
#include "database/link.h"
#include "database/route.h"
#include "live/feed.h"
#include "live/pass.h"
#include "wire/websocket.h"

#define BUCKETS 4096
#define TOPICS_PER_READ 256
#define CONNECT_MS 10000
#define BELL_MS 15000
#define PAUSE_MS 2000 /* after an errand that failed */
#define RUN_SIZE 37

#define UUID_ARRAY_OID 2951
#define INT4_ARRAY_OID 1007
#define TEXT_ARRAY_OID 1009

struct FfTopic
{
	char		  run[RUN_SIZE];
	int			  tenant;
	FfTopic		 *next; /* in its bucket */
	FfSubscriber *first;
	bool		  dirty;
	int			  asked; /* cursor of the read under way; -1: not in it */
};

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

static FfLink	listener = {.watch.fd = -1, .owner = &owner};
static Errand	errand;
static Errand	last_read;	  /* runs and feeds take turns */
static bool		read_passes;  /* so do passes and these, or who connects would keep news away */
static bool		hears_routes; /* LISTEN flowforge_route is in force */
static bool		hears_runs;	  /* LISTEN flowforge is in force */
static bool		hears_news;	  /* and so is that of what is only for watching */
static bool		hears_access; /* LISTEN flowforge_access is in force */
static bool		routes_stale;
static FfTopic *buckets[BUCKETS];
static int		topic_count;
static int		dirty_count;
static int64_t	bell_at;

/* ---- topics ---- */

/* FNV-1a. */
static FfTopic **
bucket_of(const char *run)
{
	uint32_t hash = 2166136261u;

	for (; *run != '\0'; run++)
		hash = (hash ^ (unsigned char) *run) * 16777619u;
	return &buckets[hash % BUCKETS];
}

static FfTopic *
find_topic(const char *run)
{
	FfTopic *topic = *bucket_of(run);

	while (topic != NULL && strcmp(topic->run, run) != 0)
		topic = topic->next;
	return topic;
}

static FfTopic *
make_topic(int tenant, const char *run)
{
	FfTopic	 *topic = calloc(1, sizeof(FfTopic));
	FfTopic **bucket = bucket_of(run);

	if (topic == NULL)
		abort();
	snprintf(topic->run, RUN_SIZE, "%s", run);
	topic->tenant = tenant;
	topic->asked = -1;
	topic->next = *bucket;
	*bucket = topic;
	topic_count++;
	return topic;
}

static void
set_dirty(FfTopic *topic, bool dirty)
{
	dirty_count += (int) dirty - (int) topic->dirty;
	topic->dirty = dirty;
}

static void
drop_topic(FfTopic *topic)
{
	FfTopic **at = bucket_of(topic->run);

	while (*at != topic)
		at = &(*at)->next;
	*at = topic->next;
	set_dirty(topic, false);
	free(topic);
	topic_count--;
}

static void
set_all_dirty(void)
{
	for (int bucket = 0; bucket < BUCKETS; bucket++)
	{
		for (FfTopic *topic = buckets[bucket]; topic != NULL; topic = topic->next)
			set_dirty(topic, true);
	}
}

/* There may be news for everybody. */
static void
ring(void)
{
	set_all_dirty();
	ff_feed_ring();
	ff_pass_ring();
}

static int
smallest_cursor(const FfTopic *topic)
{
	int smallest = INT_MAX;

	for (const FfSubscriber *subscriber = topic->first; subscriber != NULL;
		 subscriber = subscriber->next)
		smallest = subscriber->cursor < smallest ? subscriber->cursor : smallest;
	return smallest;
}

/* ---- reading ---- */

void
ff_news_free(FfNews *news)
{
	ff_buffer_free(&news->frames);
	ff_buffer_free(&news->named_frames);
}

/* Adds the dirty topics, as many as one read takes, to the arrays. */
static void
take_dirty(FfBuffer *tenants, FfBuffer *runs, FfBuffer *cursors)
{
	int taken = 0;

	for (int bucket = 0; bucket < BUCKETS && dirty_count > 0 && taken < TOPICS_PER_READ; bucket++)
	{
		for (FfTopic *topic = buckets[bucket]; topic != NULL && taken < TOPICS_PER_READ;
			 topic = topic->next)
		{
			if (!topic->dirty)
				continue;
			set_dirty(topic, false);
			topic->asked = smallest_cursor(topic);
			ff_buffer_format(tenants, "%s%d", taken > 0 ? "," : "{", topic->tenant);
			ff_buffer_format(runs, "%s%s", taken > 0 ? "," : "{", topic->run);
			ff_buffer_format(cursors, "%s%d", taken > 0 ? "," : "{", topic->asked);
			taken++;
		}
	}
	ff_buffer_add(tenants, "}", 2);
	ff_buffer_add(runs, "}", 2);
	ff_buffer_add(cursors, "}", 2);
}

static bool
send_read(FfLink *link)
{
	FfBuffer tenants = {0};
	FfBuffer runs = {0};
	FfBuffer cursors = {0};
	bool	 sent;

	take_dirty(&tenants, &runs, &cursors);
	sent = ff_link_send(link, "streams", 3, (const char *[]){tenants.data, runs.data, cursors.data},
						NULL, NULL, 0);
	ff_buffer_free(&tenants);
	ff_buffer_free(&runs);
	ff_buffer_free(&cursors);
	return sent;
}

/* Gives one row to those who wait for it. A subscriber may leave while it is served. */
static void
deliver(const char *run, int last_seq, FfNews *news)
{
	FfTopic		 *topic = find_topic(run);
	FfSubscriber *next;

	if (topic == NULL || topic->asked < 0)
		return;
	for (FfSubscriber *subscriber = topic->first; subscriber != NULL; subscriber = next)
	{
		bool is_last = subscriber->next == NULL && subscriber->previous == NULL;

		next = subscriber->next;
		if (subscriber->cursor == topic->asked)
		{
			subscriber->cursor = last_seq;
			subscriber->deliver(subscriber, news);
		}
		else
			set_dirty(topic, true);
		if (is_last)
			return; /* the topic may be gone with it */
	}
}

static void
take_streams(const PGresult *result)
{
	for (int row = 0; row < PQntuples(result); row++)
	{
		FfNews news = {.text = PQgetvalue(result, row, 2),
					   .length = (size_t) PQgetlength(result, row, 2),
					   .is_final = PQgetvalue(result, row, 3)[0] == 't'};

		deliver(PQgetvalue(result, row, 0), atoi(PQgetvalue(result, row, 1)), &news);
		ff_news_free(&news);
	}
}

/* The read is over. When it failed, all it asked for is still to be read. */
static void
end_read(bool failed)
{
	for (int bucket = 0; bucket < BUCKETS; bucket++)
	{
		for (FfTopic *topic = buckets[bucket]; topic != NULL; topic = topic->next)
		{
			if (failed && topic->asked >= 0)
				set_dirty(topic, true);
			topic->asked = -1;
		}
	}
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
	if (ff_pass_is_dirty() && !(read_passes && (dirty_count > 0 || ff_feed_is_dirty())))
		return READ_PASSES;
	if (hears_runs != (topic_count > 0 || ff_feed_is_followed()))
		return hears_runs ? UNLISTEN : LISTEN;
	if (dirty_count > 0 && (last_read != READ_STREAMS || !ff_feed_is_dirty()))
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
			return send_read(link);
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
			if (outcome == FF_DONE)
				take_streams(link->result[0]);
			end_read(outcome != FF_DONE);
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

/* What is only for watching, "run json", is handed on as it is: it has no seq, so it moves no
 * cursor and is not sent again. A subscriber may leave while it is served. */
static void
take_news(const char *payload)
{
	char		  run[RUN_SIZE];
	size_t		  length = strcspn(payload, " ");
	FfTopic		 *topic;
	FfSubscriber *next;
	FfBuffer	  message = {0};
	FfNews		  news = {0};

	snprintf(run, sizeof(run), "%.*s", (int) length, payload);
	topic = find_topic(run);
	if (topic == NULL || payload[length] != ' ')
		return;
	ff_buffer_format(&message, "event: step.delta\ndata: %s\n\n", payload + length + 1);
	news.text = ff_buffer_at(&message);
	news.length = ff_buffer_length(&message);
	for (FfSubscriber *subscriber = topic->first; subscriber != NULL; subscriber = next)
	{
		next = subscriber->next;
		subscriber->deliver(subscriber, &news);
	}
	ff_buffer_free(&message);
	ff_news_free(&news);
}

/* Marks the runs named in the payload; without any, all. Feeds are of all runs. */
static void
take_bell(const char *payload)
{
	ff_feed_ring();
	if (payload[strspn(payload, " ")] == '\0')
		set_all_dirty();
	for (const char *at = payload; hears_runs && *at != '\0';)
	{
		char	 run[RUN_SIZE];
		FfTopic *topic;
		size_t	 length;

		at += strspn(at, " ");
		length = strcspn(at, " ");
		snprintf(run, sizeof(run), "%.*s", (int) length, at);
		at += length;
		topic = find_topic(run);
		if (topic != NULL)
			set_dirty(topic, true);
	}
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
		take_news(payload);
	if (link->state == FF_LINK_IDLE)
		idle(link);
}

/* ---- the outside ---- */

/* Who follows the same by name calls it the same, so the second kind is made once, too. */
void
ff_news_frames(FfNews *news, const char *name, FfBuffer *out)
{
	FfBuffer *frames = name != NULL ? &news->named_frames : &news->frames;

	if (name != NULL && news->name != NULL && strcmp(name, news->name) != 0)
		ff_buffer_free(frames);
	if (name != NULL)
		news->name = name;
	if (frames->data == NULL)
		ff_frame_events(frames, name, news->text, news->length);
	if (frames->data != NULL)
		ff_buffer_add(out, ff_buffer_at(frames), ff_buffer_length(frames));
}

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
	FfTopic *topic = find_topic(run);

	if (topic == NULL)
		topic = make_topic(tenant, run);
	subscriber->topic = topic;
	subscriber->cursor = cursor;
	subscriber->previous = NULL;
	subscriber->next = topic->first;
	if (topic->first != NULL)
		topic->first->previous = subscriber;
	topic->first = subscriber;
	set_dirty(topic, true);
	if (listener.state == FF_LINK_IDLE)
		idle(&listener);
}

void
ff_live_subscribe_feed(FfSubscriber *subscriber, int tenant, int function, const char *cursor)
{
	ff_feed_subscribe(subscriber, tenant, function, cursor);
	if (listener.state == FF_LINK_IDLE)
		idle(&listener);
}

void
ff_live_unsubscribe(FfSubscriber *subscriber)
{
	FfTopic *topic = subscriber->topic;

	ff_feed_unsubscribe(subscriber);
	if (topic == NULL)
		return;
	if (subscriber->previous != NULL)
		subscriber->previous->next = subscriber->next;
	else
		topic->first = subscriber->next;
	if (subscriber->next != NULL)
		subscriber->next->previous = subscriber->previous;
	subscriber->topic = NULL;
	subscriber->next = subscriber->previous = NULL;
	if (topic->first == NULL)
		drop_topic(topic);
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
