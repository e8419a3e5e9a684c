/*
 * Live streams: who follows which run, and what there is to send.
 *
 * A subscriber has a cursor: the seq of the last run event it was given. A notification from the
 * database is only a bell; what is new is then read from the run's log, for all followed runs in
 * one query. Nothing is lost when a bell is: after a reconnection, and every 15 seconds, everything
 * is read again.
 *
 * Who follows a whole tenant or a function has a cursor that is a text (feed.h).
 *
 * What is only for watching, the text of a model's answer as it comes, is a notification itself: it
 * is passed on at once, has no seq, moves no cursor, and is lost for whoever is not there.
 */
#ifndef FF_LIVE_H
#define FF_LIVE_H

#include "live/news.h"

typedef struct FfTopic		FfTopic;
typedef struct FfFeedGroup	FfFeedGroup;
typedef struct FfSubscriber FfSubscriber;

/* Part of a connection. Zeroed at first. */
struct FfSubscriber
{
	FfTopic		 *topic; /* the run it follows */
	FfFeedGroup	 *group; /* or the feed; both NULL: follows nothing */
	FfSubscriber *next;
	FfSubscriber *previous;
	int			  cursor;

	/* May unsubscribe itself. */
	void (*deliver)(FfSubscriber *subscriber, FfNews *news);
};

extern void ff_live_start(const char *database_url, int statement_ms);
extern void ff_live_stop(void);

/* Follows a tenant's run (its uuid as text) from after `cursor`. */
extern void ff_live_subscribe(FfSubscriber *subscriber, int tenant, const char *run, int cursor);

/* Follows all runs of a tenant, or of one of its functions (0: all), from after `cursor`. */
extern void ff_live_subscribe_feed(FfSubscriber *subscriber, int tenant, int function,
								   const char *cursor);

/* Ends either; does nothing for who follows nothing. */
extern void ff_live_unsubscribe(FfSubscriber *subscriber);

/* Somebody follows by a pass (pass.h) from now on: has the database asked about it. */
extern void ff_live_check(void);

/* Remakes the connection and rings the bell of last resort. Gives the milliseconds until it wants
 * to be called again. */
extern int ff_live_tick(void);

#endif
