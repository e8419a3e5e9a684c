/*
 * Feeds: who follows all runs of a tenant or of a function, and where each of them is.
 *
 * Followers of the same feed at the same cursor are a group and are read for once. The groups of a
 * feed meet: one read takes all of them to one cursor. A cursor is a text that only the database
 * understands (src/api/feed.sql). Used by live.c, whose connection it reads by.
 */
#ifndef FF_FEED_H
#define FF_FEED_H

#include "database/link.h"
#include "live/live.h"

/* What ff_live_subscribe_feed and ff_live_unsubscribe do. */
extern void ff_feed_subscribe(FfSubscriber *subscriber, int tenant, int function,
							  const char *cursor);
extern void ff_feed_unsubscribe(FfSubscriber *subscriber);

extern bool ff_feed_is_followed(void);

/* There may be news. */
extern void ff_feed_ring(void);
extern bool ff_feed_is_dirty(void);

/* Asks for the news of groups that may have some, by the statement "feed"; takes what comes back,
 * or NULL when it failed. */
extern bool ff_feed_send(FfLink *link);
extern void ff_feed_take(const PGresult *result);

#endif
