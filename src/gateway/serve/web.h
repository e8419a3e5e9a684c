/*
 * The options by which `serve` and `dev` are told what the gateway answers besides the API.
 */
#ifndef FF_WEB_H
#define FF_WEB_H

#include <stdbool.h>

#include "base/config.h"
#include "cli/cli.h"

typedef struct FfWeb
{
	const char *directory;
	const char *prefix;
	FfList		origins;
} FfWeb;

#define FF_WEB_OPTIONS(web)                                                                     \
	{0,                                                                                         \
	 "static",                                                                                  \
	 "DIR",                                                                                     \
	 "answer the files of a directory too (FLOWFORGE_STATIC)",                                  \
	 &(web).directory,                                                                          \
	 NULL,                                                                                      \
	 NULL},                                                                                     \
		{0,                                                                                     \
		 "static-prefix",                                                                       \
		 "PATH",                                                                                \
		 "below this path (FLOWFORGE_STATIC_PREFIX, default /ui; /: the root)",                 \
		 &(web).prefix,                                                                         \
		 NULL,                                                                                  \
		 NULL},                                                                                 \
	{                                                                                           \
		0, "cors-origin", "ORIGIN",                                                             \
			"let its pages use the API; may be repeated (FLOWFORGE_CORS_ORIGIN, *: any)", NULL, \
			NULL, &(web).origins                                                                \
	}

/* Completes the options from the environment and puts them into the configuration. False, and what
 * is wrong is said. */
extern bool ff_web_settle(const char *command, FfWeb *web, FfConfig *config);

#endif
