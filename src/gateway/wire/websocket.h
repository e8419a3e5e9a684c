/*
 * WebSocket (RFC 6455) as bytes: the handshake, frames both ways. No input or output happens here.
 *
 * What is doubtful ends the connection with the code the RFC has for it, never a guess: frames that
 * are not masked, reserved bits, unknown opcodes, control frames in pieces or over 125 bytes,
 * lengths not in their shortest form, continuations of nothing, text that is not UTF-8, codes that
 * may not be sent.
 */
#ifndef FF_WEBSOCKET_H
#define FF_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "wire/http.h"

#define FF_WEBSOCKET_ACCEPT_SIZE 29
#define FF_WEBSOCKET_MESSAGE_SIZE 16384 /* of a message of a client, all its pieces together */

/* Codes of the end (section 7.4.1), and our own. */
typedef enum FfWebSocketCode
{
	FF_WS_NORMAL = 1000,
	FF_WS_AWAY = 1001,
	FF_WS_PROTOCOL = 1002,
	FF_WS_NO_CODE = 1005, /* is never sent */
	FF_WS_NOT_TEXT = 1007,
	FF_WS_POLICY = 1008,
	FF_WS_TOO_BIG = 1009,
	FF_WS_INTERNAL = 1011,
	FF_WS_TRY_LATER = 1013,
	FF_WS_UNAUTHORIZED = 4401,
	FF_WS_FORBIDDEN = 4403,
	FF_WS_NOT_FOUND = 4404
} FfWebSocketCode;

typedef enum FfFrameKind
{
	FF_FRAME_NONE, /* more bytes are needed */
	FF_FRAME_TEXT, /* a whole message */
	FF_FRAME_BINARY,
	FF_FRAME_PING,
	FF_FRAME_PONG,
	FF_FRAME_CLOSE, /* the client ends it, with `code` */
	FF_FRAME_BROKEN /* the connection is to be ended with `code`; nothing after it can be read */
} FfFrameKind;

/* What a client said. The bytes are valid until the next call. */
typedef struct FfFrame
{
	FfFrameKind kind;
	const char *data;
	size_t		length;
	int			code;
} FfFrame;

/* The bytes a client sends, being read. Zeroed at first. */
typedef struct FfFrames
{
	FfBuffer in;	  /* what has arrived and is not read */
	FfBuffer message; /* the pieces so far */
	int		 opcode;  /* of the message in pieces; 0: none */
	bool	 is_told; /* the message was given by the last call */
} FfFrames;

/*
 * Whether a request asks for a WebSocket: 0 when it does not, 101 when it does as it should (and
 * `accept` is what to answer), else the status to refuse it with: 400, or 426 when it is a version
 * other than 13.
 */
extern int ff_websocket_asked(const FfHttpHead *head, char accept[FF_WEBSOCKET_ACCEPT_SIZE]);

/* Adds bytes that have arrived, and takes the next frame or message from them. */
extern void ff_frames_feed(FfFrames *frames, const char *bytes, size_t length);
extern void ff_frames_next(FfFrames *frames, FfFrame *frame);
extern void ff_frames_free(FfFrames *frames);

/* Adds frames to what is sent: a text, a ping without content, a pong, the end. */
extern void ff_frame_text(FfBuffer *out, const char *text, size_t length);
extern void ff_frame_ping(FfBuffer *out);
extern void ff_frame_pong(FfBuffer *out, const char *data, size_t length);
extern void ff_frame_close(FfBuffer *out, int code, const char *reason);

/* Adds the data of each message of an event stream (text/event-stream) as a text frame. With a
 * name, in JSON, each is an object, whose first member "subscription" it becomes. */
extern void ff_frame_events(FfBuffer *out, const char *name, const char *stream, size_t length);

#endif
