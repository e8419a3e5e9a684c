/*
 * From a request head to a call of serve().
 */
#ifndef FF_CALL_H
#define FF_CALL_H

#include "database/pg.h"
#include "wire/http.h"

/*
 * A call for a request: its texts, lane and headers object, the body still empty. Only headers on
 * the allow-list are handed over, repeated ones joined by ", "; x-request-id and
 * x-flowforge-address are set by us. To be given to ff_pg_call or ff_call_free.
 */
extern FfCall *ff_call_make(const FfHttpHead *head, const char *request_id, const char *remote);
extern void	   ff_call_free(FfCall *call);

/* A call that tells the path what the client of a WebSocket says, in the name of a pass (NULL: of
 * nobody), who follows so much already. */
extern FfCall *ff_call_said(const char *path, const char *pass, int follows, const char *request_id,
							const char *remote);

/*
 * Adds to a call's body. Gives 0, or the status to refuse it with: 413 when the body gets too
 * large, 503 when the bodies of all calls together do. A body counts until it or its call is freed,
 * also when its client has left.
 */
extern int	ff_call_add_body(FfCall *call, const char *bytes, size_t length);
extern void ff_call_free_body(FfCall *call);

/* True for what may be a request's id: 1 to 64 letters, digits, ".", "_", "-". */
extern bool ff_call_is_id(const char *text);

#endif
