/*
 * frame.h - what a child reads and writes on its stream, and text as JSON.
 */
#ifndef FFS_FRAME_H
#define FFS_FRAME_H

#include <stdbool.h>
#include <stddef.h>

#include "../wire.h"

/* Text that grows. Memory that cannot be had ends the child (crash.c). */
typedef struct Text
{
	char  *data;
	size_t length;
	size_t room;
} Text;

extern void text_add(Text *text, const char *data, size_t length);
extern void text_add_string(Text *text, const char *string);
/* As a JSON string, with its quotes; `data` is UTF-8. */
extern void text_add_quoted(Text *text, const char *data, size_t length);

/* The request, with a NUL after it; NULL when the other end is gone or sends nonsense. */
extern char *frame_read(size_t *length);

/* False when the other end is gone. */
extern bool frame_write(FfSandboxFrameKind kind, const char *data, size_t length);

#endif
