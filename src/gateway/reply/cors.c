/*
 * Cross-origin requests, by a list of origins. Credentials come in headers that scripts set, never
 * in cookies, so none are allowed along.
 */
#define _GNU_SOURCE
#include "reply/cors.h"

#include <stddef.h>
#include <string.h>

static const char *const *allowed;
static int				  allowed_count;

bool
ff_cors_is_origin(const char *text)
{
	static const char scheme_letters[] = "abcdefghijklmnopqrstuvwxyz0123456789+-.";
	static const char host_letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-._[]:";
	size_t			  scheme = strspn(text, scheme_letters);
	const char		 *host = text + scheme + 3;

	if (strcmp(text, "*") == 0)
		return true;
	return scheme > 0 && strncmp(text + scheme, "://", 3) == 0 && *host != '\0' &&
		   strspn(host, host_letters) == strlen(host);
}

void
ff_cors_open(const char *const *origins, int count)
{
	allowed = origins;
	allowed_count = count;
}

bool
ff_cors_is_open(void)
{
	return allowed_count > 0;
}

const char *
ff_cors_allowed(const char *origin)
{
	for (int at = 0; origin != NULL && at < allowed_count; at++)
	{
		if (strcmp(allowed[at], "*") == 0 || strcmp(allowed[at], origin) == 0)
			return allowed[at];
	}
	return NULL;
}
