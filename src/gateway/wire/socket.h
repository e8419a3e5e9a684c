/*
 * A client's WebSocket: how it is greeted, what it says, whether it is still there. What it is sent
 * is a stream's (live/live.h), as frames.
 */
#ifndef FF_SOCKET_H
#define FF_SOCKET_H

#include "base/buffer.h"
#include "wire/websocket.h"

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

/* Takes bytes the client sent. */
extern void ff_socket_feed(FfSocket *socket, const char *bytes, size_t length);

/*
 * Reads on to the next message, answering what is between in `out`. Gives 0, or the code to end
 * with. `message` is that: text or binary, valid until the next call, or of kind FF_FRAME_NONE when
 * more bytes are needed.
 */
extern int ff_socket_hear(FfSocket *socket, FfFrame *message, FfBuffer *out);

/* The client was not listened to for a while; its silence begins now. */
extern void ff_socket_listens(FfSocket *socket);

/*
 * To be called about once a second: pings a client every 30 seconds, or twice in `silence`
 * milliseconds when that is less. False when it has said nothing, not even to a ping, for longer
 * than that: it is gone.
 */
extern bool ff_socket_tend(FfSocket *socket, FfBuffer *out, int silence);

#endif
