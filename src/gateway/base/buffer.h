/*
 * A growing array of bytes, read from the front and written at the back.
 */
#ifndef FF_BUFFER_H
#define FF_BUFFER_H

#include <stddef.h>

typedef struct FfBuffer
{
	char  *data;
	size_t start; /* bytes before this are read */
	size_t end;
	size_t size;
} FfBuffer;

/* The unread bytes and how many they are. */
#define ff_buffer_at(buffer) ((buffer)->data + (buffer)->start)
#define ff_buffer_length(buffer) ((buffer)->end - (buffer)->start)

/* Makes room for `length` bytes behind the end and gives their place. Ends the program when memory
 * does. */
extern char *ff_buffer_room(FfBuffer *buffer, size_t length);

extern void ff_buffer_add(FfBuffer *buffer, const void *bytes, size_t length);
extern void ff_buffer_text(FfBuffer *buffer, const char *text);
extern void ff_buffer_format(FfBuffer *buffer, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Marks bytes as read. Memory is kept until ff_buffer_free unless it is large and all of it is
 * read. */
extern void ff_buffer_skip(FfBuffer *buffer, size_t length);
extern void ff_buffer_free(FfBuffer *buffer);

#endif
