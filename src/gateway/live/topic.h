/*
 * Topics: the runs that somebody follows.
 *
 * A topic is dirty when there may be news for it. One read asks for many topics, each from the
 * smallest cursor of its subscribers; who is at that cursor gets the text, who is further stays for
 * the next read. Cursors of one run meet after their first read, so this costs nothing in the long
 * run. Used by live.c, whose connection it reads by.
 */
#ifndef FF_TOPIC_H
#define FF_TOPIC_H

#include "database/link.h"
#include "live/live.h"

/* What ff_live_subscribe and ff_live_unsubscribe do. */
extern void ff_topic_subscribe(FfSubscriber *subscriber, int tenant, const char *run, int cursor);
extern void ff_topic_unsubscribe(FfSubscriber *subscriber);

extern bool ff_topic_is_followed(void);

/* There may be news: of all, or of those runs, with spaces between them. */
extern void ff_topic_ring(void);
extern void ff_topic_ring_some(const char *runs);
extern bool ff_topic_is_dirty(void);

/* Asks for the news of topics that may have some, by the statement "streams"; takes what comes
 * back, or NULL when it failed. */
extern bool ff_topic_send(FfLink *link);
extern void ff_topic_take(const PGresult *result);

/* Hands on what is only for watching, "run json": it has no seq, so it moves no cursor and is not
 * sent again. */
extern void ff_topic_pass_on(const char *payload);

#endif
