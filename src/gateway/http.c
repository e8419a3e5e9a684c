/*
 * http.c - strict HTTP/1.1 heads and chunked bodies (see http.h).
 *
 * Lines end in CR LF, nothing else; a name is a token directly before its colon; values hold no control characters; a length is digits
 * and is said once; a body is framed in one way only. What is not so is refused, never repaired.
 */
#define _GNU_SOURCE
#include "http.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#define CHUNK_LINE_LIMIT 128

size_t
ff_http_head_length(const char *data, size_t length)
{
	const char *end = memmem(data, length, "\r\n\r\n", 4);

	return end == NULL ? 0 : (size_t) (end - data) + 4;
}

static bool
token_character(unsigned char c)
{
	return isalnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* Cuts the next line off; NULL when a CR or LF stands alone in it or it holds a NUL. */
static char *
next_line(char **rest, char *end)
{
	char	   *line = *rest;
	char	   *stop = memmem(line, (size_t) (end - line), "\r\n", 2);

	if (stop == NULL || memchr(line, '\r', (size_t) (stop - line)) || memchr(line, '\n', (size_t) (stop - line)) ||
		memchr(line, '\0', (size_t) (stop - line)))
		return NULL;
	*stop = '\0';
	*rest = stop + 2;
	return line;
}

static int
refuse(int status, const char *why, const char **reason)
{
	*reason = why;
	return status;
}

static int
parse_request_line(char *line, FfHead *head, const char **reason)
{
	char	   *target = strchr(line, ' ');
	char	   *version = target ? strchr(target + 1, ' ') : NULL;

	if (target == NULL || version == NULL || strchr(version + 1, ' ') != NULL || target == line)
		return refuse(400, "the request line is malformed", reason);
	*target++ = *version++ = '\0';
	for (const char *c = line; *c != '\0'; c++)
	{
		if (!token_character((unsigned char) *c))
			return refuse(400, "the method is malformed", reason);
	}
	for (const char *c = target; *c != '\0'; c++)
	{
		if ((unsigned char) *c <= 0x20 || (unsigned char) *c == 0x7f)
			return refuse(400, "the target holds control characters", reason);
	}
	if (*target != '/' || strchr(target, '#') != NULL)
		return refuse(400, "the target is not a path", reason);
	if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
		return refuse(strncmp(version, "HTTP/", 5) == 0 ? 505 : 400, "only HTTP/1.1 and 1.0 are spoken here", reason);
	head->keep_alive = version[7] == '1';
	head->method = line;
	head->path = target;
	head->query = strchr(target, '?');
	if (head->query != NULL)
		*head->query++ = '\0';
	else
		head->query = target + strlen(target);
	return 0;
}

static int
parse_header(char *line, FfHead *head, const char **reason)
{
	char	   *colon = strchr(line, ':');
	FfHeader   *header = &head->headers[head->count];
	char	   *end;

	if (head->count == FF_HEADERS_LIMIT)
		return refuse(431, "too many headers", reason);
	if (colon == NULL || colon == line)
		return refuse(400, "a header has no name", reason);
	for (char *c = line; c < colon; c++)
	{
		if (!token_character((unsigned char) *c))
			return refuse(400, "a header's name is malformed", reason);
		*c = (char) tolower((unsigned char) *c);
	}
	*colon++ = '\0';
	colon += strspn(colon, " \t");
	for (end = colon + strlen(colon); end > colon && (end[-1] == ' ' || end[-1] == '\t'); end--)
		end[-1] = '\0';
	for (const char *c = colon; *c != '\0'; c++)
	{
		if (((unsigned char) *c < 0x20 && *c != '\t') || (unsigned char) *c == 0x7f)
			return refuse(400, "a header's value holds control characters", reason);
	}
	header->name = line;
	header->value = colon;
	head->count++;
	return 0;
}

static bool
read_length(const char *text, size_t *length)
{
	*length = 0;
	if (*text == '\0' || strlen(text) > 18)
		return false;
	for (; *text != '\0'; text++)
	{
		if (*text < '0' || *text > '9')
			return false;
		*length = *length * 10 + (size_t) (*text - '0');
	}
	return true;
}

static bool
has_word(const char *list, const char *word)
{
	size_t		length = strlen(word);

	for (const char *at = list; *at != '\0'; at += strcspn(at, ","), at += strspn(at, ", \t"))
	{
		if (strncasecmp(at, word, length) == 0 && (at[length] == '\0' || strchr(", \t", at[length]) != NULL))
			return true;
	}
	return false;
}

const char *
ff_http_header(const FfHead *head, const char *name)
{
	for (int i = 0; i < head->count; i++)
	{
		if (strcmp(head->headers[i].name, name) == 0)
			return head->headers[i].value;
	}
	return NULL;
}

/* What the headers say of the body and of the connection. */
static int
interpret(FfHead *head, size_t body_limit, const char **reason)
{
	int			hosts = 0;
	int			lengths = 0;
	int			codings = 0;
	const char *connection = ff_http_header(head, "connection");
	const char *expect = ff_http_header(head, "expect");

	for (int i = 0; i < head->count; i++)
	{
		const FfHeader *header = &head->headers[i];

		hosts += strcmp(header->name, "host") == 0;
		if (strcmp(header->name, "content-length") == 0)
		{
			if (++lengths > 1 || !read_length(header->value, &head->content_length))
				return refuse(400, "Content-Length is not one number", reason);
		}
		if (strcmp(header->name, "transfer-encoding") == 0)
		{
			if (++codings > 1 || strcasecmp(header->value, "chunked") != 0)
				return refuse(501, "the only transfer coding is chunked", reason);
			head->chunked = true;
		}
	}
	if (hosts > 1 || (hosts == 0 && head->keep_alive))
		return refuse(400, "exactly one Host is needed", reason);
	if (head->chunked && (lengths > 0 || !head->keep_alive))
		return refuse(400, "the body's length is said in two ways", reason);
	if (head->content_length > body_limit)
		return refuse(413, "the body is too large", reason);
	if (connection != NULL && has_word(connection, "close"))
		head->keep_alive = false;
	if (expect != NULL && strcasecmp(expect, "100-continue") != 0)
		return refuse(417, "only 100-continue can be expected", reason);
	head->expects_continue = expect != NULL;
	return 0;
}

int
ff_http_parse(char *data, size_t length, size_t body_limit, FfHead *head, const char **reason)
{
	char	   *rest = data;
	char	   *end = data + length;
	char	   *line = next_line(&rest, end);
	int			status;

	memset(head, 0, sizeof(*head));
	if (line == NULL)
		return refuse(400, "a line does not end in CR LF", reason);
	status = parse_request_line(line, head, reason);
	while (status == 0)
	{
		line = next_line(&rest, end);
		if (line == NULL)
			return refuse(400, "a line does not end in CR LF", reason);
		if (*line == '\0')
			break;
		if (*line == ' ' || *line == '\t')
			return refuse(400, "a header is folded", reason);
		status = parse_header(line, head, reason);
	}
	return status != 0 ? status : interpret(head, body_limit, reason);
}

/* The size of a chunk from its line (extensions are passed over); false when it is not hexadecimal. */
static bool
chunk_size(const char *line, size_t length, size_t *size)
{
	size_t		digits = 0;

	*size = 0;
	for (; digits < length && isxdigit((unsigned char) line[digits]); digits++)
	{
		char		c = line[digits];

		if (digits >= 8)
			return false;
		*size = *size * 16 + (size_t) (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
	}
	if (digits == 0 || (digits < length && line[digits] != ';'))
		return false;
	return memchr(line, '\r', length) == NULL && memchr(line, '\n', length) == NULL && memchr(line, '\0', length) == NULL;
}

bool
ff_http_unchunk(FfChunks *chunks, char *data, size_t length, size_t limit, bool *too_large)
{
	*too_large = false;
	while (!chunks->done)
	{
		char	   *line = data + chunks->in;
		size_t		left = length - chunks->in;
		char	   *end = memmem(line, left < CHUNK_LINE_LIMIT ? left : CHUNK_LINE_LIMIT, "\r\n", 2);
		size_t		size;
		size_t		head;

		if (end == NULL)
			return left < CHUNK_LINE_LIMIT;
		if (!chunk_size(line, (size_t) (end - line), &size))
			return false;
		if (size > limit || chunks->out + size > limit)
		{
			*too_large = true;
			return false;
		}
		head = (size_t) (end - line) + 2;
		if (left < head + size + 2)
			return true;
		/* Trailers are not taken: after the last chunk comes the empty line. */
		if (memcmp(line + head + size, "\r\n", 2) != 0)
			return false;
		memmove(data + chunks->out, line + head, size);
		chunks->out += size;
		chunks->in += head + size + 2;
		chunks->done = size == 0;
	}
	return true;
}

bool
ff_utf8_valid(const char *text, size_t length)
{
	const unsigned char *s = (const unsigned char *) text;

	for (size_t i = 0; i < length;)
	{
		unsigned char c = s[i];
		size_t		more = c < 0x80 ? 0 : c < 0xc2 ? 4 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : c < 0xf5 ? 3 : 4;

		if (more == 4 || i + more >= length)
			return false;
		for (size_t k = 1; k <= more; k++)
		{
			if ((s[i + k] & 0xc0) != 0x80)
				return false;
		}
		if ((c == 0xe0 && s[i + 1] < 0xa0) || (c == 0xed && s[i + 1] > 0x9f) || (c == 0xf0 && s[i + 1] < 0x90) ||
			(c == 0xf4 && s[i + 1] > 0x8f))
			return false;
		i += more + 1;
	}
	return true;
}
