/*
 * A client's WebSocket: how it is greeted, what it says, whether it is still there. What it is sent
 * is a stream's (live.h), as frames.
 */
#ifndef FF_SOCKET_H
#define FF_SOCKET_H

#include "buffer.h"
#include "websocket.h"

typedef struct FfSocket FfSocket;

/* Whether a request asks for a WebSocket: 0 when it does not; 101, with a new socket, when it does
 * as it should; else the status to refuse it with. */
extern int	ff_socket_asked(const FfHttpHead *head, FfSocket **socket);
extern void ff_socket_free(FfSocket *socket);

/*
 * The credentials of a browser, which can set no header but this one: "bearer.TOKEN" or
 * "ticket.TICKET" in Sec-WebSocket-Protocol, beside "flowforge", which is what is then spoken.
 * Gives the name of the header it stands for, or NULL, and its value in `value`.
 */
extern const char *ff_socket_credential(const FfHttpHead *head, FfBuffer *value);

/* Adds the answer that begins it. */
extern void ff_socket_welcome(const FfSocket *socket, FfBuffer *out, const char *request_id);

/* The code to end it with that an answer of serve() means; 0: it is to be answered as HTTP. */
extern int ff_socket_refusal(int status);

/* Takes what the client sent and answers it in `out`. Gives 0, or the code to end with. */
extern int ff_socket_hear(FfSocket *socket, const char *bytes, size_t length, FfBuffer *out);

/*
 * To be called about once a second: pings a client every 30 seconds, or twice in `silence`
 * milliseconds when that is less. False when it has said nothing, not even to a ping, for longer
 * than that: it is gone.
 */
extern bool ff_socket_tend(FfSocket *socket, FfBuffer *out, int silence);

#endif
