/*
 * What there is to send to those who follow something.
 */
#ifndef FF_NEWS_H
#define FF_NEWS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

/* Messages as an event stream (text/event-stream). As frames of a WebSocket they are made once, for
 * all who want them so. */
typedef struct FfNews
{
	const char *text;
	size_t		length;
	bool		is_final; /* nothing will follow */
	/* private to news.c */
	FfBuffer	frames;
	FfBuffer	named_frames;
	const char *name; /* of these */
} FfNews;

/* Adds news as frames. `name`: of the subscription, in JSON, which each of them then says; NULL:
 * none. */
extern void ff_news_frames(FfNews *news, const char *name, FfBuffer *out);

/* Frees the frames that were made. */
extern void ff_news_free(FfNews *news);

#endif
