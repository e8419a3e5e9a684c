/*
 * Memory that is there, or the program ends.
 */
#ifndef FF_MEMORY_H
#define FF_MEMORY_H

#include <stddef.h>

/* calloc, strdup and asprintf that end the program when memory does. The result is to be freed by
 * the caller. */
extern void *ff_alloc(size_t size);
extern char *ff_copy(const char *text);
extern char *ff_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
