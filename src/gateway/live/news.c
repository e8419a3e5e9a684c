/*
 * News as frames (see news.h).
 */
#define _GNU_SOURCE
#include "live/news.h"

#include <string.h>

#include "wire/websocket.h"

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
ff_news_free(FfNews *news)
{
	ff_buffer_free(&news->frames);
	ff_buffer_free(&news->named_frames);
}
