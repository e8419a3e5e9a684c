/*
 * A growing array of bytes. Unread bytes move to the front when that makes room, so a buffer never
 * grows beyond twice what it held.
 */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALLEST 1024
#define KEPT_SIZE 16384 /* what is larger than this is given back when empty */

char *
ff_buffer_room(FfBuffer *buffer, size_t length)
{
	size_t used = ff_buffer_length(buffer);
	size_t size = buffer->size < SMALLEST ? SMALLEST : buffer->size;

	if (length <= buffer->size - buffer->end)
		return buffer->data + buffer->end;
	if (buffer->start > 0)
	{
		memmove(buffer->data, ff_buffer_at(buffer), used);
		buffer->start = 0;
		buffer->end = used;
	}
	if (length > SIZE_MAX / 4 || used > SIZE_MAX / 4)
		abort();
	while (size < used + length)
		size *= 2;
	if (size > buffer->size)
	{
		buffer->data = realloc(buffer->data, size);
		if (buffer->data == NULL)
			abort();
		buffer->size = size;
	}
	return buffer->data + buffer->end;
}

void
ff_buffer_add(FfBuffer *buffer, const void *bytes, size_t length)
{
	if (length == 0)
		return;
	memcpy(ff_buffer_room(buffer, length), bytes, length);
	buffer->end += length;
}

void
ff_buffer_text(FfBuffer *buffer, const char *text)
{
	ff_buffer_add(buffer, text, strlen(text));
}

void
ff_buffer_format(FfBuffer *buffer, const char *format, ...)
{
	va_list arguments;
	int		length;

	va_start(arguments, format);
	length = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	if (length <= 0)
		return;
	ff_buffer_room(buffer, (size_t) length + 1);
	va_start(arguments, format);
	vsnprintf(buffer->data + buffer->end, (size_t) length + 1, format, arguments);
	va_end(arguments);
	buffer->end += (size_t) length;
}

void
ff_buffer_skip(FfBuffer *buffer, size_t length)
{
	buffer->start += length;
	if (buffer->start < buffer->end)
		return;
	buffer->start = buffer->end = 0;
	if (buffer->size > KEPT_SIZE)
		ff_buffer_free(buffer);
}

void
ff_buffer_free(FfBuffer *buffer)
{
	free(buffer->data);
	memset(buffer, 0, sizeof(*buffer));
}
