/*
 * The files of a directory, answered from memory: the dashboard.
 *
 * All files are read at the start, and again when asked to. A request is looked up among their
 * names and never becomes the name of a file, so there is nothing to escape to.
 */
#ifndef FF_STATIC_H
#define FF_STATIC_H

#include <stdbool.h>

#include "reply/reply.h"
#include "wire/http.h"

#define FF_STATIC_PREFIX "/ui"

/* Reads a directory, to be answered below `prefix` ("/ui", or "" for the root). False, and why is
 * logged, when that cannot be; what was read before then stays. NULL: nothing is answered. */
extern bool ff_static_open(const char *directory, const char *prefix);

/* Reads it again. */
extern void ff_static_reload(void);
extern void ff_static_close(void);

/* Answers GET and HEAD of a file, and of what a page below the prefix is to show itself, which is
 * index.html. Gives the status, 0 when the request is not for us. */
extern int ff_static_answer(FfBuffer *out, const FfReplyTo *to, const FfHttpHead *head);

#endif
