/*
 * Feeds (see feed.h).
 */
#define _GNU_SOURCE
#include "live/feed.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"

#define GROUPS_PER_READ 256

struct FfFeedGroup
{
	FfFeedGroup	 *next;
	int			  tenant;
	int			  function; /* 0: all */
	char		 *cursor;
	FfSubscriber *first; /* NULL: to be freed */
	bool		  dirty;
	int			  asked; /* its number in the read under way; 0: not in it */
};

static FfFeedGroup *groups;
static bool			is_delivering; /* groups stay where they are meanwhile */

/* ---- groups ---- */

static bool
is_same(const FfFeedGroup *group, int tenant, int function, const char *cursor)
{
	return group->tenant == tenant && group->function == function &&
		   strcmp(group->cursor, cursor) == 0;
}

static FfFeedGroup *
make_group(int tenant, int function, const char *cursor)
{
	FfFeedGroup *group = calloc(1, sizeof(FfFeedGroup));

	if (group == NULL)
		abort();
	group->tenant = tenant;
	group->function = function;
	group->cursor = ff_copy(cursor);
	group->next = groups;
	groups = group;
	return group;
}

static void
join(FfFeedGroup *group, FfSubscriber *subscriber)
{
	subscriber->group = group;
	subscriber->previous = NULL;
	subscriber->next = group->first;
	if (group->first != NULL)
		group->first->previous = subscriber;
	group->first = subscriber;
}

static void
free_empty(void)
{
	for (FfFeedGroup **at = &groups; *at != NULL;)
	{
		FfFeedGroup *group = *at;

		if (group->first != NULL)
		{
			at = &group->next;
			continue;
		}
		*at = group->next;
		free(group->cursor);
		free(group);
	}
}

/* Groups that have come to the same place become one. */
static void
merge(void)
{
	for (FfFeedGroup *group = groups; group != NULL; group = group->next)
	{
		for (FfFeedGroup *other = group->next; group->first != NULL && other != NULL;
			 other = other->next)
		{
			if (!is_same(other, group->tenant, group->function, group->cursor))
				continue;
			while (other->first != NULL)
			{
				FfSubscriber *subscriber = other->first;

				other->first = subscriber->next;
				join(group, subscriber);
			}
			group->dirty |= other->dirty;
		}
	}
	free_empty();
}

void
ff_feed_subscribe(FfSubscriber *subscriber, int tenant, int function, const char *cursor)
{
	FfFeedGroup *group = groups;

	while (group != NULL && !is_same(group, tenant, function, cursor))
		group = group->next;
	if (group == NULL)
		group = make_group(tenant, function, cursor);
	join(group, subscriber);
	group->dirty = true;
}

void
ff_feed_unsubscribe(FfSubscriber *subscriber)
{
	FfFeedGroup *group = subscriber->group;

	if (group == NULL)
		return;
	if (subscriber->previous != NULL)
		subscriber->previous->next = subscriber->next;
	else
		group->first = subscriber->next;
	if (subscriber->next != NULL)
		subscriber->next->previous = subscriber->previous;
	subscriber->group = NULL;
	subscriber->next = subscriber->previous = NULL;
	if (group->first == NULL && group->asked == 0 && !is_delivering)
		free_empty();
}

bool
ff_feed_is_followed(void)
{
	return groups != NULL;
}

void
ff_feed_ring(void)
{
	for (FfFeedGroup *group = groups; group != NULL; group = group->next)
		group->dirty = true;
}

bool
ff_feed_is_dirty(void)
{
	for (const FfFeedGroup *group = groups; group != NULL; group = group->next)
	{
		if (group->dirty)
			return true;
	}
	return false;
}

/* ---- reading ---- */

bool
ff_feed_send(FfLink *link)
{
	FfBuffer tenants = {0};
	FfBuffer functions = {0};
	FfBuffer cursors = {0};
	int		 count = 0;
	bool	 sent;

	for (FfFeedGroup *group = groups; group != NULL && count < GROUPS_PER_READ; group = group->next)
	{
		if (!group->dirty)
			continue;
		group->dirty = false;
		ff_buffer_format(&tenants, "%s%d", count > 0 ? "," : "{", group->tenant);
		ff_buffer_format(&functions, "%s%d", count > 0 ? "," : "{", group->function);
		ff_buffer_format(&cursors, "%s\"%s\"", count > 0 ? "," : "{", group->cursor);
		group->asked = ++count;
	}
	ff_buffer_add(&tenants, "}", 2);
	ff_buffer_add(&functions, "}", 2);
	ff_buffer_add(&cursors, "}", 2);
	sent =
		ff_link_send(link, "feed", 3, (const char *[]){tenants.data, functions.data, cursors.data},
					 NULL, NULL, 0);
	ff_buffer_free(&tenants);
	ff_buffer_free(&functions);
	ff_buffer_free(&cursors);
	return sent;
}

/* A follower may leave while it is served. */
static void
deliver(const FfFeedGroup *group, FfNews *news)
{
	FfSubscriber *next;

	for (FfSubscriber *subscriber = group->first; news->length > 0 && subscriber != NULL;
		 subscriber = next)
	{
		next = subscriber->next;
		subscriber->deliver(subscriber, news);
	}
	ff_news_free(news);
}

static void
take_row(const PGresult *result, int row)
{
	int			 number = atoi(PQgetvalue(result, row, 0));
	FfFeedGroup *group = groups;
	FfNews		 news = {.text = PQgetvalue(result, row, 2),
						 .length = (size_t) PQgetlength(result, row, 2)};

	while (group != NULL && group->asked != number)
		group = group->next;
	if (group == NULL)
		return;
	deliver(group, &news);
	group->asked = 0;
	group->dirty |= PQgetvalue(result, row, 3)[0] == 't';
	free(group->cursor);
	group->cursor = ff_copy(PQgetvalue(result, row, 1));
}

void
ff_feed_take(const PGresult *result)
{
	is_delivering = true;
	for (int row = 0; result != NULL && row < PQntuples(result); row++)
		take_row(result, row);
	is_delivering = false;
	for (FfFeedGroup *group = groups; group != NULL; group = group->next)
	{
		group->dirty |= group->asked != 0;
		group->asked = 0;
	}
	merge();
}
