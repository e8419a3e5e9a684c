/*
 * From a request head to a call of serve().
 */
#ifndef FF_CALL_H
#define FF_CALL_H

#include "http.h"
#include "pg.h"

/*
 * A call for a request: its texts, lane and headers object, the body still empty. Only headers on the allow-list are handed over,
 * repeated ones joined by ", "; x-request-id and x-ff-remote are set by us. To be given to ff_pg_call or ff_call_free.
 */
extern FfCall *ff_call_make(const FfHttpHead *head, const char *request_id, const char *remote);
extern void ff_call_free(FfCall *call);

/* True for what may be a request's id: 1 to 64 letters, digits, ".", "_", "-". */
extern bool ff_call_is_id(const char *text);

#endif
