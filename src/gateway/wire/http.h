/*
 * HTTP/1.1 as bytes: request heads, chunked bodies (RFC 9112), strict. No input or output happens
 * here.
 *
 * What is doubtful is refused, never guessed: two lengths, a length with chunks, folded lines, a
 * space before a colon, bare CR or LF, NUL. So no proxy in front can read a request differently
 * than we do.
 */
#ifndef FF_HTTP_H
#define FF_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FF_HTTP_HEAD_SIZE 16384
#define FF_HTTP_HEADERS 64
#define FF_HTTP_BODY_SIZE (4 * 1024 * 1024)

/* name is lower case. Both point into the head. */
typedef struct FfHttpHeader
{
	const char *name;
	const char *value;
} FfHttpHeader;

/* A parsed head; all texts end with NUL and point into the bytes that were parsed. */
typedef struct FfHttpHead
{
	const char	*method;
	const char	*path;	/* begins with "/", or is "*"; still percent-encoded */
	const char	*query; /* without the "?", "" when there is none */
	FfHttpHeader header[FF_HTTP_HEADERS];
	int			 header_count;
	int64_t		 length; /* of the body; 0 when there is none or it is chunked */
	bool		 chunked;
	bool		 keep_alive;
	bool		 expects_continue;
	bool		 is_http10;
} FfHttpHead;

/*
 * Looks for the end of a head. *seen (0 at first) remembers how far earlier calls came. Gives the
 * length of the head with its empty line, 0 when it is not complete, or a negative HTTP status when
 * it never will be (-400, -431).
 */
extern int ff_http_head_end(const char *data, size_t length, size_t *seen);

/* Parses the `length` bytes of a complete head, changing them in place. Gives 0, or the HTTP status
 * to refuse it with. */
extern int ff_http_head_parse(char *data, size_t length, FfHttpHead *head);

/* True when a comma separated list (NULL: none) holds the word, in any case. */
extern bool ff_http_has_word(const char *list, const char *word);

/* The value of a header by its lower-case name, or NULL. */
extern const char *ff_http_header(const FfHttpHead *head, const char *name);

/* Whether a letter may be in the name of a method or field (RFC 9110 section 5.6.2). */
extern bool ff_http_is_token(unsigned char letter);

/* True when the bytes are well-formed UTF-8 (RFC 3629). */
extern bool ff_http_is_utf8(const char *text, size_t length);

/* A chunked body being read. Zeroed at first. */
typedef struct FfHttpChunks
{
	int		 state;
	uint64_t left;	 /* of the chunk */
	int		 digits; /* of its size */
	size_t	 line;	 /* bytes of this line, of all trailers together */
	bool	 done;
} FfHttpChunks;

/*
 * Reads on, up to the next piece of content or the end of the bytes. Gives the number of bytes
 * read, and the piece in *piece and *piece_length (0: none); or -400. Call again with the rest
 * until it is all read or chunks->done.
 */
extern long ff_http_chunks(FfHttpChunks *chunks, const char *data, size_t length,
						   const char **piece, size_t *piece_length);

/* The reason phrase of a status. */
extern const char *ff_http_reason(int status);

#endif
