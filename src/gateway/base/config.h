/*
 * What the gateway is told at its start.
 */
#ifndef FF_CONFIG_H
#define FF_CONFIG_H

#include <stdbool.h>

/* How long clients and the database may take, in milliseconds. */
typedef struct FfDeadlines
{
	int idle;	   /* a connection between requests */
	int head;	   /* the head of a request, from its first byte */
	int body;	   /* its body, from the end of the head */
	int statement; /* the database's work on it */
	int write;	   /* the client's taking of an answer or of news: without a byte taken */
} FfDeadlines;

#define FF_DEADLINES                                                                    \
	{                                                                                   \
		.idle = 60000, .head = 10000, .body = 30000, .statement = 30000, .write = 30000 \
	}

typedef struct FfConfig
{
	const char		  *host;			/* address to listen on; NULL: 127.0.0.1 */
	int				   port;			/* 0: any free one (told in the log) */
	const char		  *database_url;	/* libpq connection string or URL */
	bool			   quiet;			/* no line per request */
	const char		  *tls_certificate; /* a file, and that of its key; NULL: plain HTTP */
	const char		  *tls_key;
	const char		  *static_directory; /* of files to answer; NULL: none */
	const char		  *static_prefix;	 /* below which, without a slash at its end */
	const char *const *origins;			 /* whose pages may use the API from browsers */
	int				   origin_count;
	FfDeadlines		   deadlines;
	int ready_fd; /* one byte is written here when requests are accepted, then it is closed; <= 0:
					 none */
} FfConfig;

#endif
