/*
 * What the gateway is told at its start.
 */
#ifndef FF_CONFIG_H
#define FF_CONFIG_H

#include <stdbool.h>

typedef struct FfConfig
{
	const char *host;		  /* address to listen on; NULL: 127.0.0.1 */
	int			port;		  /* 0: any free one (told in the log) */
	const char *database_url; /* libpq connection string or URL */
	bool		quiet;		  /* no line per request */
	int ready_fd; /* one byte is written here when requests are accepted, then it is closed; <= 0:
					 none */
} FfConfig;

#endif
