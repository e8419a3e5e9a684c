/*
 * http.h - HTTP/1.1 as the gateway accepts it: strictly (RFC 9112), so that no proxy in front can be made to disagree about where a
 * request ends.
 */
#ifndef FF_HTTP_H
#define FF_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#define FF_HEAD_LIMIT 16384
#define FF_HEADERS_LIMIT 64

typedef struct FfHeader
{
	char	   *name;			/* lower case */
	char	   *value;
} FfHeader;

/* A request's head. Everything points into the buffer it was parsed in, which the parser changes. */
typedef struct FfHead
{
	char	   *method;
	char	   *path;			/* still percent-encoded */
	char	   *query;			/* after the ?, or "" */
	FfHeader	headers[FF_HEADERS_LIMIT];
	int			count;
	bool		keep_alive;
	bool		chunked;
	bool		expects_continue;
	size_t		content_length;
} FfHead;

/* The length of the head at the start of the buffer, its empty line included; 0 while that has not come. */
extern size_t ff_http_head_length(const char *data, size_t length);

/* Parses a whole head. 0, or the status of the refusal (400, 413, 431, 501, 505) with the reason. */
extern int	ff_http_parse(char *data, size_t length, size_t body_limit, FfHead *head, const char **reason);

/* The value of a header, or NULL. */
extern const char *ff_http_header(const FfHead *head, const char *name);

/* Decodes chunks in place. */
typedef struct FfChunks
{
	size_t		in;				/* consumed of the buffer */
	size_t		out;			/* decoded, at the start of the buffer */
	bool		done;
} FfChunks;

/* Goes on decoding; false when the chunking is wrong or the body exceeds the limit (then *too_large). */
extern bool ff_http_unchunk(FfChunks *chunks, char *data, size_t length, size_t limit, bool *too_large);

extern bool ff_utf8_valid(const char *text, size_t length);

#endif
