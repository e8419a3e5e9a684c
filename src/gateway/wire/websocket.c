/*
 * WebSocket as bytes (see websocket.h). A frame's payload is unmasked in place, where it arrived;
 * the pieces of a message are gathered until the last has come.
 */
#define _GNU_SOURCE
#include "wire/websocket.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* section 1.3 */
#define KEY_LENGTH 24								/* 16 bytes in base64 */
#define SHA1_BYTES 20
#define MASK_BYTES 4
#define MOST_OF_CONTROL 125
#define SHORT_LENGTH 126 /* two bytes of length follow */
#define LONG_LENGTH 127	 /* eight do */

typedef enum Opcode
{
	CONTINUATION = 0x0,
	TEXT = 0x1,
	BINARY = 0x2,
	CLOSE = 0x8,
	PING = 0x9,
	PONG = 0xA
} Opcode;

/* ---- the handshake ---- */

/* 22 digits of base64 and "==". */
static bool
is_key(const char *key)
{
	return key != NULL && strlen(key) == KEY_LENGTH &&
		   strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") ==
			   KEY_LENGTH - 2 &&
		   strcmp(key + KEY_LENGTH - 2, "==") == 0;
}

static bool
make_accept(const char *key, char accept[FF_WEBSOCKET_ACCEPT_SIZE])
{
	char		  text[KEY_LENGTH + sizeof(GUID)];
	unsigned char digest[EVP_MAX_MD_SIZE];
	int			  length = snprintf(text, sizeof(text), "%s" GUID, key);

	if (EVP_Digest(text, (size_t) length, digest, NULL, EVP_sha1(), NULL) != 1)
		return false;
	EVP_EncodeBlock((unsigned char *) accept, digest, SHA1_BYTES);
	return true;
}

int
ff_websocket_asked(const FfHttpHead *head, char accept[FF_WEBSOCKET_ACCEPT_SIZE])
{
	const char *version = ff_http_header(head, "sec-websocket-version");
	const char *key = ff_http_header(head, "sec-websocket-key");

	if (strcmp(head->method, "GET") != 0 || head->is_http10 ||
		!ff_http_has_word(ff_http_header(head, "upgrade"), "websocket"))
		return 0;
	if (!ff_http_has_word(ff_http_header(head, "connection"), "upgrade") || head->chunked ||
		head->length > 0)
		return 400;
	if (version == NULL || strcmp(version, "13") != 0)
		return 426;
	return is_key(key) && make_accept(key, accept) ? 101 : 400;
}

/* ---- what clients send ---- */

static void
broken(FfFrame *frame, int code)
{
	*frame = (FfFrame){.kind = FF_FRAME_BROKEN, .code = code};
}

/* Section 7.4.2, and what IANA has registered since. */
static bool
may_be_sent(int code)
{
	return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
		   (code >= 3000 && code <= 4999);
}

static void
take_close(FfFrame *frame, const char *data, size_t length)
{
	int code;

	*frame = (FfFrame){.kind = FF_FRAME_CLOSE, .code = FF_WS_NO_CODE};
	if (length == 0)
		return;
	if (length == 1)
	{
		broken(frame, FF_WS_PROTOCOL);
		return;
	}
	code = (unsigned char) data[0] << 8 | (unsigned char) data[1];
	if (!may_be_sent(code))
		broken(frame, FF_WS_PROTOCOL);
	else if (!ff_http_is_utf8(data + 2, length - 2))
		broken(frame, FF_WS_NOT_TEXT);
	else
		frame->code = code;
}

static void
take_control(FfFrame *frame, int opcode, const char *data, size_t length)
{
	if (opcode == CLOSE)
		take_close(frame, data, length);
	else
		*frame = (FfFrame){
			.kind = opcode == PING ? FF_FRAME_PING : FF_FRAME_PONG, .data = data, .length = length};
}

/* One piece of a message. The frame stays as it is when more pieces are to come. */
static void
take_piece(FfFrames *frames, FfFrame *frame, int opcode, bool is_last, const char *data,
		   size_t length)
{
	if ((opcode == CONTINUATION) != (frames->opcode != 0))
	{
		broken(frame, FF_WS_PROTOCOL);
		return;
	}
	if (opcode != CONTINUATION)
		frames->opcode = opcode;
	ff_buffer_add(&frames->message, data, length);
	if (!is_last)
		return;
	frame->kind = frames->opcode == TEXT ? FF_FRAME_TEXT : FF_FRAME_BINARY;
	frame->length = ff_buffer_length(&frames->message);
	frame->data = frame->length > 0 ? ff_buffer_at(&frames->message) : "";
	frames->opcode = 0;
	frames->is_told = true;
	if (frame->kind == FF_FRAME_TEXT && !ff_http_is_utf8(frame->data, frame->length))
		broken(frame, FF_WS_NOT_TEXT);
}

static void
unmask(char *data, size_t length, const unsigned char mask[MASK_BYTES])
{
	for (size_t at = 0; at < length; at++)
		data[at] = (char) ((unsigned char) data[at] ^ mask[at % MASK_BYTES]);
}

/* The head of a frame. */
typedef struct Head
{
	int			  opcode;
	bool		  is_last;
	uint64_t	  length;
	size_t		  size; /* of the head itself */
	unsigned char mask[MASK_BYTES];
} Head;

/* What the first two bytes tell to be wrong; 0: nothing. */
static int
judge(unsigned char first, unsigned char second)
{
	int	 opcode = first & 0x0F;
	bool is_control = opcode >= CLOSE;

	if ((first & 0x70) != 0 || (second & 0x80) == 0)
		return FF_WS_PROTOCOL;
	if (opcode > (is_control ? PONG : BINARY))
		return FF_WS_PROTOCOL;
	if (is_control && ((first & 0x80) == 0 || (second & 0x7F) > MOST_OF_CONTROL))
		return FF_WS_PROTOCOL;
	return 0;
}

/* Reads the head as far as it is there. Gives 1 when it is whole, 0 when it is not yet, or the code
 * (> 1) to end with. */
static int
read_head(const unsigned char *data, size_t length, Head *head)
{
	size_t extra;
	int	   problem = length >= 2 ? judge(data[0], data[1]) : 0;

	if (length < 2 || problem != 0)
		return problem;
	head->opcode = data[0] & 0x0F;
	head->is_last = (data[0] & 0x80) != 0;
	head->length = data[1] & 0x7F;
	extra = head->length == SHORT_LENGTH ? 2 : head->length == LONG_LENGTH ? 8 : 0;
	head->size = 2 + extra + MASK_BYTES;
	if (length < head->size)
		return 0;
	if (extra > 0)
	{
		head->length = 0;
		for (size_t at = 0; at < extra; at++)
			head->length = head->length << 8 | data[2 + at];
		if (head->length < SHORT_LENGTH || (extra == 8 && head->length <= 0xFFFF) ||
			head->length >> 63 != 0)
			return FF_WS_PROTOCOL;
	}
	memcpy(head->mask, data + 2 + extra, MASK_BYTES);
	return 1;
}

/* Takes one frame. False: there is nothing more to take, or `frame` says something. */
static bool
take_frame(FfFrames *frames, FfFrame *frame)
{
	Head  head;
	int	  state;
	char *data;

	if (ff_buffer_length(&frames->in) == 0)
		return false;
	state = read_head((const unsigned char *) ff_buffer_at(&frames->in),
					  ff_buffer_length(&frames->in), &head);
	if (state > 1)
		broken(frame, state);
	if (state != 1)
		return false;
	if (head.length > FF_WEBSOCKET_MESSAGE_SIZE - ff_buffer_length(&frames->message))
	{
		broken(frame, FF_WS_TOO_BIG);
		return false;
	}
	if (ff_buffer_length(&frames->in) - head.size < head.length)
		return false;
	data = ff_buffer_at(&frames->in) + head.size;
	unmask(data, (size_t) head.length, head.mask);
	if (head.opcode >= CLOSE)
		take_control(frame, head.opcode, data, (size_t) head.length);
	else
		take_piece(frames, frame, head.opcode, head.is_last, data, (size_t) head.length);
	frames->in.start += head.size + (size_t) head.length; /* its bytes stay for whoever is told */
	return frame->kind == FF_FRAME_NONE;
}

void
ff_frames_feed(FfFrames *frames, const char *bytes, size_t length)
{
	ff_buffer_add(&frames->in, bytes, length);
}

void
ff_frames_next(FfFrames *frames, FfFrame *frame)
{
	*frame = (FfFrame){.kind = FF_FRAME_NONE};
	if (frames->is_told)
		ff_buffer_free(&frames->message);
	frames->is_told = false;
	while (take_frame(frames, frame))
		;
	if (frame->kind == FF_FRAME_NONE && ff_buffer_length(&frames->in) == 0)
		ff_buffer_free(&frames->in); /* most clients have nothing to say: they cost nothing */
}

void
ff_frames_free(FfFrames *frames)
{
	ff_buffer_free(&frames->in);
	ff_buffer_free(&frames->message);
}

/* ---- what is sent ---- */

/* The head of a frame: of a server, so without a mask. */
static void
add_head(FfBuffer *out, Opcode opcode, size_t length)
{
	unsigned char head[10] = {(unsigned char) (0x80 | opcode)};
	size_t		  size = length < SHORT_LENGTH ? 2 : length <= 0xFFFF ? 4 : 10;

	head[1] = (unsigned char) (size == 2 ? length : size == 4 ? SHORT_LENGTH : LONG_LENGTH);
	for (size_t at = size - 1; at >= 2; at--)
	{
		head[at] = (unsigned char) (length & 0xFF);
		length >>= 8;
	}
	ff_buffer_add(out, head, size);
}

void
ff_frame_text(FfBuffer *out, const char *text, size_t length)
{
	add_head(out, TEXT, length);
	ff_buffer_add(out, text, length);
}

void
ff_frame_ping(FfBuffer *out)
{
	add_head(out, PING, 0);
}

void
ff_frame_pong(FfBuffer *out, const char *data, size_t length)
{
	add_head(out, PONG, length);
	ff_buffer_add(out, data, length);
}

void
ff_frame_close(FfBuffer *out, int code, const char *reason)
{
	unsigned char number[2] = {(unsigned char) (code >> 8), (unsigned char) code};
	size_t		  length = strlen(reason);

	if (length > MOST_OF_CONTROL - sizeof(number))
		length = MOST_OF_CONTROL - sizeof(number);
	if (code == FF_WS_NO_CODE)
	{
		add_head(out, CLOSE, 0);
		return;
	}
	add_head(out, CLOSE, sizeof(number) + length);
	ff_buffer_add(out, number, sizeof(number));
	ff_buffer_add(out, reason, length);
}

static void
add_event(FfBuffer *out, const char *name, const char *data, size_t length)
{
	static const char member[] = "{\"subscription\":";
	size_t			  inside = name != NULL && length > 2 && data[0] == '{' ? length - 1 : 0;

	if (inside == 0)
	{
		ff_frame_text(out, data, length);
		return;
	}
	add_head(out, TEXT, strlen(member) + strlen(name) + 1 + inside);
	ff_buffer_text(out, member);
	ff_buffer_text(out, name);
	ff_buffer_text(out, ",");
	ff_buffer_add(out, data + 1, inside);
}

void
ff_frame_events(FfBuffer *out, const char *name, const char *stream, size_t length)
{
	const char *stop = stream + length;

	while (stream < stop)
	{
		const char *end = memchr(stream, '\n', (size_t) (stop - stream));

		if (end == NULL)
			end = stop;
		if (end - stream >= 6 && memcmp(stream, "data: ", 6) == 0)
			add_event(out, name, stream + 6, (size_t) (end - stream - 6));
		stream = end + 1;
	}
}
