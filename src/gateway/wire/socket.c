/*
 * A client's WebSocket (see socket.h).
 */
#define _GNU_SOURCE
#include "wire/socket.h"

#include <stdlib.h>
#include <string.h>

#include "base/loop.h"

#define PROTOCOL "flowforge"
#define PING_MS 30000

struct FfSocket
{
	FfFrames frames;
	char	 accept[FF_WEBSOCKET_ACCEPT_SIZE];
	bool	 speaks; /* the client named the protocol, and must be answered with its name */
	int64_t	 heard_at;
	int64_t	 pinged_at;
};

/* ---- the beginning ---- */

/* The next word of a comma separated list; NULL after the last. */
static const char *
next_word(const char **list, size_t *length)
{
	const char *word = *list + strspn(*list, " \t,");

	*length = strcspn(word, " \t,");
	*list = word + *length;
	return *length > 0 ? word : NULL;
}

static bool
names_protocol(const FfHttpHead *head)
{
	const char *list = ff_http_header(head, "sec-websocket-protocol");
	const char *word;
	size_t		length;

	while (list != NULL && (word = next_word(&list, &length)) != NULL)
	{
		if (length == strlen(PROTOCOL) && memcmp(word, PROTOCOL, length) == 0)
			return true;
	}
	return false;
}

int
ff_socket_asked(const FfHttpHead *head, FfSocket **socket)
{
	char accept[FF_WEBSOCKET_ACCEPT_SIZE];
	int	 status = ff_websocket_asked(head, accept);

	*socket = status == 101 ? calloc(1, sizeof(FfSocket)) : NULL;
	if (status != 101)
		return status;
	if (*socket == NULL)
		abort();
	memcpy((*socket)->accept, accept, sizeof(accept));
	(*socket)->speaks = names_protocol(head);
	(*socket)->heard_at = (*socket)->pinged_at = ff_loop_now();
	return status;
}

void
ff_socket_free(FfSocket *socket)
{
	if (socket == NULL)
		return;
	ff_frames_free(&socket->frames);
	free(socket);
}

const char *
ff_socket_credential(const FfHttpHead *head, FfBuffer *value)
{
	static const struct
	{
		const char *prefix;
		const char *header;
		const char *scheme;
	} kinds[] = {{"bearer.", "authorization", "Bearer "}, {"ticket.", "x-flowforge-ticket", ""}};
	const char *list = ff_http_header(head, "sec-websocket-protocol");
	const char *word;
	size_t		length;

	while (list != NULL && (word = next_word(&list, &length)) != NULL)
	{
		for (size_t at = 0; at < sizeof(kinds) / sizeof(kinds[0]); at++)
		{
			size_t prefix = strlen(kinds[at].prefix);

			if (length <= prefix || memcmp(word, kinds[at].prefix, prefix) != 0 ||
				ff_http_header(head, kinds[at].header) != NULL)
				continue;
			ff_buffer_format(value, "%s%.*s", kinds[at].scheme, (int) (length - prefix),
							 word + prefix);
			ff_buffer_add(value, "", 1);
			return kinds[at].header;
		}
	}
	return NULL;
}

void
ff_socket_welcome(const FfSocket *socket, FfBuffer *out, const char *request_id)
{
	ff_buffer_format(out,
					 "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: "
					 "Upgrade\r\nsec-websocket-accept: %s\r\n%sx-request-id: %s\r\n\r\n",
					 socket->accept,
					 socket->speaks ? "sec-websocket-protocol: " PROTOCOL "\r\n" : "", request_id);
}

int
ff_socket_refusal(int status)
{
	switch (status)
	{
		case 401:
			return FF_WS_UNAUTHORIZED;
		case 403:
			return FF_WS_FORBIDDEN;
		case 404:
			return FF_WS_NOT_FOUND;
		default:
			return 0;
	}
}

/* ---- what the client says ---- */

void
ff_socket_feed(FfSocket *socket, const char *bytes, size_t length)
{
	socket->heard_at = ff_loop_now();
	ff_frames_feed(&socket->frames, bytes, length);
}

int
ff_socket_hear(FfSocket *socket, FfFrame *message, FfBuffer *out)
{
	for (;;)
	{
		ff_frames_next(&socket->frames, message);
		switch (message->kind)
		{
			case FF_FRAME_NONE:
			case FF_FRAME_TEXT:
			case FF_FRAME_BINARY:
				return 0;
			case FF_FRAME_CLOSE:
			case FF_FRAME_BROKEN:
				return message->code;
			case FF_FRAME_PING:
				ff_frame_pong(out, message->data, message->length);
				break;
			case FF_FRAME_PONG:
				break;
		}
	}
}

void
ff_socket_listens(FfSocket *socket)
{
	socket->heard_at = ff_loop_now();
}

bool
ff_socket_tend(FfSocket *socket, FfBuffer *out, int silence)
{
	int64_t now = ff_loop_now();
	int		every = silence / 2 < PING_MS ? silence / 2 : PING_MS;

	if (now - socket->heard_at > 2 * every + every / 2)
		return false;
	if (now - socket->pinged_at >= every && ff_buffer_length(out) == 0)
	{
		socket->pinged_at = now;
		ff_frame_ping(out);
	}
	return true;
}
