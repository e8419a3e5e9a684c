/*
 * frame.c - what a child reads and writes on its stream (see frame.h). It uses read and write
 * alone, because nothing else is left to it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crash.h"
#include "frame.h"

/* --- text --- */

static void
make_room(Text *text, size_t more)
{
	size_t room = text->room ? text->room : 256;
	char  *larger;

	if (more > SIZE_MAX / 4 || text->length > SIZE_MAX / 4)
		crash_out_of_memory();
	while (room < text->length + more + 1)
		room *= 2;
	if (room == text->room)
		return;
	larger = realloc(text->data, room);
	if (larger == NULL)
		crash_out_of_memory();
	text->data = larger;
	text->room = room;
}

void
text_add(Text *text, const char *data, size_t length)
{
	make_room(text, length);
	memcpy(text->data + text->length, data, length);
	text->length += length;
	text->data[text->length] = '\0';
}

void
text_add_string(Text *text, const char *string)
{
	text_add(text, string, strlen(string));
}

static void
add_escaped(Text *text, unsigned char c)
{
	char escape[8];

	if (c == '"' || c == '\\')
		snprintf(escape, sizeof(escape), "\\%c", c);
	else if (c == '\n')
		snprintf(escape, sizeof(escape), "\\n");
	else if (c == '\t')
		snprintf(escape, sizeof(escape), "\\t");
	else if (c == '\0')
		/* What reads this has no such character. */
		snprintf(escape, sizeof(escape), "\\ufffd");
	else
		snprintf(escape, sizeof(escape), "\\u%04x", c);
	text_add_string(text, escape);
}

void
text_add_quoted(Text *text, const char *data, size_t length)
{
	size_t start = 0;

	text_add(text, "\"", 1);
	for (size_t i = 0; i < length; i++)
	{
		unsigned char c = (unsigned char) data[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		text_add(text, data + start, i - start);
		add_escaped(text, c);
		start = i + 1;
	}
	text_add(text, data + start, length - start);
	text_add(text, "\"", 1);
}

/* --- frames --- */

static bool
read_all(void *data, size_t length)
{
	char *at = data;

	while (length > 0)
	{
		ssize_t got = read(FF_SANDBOX_CONTROL_FD, at, length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		at += got;
		length -= (size_t) got;
	}
	return true;
}

static bool
write_all(const void *data, size_t length)
{
	const char *at = data;

	while (length > 0)
	{
		ssize_t put = write(FF_SANDBOX_CONTROL_FD, at, length);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		at += put;
		length -= (size_t) put;
	}
	return true;
}

char *
frame_read(size_t *length)
{
	FfSandboxFrame frame;
	char		  *data;

	if (!read_all(&frame, sizeof(frame)) || frame.kind != FF_SANDBOX_REQUEST ||
		frame.length > FF_SANDBOX_MAX_REQUEST)
		return NULL;
	data = malloc((size_t) frame.length + 1);
	if (data == NULL)
		crash_out_of_memory();
	if (!read_all(data, frame.length))
		return NULL;
	data[frame.length] = '\0';
	*length = frame.length;
	return data;
}

bool
frame_write(FfSandboxFrameKind kind, const char *data, size_t length)
{
	FfSandboxFrame frame = {(uint32_t) length, kind};
	bool		   written;

	crash_hold();
	written = write_all(&frame, sizeof(frame)) && write_all(data, length);
	crash_release();
	return written;
}
