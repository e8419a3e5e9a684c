/*
 * Throws bytes at the HTTP parser of the gateway and checks what it promises: no byte outside is
 * touched (ASan, UBSan), what was accepted has the shape that was asked for, and neither head nor
 * chunked body depends on how the bytes were cut into pieces.
 *
 * Usage: http_head SECONDS [SEED]. Build with http.c and http_body.c of src/gateway/wire and
 * -fsanitize=address,undefined.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wire/http.h"

#define LARGEST 20000

static const char *const heads[] = {
	"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	"POST /e/key?a=b HTTP/1.1\r\nHost: localhost:8288\r\nContent-Length: 12\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n\r\n",
	"PUT http://host/path HTTP/1.0\r\nConnection: keep-alive, x\r\nX-Inngest-Signature: t=1&s=2\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\nHost:\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
};
static const char *const bodies[] = {
	"5\r\nhello\r\n0\r\n\r\n",
	"1;a=b\r\nx\r\nA\r\n0123456789\r\n00\r\nA: b\r\n\r\n",
	"0\r\n\r\n",
};
static const char *const words[] = {
	"\r\n",
	"\n",
	"\r",
	":",
	" ",
	"\t",
	"Content-Length: 1\r\n",
	"Transfer-Encoding: chunked\r\n",
	"Host: y\r\n",
	"\r\n\r\n",
	"http://",
	"\xc3\xa9",
	"\xff",
	"ffffffff",
	"0\r\n",
	";",
	"99999999999999999999",
	"HTTP/1.1",
	"?",
	"#",
};

static uint64_t state;

/* splitmix64. */
static uint64_t
draw(uint64_t below)
{
	uint64_t z = (state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (z ^ (z >> 31)) % below;
}

static void
require(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "broken promise: %s\n", what);
	abort();
}

/* Changes, adds, removes or repeats a few bytes. */
static size_t
mutate(char *data, size_t length)
{
	for (uint64_t times = draw(6); times > 0; times--)
	{
		size_t		at = draw(length + 1);
		const char *word = words[draw(sizeof(words) / sizeof(words[0]))];
		size_t		size = strlen(word);

		if (draw(3) == 0 && at < length)
			data[at] = (char) draw(256);
		else if (draw(3) == 0 && at < length)
		{
			size = draw(length - at) + 1;
			memmove(data + at, data + at + size, length - at - size);
			length -= size;
		}
		else if (length + size < LARGEST)
		{
			memmove(data + at + size, data + at, length - at);
			memcpy(data + at, word, size);
			length += size;
		}
	}
	return length;
}

static void
check_head(const FfHttpHead *head)
{
	require(head->path[0] == '/' || strcmp(head->path, "*") == 0, "a path begins with a slash");
	require(head->length >= 0 && head->length <= FF_HTTP_BODY_SIZE, "a length is bounded");
	require(!(head->chunked && ff_http_header(head, "content-length") != NULL),
			"never chunks and a length");
	require(head->is_http10 || ff_http_header(head, "host") != NULL, "HTTP/1.1 has a host");
	require(head->header_count <= FF_HTTP_HEADERS, "headers are bounded");
	for (int at = 0; at < head->header_count; at++)
	{
		require(strpbrk(head->header[at].name, " :\r\n") == NULL, "names are tokens");
		require(strpbrk(head->header[at].value, "\r\n") == NULL, "values are one line");
		require(ff_http_is_utf8(head->header[at].value, strlen(head->header[at].value)),
				"values are UTF-8");
	}
}

/* In one piece and byte by byte the same end is found; what is accepted keeps its promises. The
 * copy has no byte to spare. */
static void
try_head(const char *data, size_t length)
{
	size_t	   seen = 0;
	size_t	   seen_slowly = 0;
	int		   end = ff_http_head_end(data, length, &seen);
	int		   end_slowly = 0;
	FfHttpHead head;
	char	  *copy;

	for (size_t at = 1; at <= length && end_slowly == 0; at++)
		end_slowly = ff_http_head_end(data, at, &seen_slowly);
	require(end == end_slowly, "the end of a head does not depend on pieces");
	if (end <= 0)
		return;
	copy = malloc((size_t) end);
	memcpy(copy, data, (size_t) end);
	if (ff_http_head_parse(copy, (size_t) end, &head) == 0)
		check_head(&head);
	free(copy);
}

/* Decodes with pieces of at most `most` bytes, each in memory of its own. Gives the content's
 * length, or -1. */
static long
decode(const char *data, size_t length, size_t most, uint32_t *sum)
{
	FfHttpChunks chunks = {0};
	long		 content = 0;
	size_t		 at = 0;

	*sum = 0;
	while (at < length && !chunks.done)
	{
		size_t		size = length - at < most ? length - at : most;
		char	   *part = malloc(size);
		const char *piece;
		size_t		piece_length;
		long		used;

		memcpy(part, data + at, size);
		used = ff_http_chunks(&chunks, part, size, &piece, &piece_length);
		for (size_t byte = 0; byte < piece_length; byte++)
			*sum = *sum * 31 + (unsigned char) piece[byte];
		free(part);
		if (used < 0)
			return -1;
		require(used > 0 && (size_t) used <= size, "the reader goes on");
		at += (size_t) used;
		content += (long) piece_length;
	}
	return content;
}

static void
try_body(const char *data, size_t length)
{
	uint32_t sum;
	uint32_t sum_slowly;
	long	 whole = decode(data, length, LARGEST, &sum);
	long	 slowly = decode(data, length, 1 + draw(7), &sum_slowly);

	require(whole == slowly && (whole < 0 || sum == sum_slowly),
			"a body does not depend on pieces");
}

int
main(int argc, char **argv)
{
	static char data[LARGEST + 64];
	time_t		stop = time(NULL) + (argc > 1 ? atol(argv[1]) : 10);
	uint64_t	inputs = 0;

	state = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t) time(NULL);
	printf("seed %llu\n", (unsigned long long) state);
	for (; (inputs & 1023) != 0 || time(NULL) < stop; inputs += 2)
	{
		const char *head = heads[draw(sizeof(heads) / sizeof(heads[0]))];
		const char *body = bodies[draw(sizeof(bodies) / sizeof(bodies[0]))];

		memcpy(data, head, strlen(head));
		try_head(data, mutate(data, strlen(head)));
		memcpy(data, body, strlen(body));
		try_body(data, mutate(data, strlen(body)));
	}
	printf("%llu inputs, all as promised\n", (unsigned long long) inputs);
	return 0;
}
