/*
 * Topics (see topic.h).
 */
#define _GNU_SOURCE
#include "live/topic.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"

#define BUCKETS 4096
#define TOPICS_PER_READ 256
#define RUN_SIZE 37

struct FfTopic
{
	char		  run[RUN_SIZE];
	int			  tenant;
	FfTopic		 *next; /* in its bucket */
	FfSubscriber *first;
	bool		  dirty;
	int			  asked; /* cursor of the read under way; -1: not in it */
};

static FfTopic *buckets[BUCKETS];
static int		topic_count;
static int		dirty_count;

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

void
ff_topic_ring(void)
{
	for (int bucket = 0; bucket < BUCKETS; bucket++)
	{
		for (FfTopic *topic = buckets[bucket]; topic != NULL; topic = topic->next)
			set_dirty(topic, true);
	}
}

bool
ff_topic_is_dirty(void)
{
	return dirty_count > 0;
}

void
ff_topic_ring_some(const char *runs)
{
	for (const char *at = runs; *at != '\0';)
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

/* ---- who follows ---- */

void
ff_topic_subscribe(FfSubscriber *subscriber, int tenant, const char *run, int cursor)
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
}

void
ff_topic_unsubscribe(FfSubscriber *subscriber)
{
	FfTopic *topic = subscriber->topic;

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

bool
ff_topic_is_followed(void)
{
	return topic_count > 0;
}

/* ---- reading ---- */

static int
smallest_cursor(const FfTopic *topic)
{
	int smallest = INT_MAX;

	for (const FfSubscriber *subscriber = topic->first; subscriber != NULL;
		 subscriber = subscriber->next)
		smallest = subscriber->cursor < smallest ? subscriber->cursor : smallest;
	return smallest;
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

bool
ff_topic_send(FfLink *link)
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
deliver_all(const PGresult *result)
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

void
ff_topic_take(const PGresult *result)
{
	if (result != NULL)
		deliver_all(result);
	end_read(result == NULL);
}

/* ---- what is only for watching ---- */

/* A subscriber may leave while it is served. */
void
ff_topic_pass_on(const char *payload)
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
