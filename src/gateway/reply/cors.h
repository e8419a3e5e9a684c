/*
 * Which origins' pages may use the API from browsers. Without any configured only /e/ is open, to
 * all of them.
 */
#ifndef FF_CORS_H
#define FF_CORS_H

#include <stdbool.h>

/* Whether a text is an origin as browsers send it: scheme://host, perhaps with a port, or "*". */
extern bool ff_cors_is_origin(const char *text);

/* The origins allowed from now on; they are not copied. */
extern void ff_cors_open(const char *const *origins, int count);

/* Whether any origin is allowed: answers then depend on who asks. */
extern bool ff_cors_is_open(void);

/* What to answer an origin (NULL: it has not said): itself, "*", or NULL when it is not allowed. */
extern const char *ff_cors_allowed(const char *origin);

#endif
