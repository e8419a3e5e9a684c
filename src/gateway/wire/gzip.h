/*
 * Answers in less bytes.
 */
#ifndef FF_GZIP_H
#define FF_GZIP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

#define FF_GZIP_LEAST 1024			   /* below this it is not worth the work */
#define FF_GZIP_MOST (4 * 1024 * 1024) /* beyond this others would wait for it */

/* Whether a client takes gzip, by its accept-encoding (NULL: it has sent none). */
extern bool ff_gzip_accepted(const char *accept_encoding);

/* Whether a content of this type gets smaller. The type needs no NUL at its end but some letter
 * that is no part of it, such as a line end. */
extern bool ff_gzip_suits(const char *content_type);

/* Adds the compressed bytes to out. False when memory is short; out is then as before. */
extern bool ff_gzip(const char *bytes, size_t length, FfBuffer *out);

#endif
