/*
 * HTTP/1.1 as bytes (RFC 9110, RFC 9112). The head is first found whole, then cut into texts in
 * place; the chunk reader is a machine fed with whatever has arrived.
 */
#define _GNU_SOURCE
#include "wire/http.h"

#include <string.h>
#include <strings.h>

#define LARGEST_LENGTH 999999999999999LL

bool
ff_http_is_token(unsigned char letter)
{
	return (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'z') ||
		   (letter >= 'A' && letter <= 'Z') ||
		   (letter != '\0' && strchr("!#$%&'*+-.^_`|~", letter) != NULL);
}

int
ff_http_head_end(const char *data, size_t length, size_t *seen)
{
	for (size_t at = *seen; at < length && at < FF_HTTP_HEAD_SIZE; at++)
	{
		if (data[at] == '\0')
			return -400;
		if (data[at] == '\n' && (at == 0 || data[at - 1] != '\r'))
			return -400;
		if (at > 0 && data[at - 1] == '\r' && data[at] != '\n')
			return -400;
		if (data[at] == '\n' && at >= 3 && data[at - 2] == '\n')
			return (int) at + 1;
	}
	*seen = length;
	return length >= FF_HTTP_HEAD_SIZE ? -431 : 0;
}

/* Cuts off the next line, which ends with CRLF, and moves *data behind it. */
static char *
take_line(char **data)
{
	char *line = *data;
	char *end = strchr(line, '\r');

	*end = '\0';
	*data = end + 2;
	return line;
}

/* Of "http://host/path" only the path counts (RFC 9112 section 3.2.2). */
static char *
strip_authority(char *target)
{
	char *path;

	if (strncasecmp(target, "http://", 7) != 0 && strncasecmp(target, "https://", 8) != 0)
		return target;
	target = strstr(target, "//") + 2;
	path = target + strcspn(target, "/?");
	if (path == target || *path == '?')
		return NULL;
	return *path == '\0' ? strcpy(path - 1, "/") : path;
}

static int
parse_target(char *target, FfHttpHead *head)
{
	char *query;

	for (const char *at = target; *at != '\0'; at++)
	{
		if ((unsigned char) *at <= ' ' || *at == 0x7f || *at == '#')
			return 400;
	}
	if (!ff_http_is_utf8(target, strlen(target)))
		return 400;
	target = strip_authority(target);
	if (target == NULL ||
		(*target != '/' && !(strcmp(target, "*") == 0 && strcmp(head->method, "OPTIONS") == 0)))
		return 400;
	query = strchr(target, '?');
	if (query != NULL)
		*query++ = '\0';
	head->path = target;
	head->query = query != NULL ? query : "";
	return 0;
}

/* method SP target SP HTTP/1.x, exactly one space each. */
static int
parse_request_line(char *line, FfHttpHead *head)
{
	char *target = strchr(line, ' ');
	char *version = target != NULL ? strchr(target + 1, ' ') : NULL;

	if (version == NULL || target == line || target - line > 32)
		return 400;
	*target++ = '\0';
	*version++ = '\0';
	for (const char *at = line; *at != '\0'; at++)
	{
		if (!ff_http_is_token((unsigned char) *at))
			return 400;
	}
	head->method = line;
	head->is_http10 = strcmp(version, "HTTP/1.0") == 0;
	head->keep_alive = !head->is_http10;
	if (!head->is_http10 && strcmp(version, "HTTP/1.1") != 0)
		return strncmp(version, "HTTP/", 5) == 0 && strlen(version) == 8 ? 505 : 400;
	return parse_target(target, head);
}

/* Cuts one field line into name and value without the white space around it. A folded line begins
 * with no token, so it is refused. */
static int
parse_field(char *line, FfHttpHeader *header)
{
	char  *value = line;
	size_t length;

	for (; ff_http_is_token((unsigned char) *value); value++)
	{
		if (*value >= 'A' && *value <= 'Z')
			*value = (char) (*value + ('a' - 'A'));
	}
	if (value == line || *value != ':')
		return 400;
	*value++ = '\0';
	value += strspn(value, " \t");
	length = strlen(value);
	while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\t'))
		value[--length] = '\0';
	for (const char *at = value; *at != '\0'; at++)
	{
		if (((unsigned char) *at < ' ' && *at != '\t') || *at == 0x7f)
			return 400;
	}
	if (!ff_http_is_utf8(value, length))
		return 400;
	header->name = line;
	header->value = value;
	return 0;
}

/* Only digits: no sign, no list, no blank. */
static int
parse_length(const char *text, int64_t *length)
{
	*length = 0;
	if (*text == '\0')
		return 400;
	for (; *text != '\0'; text++)
	{
		if (*text < '0' || *text > '9' || *length > LARGEST_LENGTH / 10 - 1)
			return 400;
		*length = *length * 10 + (*text - '0');
	}
	return 0;
}

bool
ff_http_has_word(const char *list, const char *word)
{
	size_t length = strlen(word);

	while (list != NULL && *list != '\0')
	{
		size_t item;

		list += strspn(list, " \t,");
		item = strcspn(list, " \t,");
		if (item == length && strncasecmp(list, word, length) == 0)
			return true;
		list += item;
	}
	return false;
}

/* What the fields that frame the request say. Any of them given twice is refused. */
typedef struct Framing
{
	int hosts;
	int lengths;
	int codings;
	int others;
} Framing;

static int
read_framing(const FfHttpHeader *header, FfHttpHead *head, Framing *framing)
{
	const char *value = header->value;

	if (strcmp(header->name, "host") == 0)
		return framing->hosts++ > 0 || strpbrk(value, " \t,/") != NULL ? 400 : 0;
	if (strcmp(header->name, "content-length") == 0)
		return framing->lengths++ > 0 ? 400 : parse_length(value, &head->length);
	if (strcmp(header->name, "transfer-encoding") == 0)
	{
		head->chunked = true;
		if (framing->codings++ > 0 || head->is_http10)
			return 400;
		return strcasecmp(value, "chunked") == 0 ? 0 : 501;
	}
	if (strcmp(header->name, "authorization") == 0 && framing->others++ > 0)
		return 400;
	if (strcmp(header->name, "expect") == 0)
	{
		head->expects_continue = !head->is_http10;
		return strcasecmp(value, "100-continue") == 0 ? 0 : 417;
	}
	if (strcmp(header->name, "connection") == 0)
	{
		if (ff_http_has_word(value, "close"))
			head->keep_alive = false;
		else if (head->is_http10 && ff_http_has_word(value, "keep-alive"))
			head->keep_alive = true;
	}
	return 0;
}

int
ff_http_head_parse(char *data, size_t length, FfHttpHead *head)
{
	Framing framing = {0};
	char   *end = data + length - 2;
	int		status;

	memset(head, 0, sizeof(*head));
	status = parse_request_line(take_line(&data), head);
	while (status == 0 && data < end)
	{
		FfHttpHeader *header = &head->header[head->header_count];

		if (head->header_count == FF_HTTP_HEADERS)
			return 431;
		status = parse_field(take_line(&data), header);
		if (status == 0)
		{
			head->header_count++;
			status = read_framing(header, head, &framing);
		}
	}
	if (status != 0)
		return status;
	if (framing.hosts == 0 && !head->is_http10)
		return 400;
	if (head->chunked && framing.lengths > 0)
		return 400;
	return head->length > FF_HTTP_BODY_SIZE ? 413 : 0;
}

const char *
ff_http_header(const FfHttpHead *head, const char *name)
{
	for (int at = 0; at < head->header_count; at++)
	{
		if (strcmp(head->header[at].name, name) == 0)
			return head->header[at].value;
	}
	return NULL;
}
