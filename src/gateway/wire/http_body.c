/*
 * HTTP/1.1 bodies and texts: the chunk reader, UTF-8, reason phrases.
 *
 * The chunk reader goes size -> CR -> LF -> content -> CR -> LF -> size ..., and after the size 0
 * over the trailers, which are read and dropped, to the empty line. Size and extensions of a chunk,
 * and all trailers together, are bounded.
 */
#include "wire/http.h"

#include <string.h>

#define LONGEST_LINE 256
#define LONGEST_TRAILERS 4096
#define MOST_DIGITS 8

typedef enum ChunkState
{
	SIZE,
	EXTENSION,
	SIZE_LF,
	CONTENT,
	CONTENT_CR,
	CONTENT_LF,
	TRAILER_START,
	TRAILER_NAME,
	TRAILER,
	TRAILER_LF,
	END_LF
} ChunkState;

static int
hexadecimal(char letter)
{
	if (letter >= '0' && letter <= '9')
		return letter - '0';
	if (letter >= 'a' && letter <= 'f')
		return letter - 'a' + 10;
	if (letter >= 'A' && letter <= 'F')
		return letter - 'A' + 10;
	return -1;
}

static bool
is_text(char letter)
{
	return letter == '\t' || ((unsigned char) letter >= ' ' && letter != 0x7f);
}

/* The size of a chunk; a semicolon begins its extensions, which mean nothing to us. */
static bool
read_size(FfHttpChunks *chunks, char letter)
{
	int digit = hexadecimal(letter);

	if (digit >= 0 && chunks->digits < MOST_DIGITS)
	{
		chunks->left = chunks->left * 16 + (uint64_t) digit;
		chunks->digits++;
		return true;
	}
	if (digit >= 0 || chunks->digits == 0 || (letter != ';' && letter != '\r'))
		return false;
	chunks->state = letter == ';' ? EXTENSION : SIZE_LF;
	chunks->line = 0;
	return true;
}

/* One byte of a trailer line before its colon; only at its start may the line end instead. */
static bool
read_trailer_name(FfHttpChunks *chunks, char letter)
{
	bool is_start = chunks->state == TRAILER_START;

	if (++chunks->line > LONGEST_TRAILERS)
		return false;
	if (is_start && letter == '\r')
		chunks->state = END_LF;
	else if (!is_start && letter == ':')
		chunks->state = TRAILER;
	else
		chunks->state = TRAILER_NAME;
	return chunks->state != TRAILER_NAME || ff_http_is_token((unsigned char) letter);
}

static bool
read_trailer(FfHttpChunks *chunks, char letter)
{
	if (letter == '\r')
		chunks->state = TRAILER_LF;
	return ++chunks->line <= LONGEST_TRAILERS && (letter == '\r' || is_text(letter));
}

/* One byte that is no content. False: the body is malformed. */
static bool
read_byte(FfHttpChunks *chunks, char letter)
{
	switch ((ChunkState) chunks->state)
	{
		case SIZE:
			return read_size(chunks, letter);
		case EXTENSION:
			if (letter == '\r')
				chunks->state = SIZE_LF;
			return letter == '\r' || (is_text(letter) && ++chunks->line <= LONGEST_LINE);
		case SIZE_LF:
			chunks->state = chunks->left > 0 ? CONTENT : TRAILER_START;
			chunks->line = 0;
			return letter == '\n';
		case CONTENT_CR:
			chunks->state = CONTENT_LF;
			return letter == '\r';
		case CONTENT_LF:
			chunks->state = SIZE;
			chunks->digits = 0;
			return letter == '\n';
		case TRAILER_START:
		case TRAILER_NAME:
			return read_trailer_name(chunks, letter);
		case TRAILER:
			return read_trailer(chunks, letter);
		case TRAILER_LF:
			chunks->state = TRAILER_START;
			return letter == '\n';
		case END_LF:
			chunks->done = true;
			return letter == '\n';
		case CONTENT:
			break;
	}
	return false;
}

long
ff_http_chunks(FfHttpChunks *chunks, const char *data, size_t length, const char **piece,
			   size_t *piece_length)
{
	size_t at = 0;

	*piece = NULL;
	*piece_length = 0;
	while (at < length && !chunks->done && chunks->state != CONTENT)
	{
		if (!read_byte(chunks, data[at++]))
			return -400;
	}
	if (chunks->state != CONTENT || at == length)
		return (long) at;
	*piece = data + at;
	*piece_length = length - at < chunks->left ? length - at : (size_t) chunks->left;
	chunks->left -= *piece_length;
	if (chunks->left == 0)
		chunks->state = CONTENT_CR;
	return (long) (at + *piece_length);
}

/* Bytes that follow a first byte, with the range the second must be in: RFC 3629 section 4. */
static int
utf8_follow(unsigned char first, unsigned char *low, unsigned char *high)
{
	*low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
	*high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
	if (first < 0x80)
		return 0;
	if (first >= 0xc2 && first <= 0xdf)
		return 1;
	if (first >= 0xe0 && first <= 0xef)
		return 2;
	return first >= 0xf0 && first <= 0xf4 ? 3 : -1;
}

bool
ff_http_is_utf8(const char *text, size_t length)
{
	const unsigned char *at = (const unsigned char *) text;
	const unsigned char *end = at + length;

	while (at < end)
	{
		unsigned char low;
		unsigned char high;
		int			  follow = utf8_follow(*at++, &low, &high);

		if (follow < 0 || end - at < follow)
			return false;
		for (; follow > 0; follow--, at++)
		{
			if (*at < low || *at > high)
				return false;
			low = 0x80;
			high = 0xbf;
		}
	}
	return true;
}

const char *
ff_http_reason(int status)
{
	static const struct
	{
		int			status;
		const char *reason;
	} reasons[] = {
		{200, "OK"},
		{201, "Created"},
		{202, "Accepted"},
		{204, "No Content"},
		{206, "Partial Content"},
		{301, "Moved Permanently"},
		{302, "Found"},
		{303, "See Other"},
		{304, "Not Modified"},
		{307, "Temporary Redirect"},
		{308, "Permanent Redirect"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{406, "Not Acceptable"},
		{408, "Request Timeout"},
		{409, "Conflict"},
		{410, "Gone"},
		{412, "Precondition Failed"},
		{413, "Content Too Large"},
		{415, "Unsupported Media Type"},
		{417, "Expectation Failed"},
		{422, "Unprocessable Content"},
		{426, "Upgrade Required"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
		{505, "HTTP Version Not Supported"},
	};

	for (size_t at = 0; at < sizeof(reasons) / sizeof(reasons[0]); at++)
	{
		if (reasons[at].status == status)
			return reasons[at].reason;
	}
	return "Status";
}
