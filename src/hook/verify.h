/*
 * verify.h - who sent a webhook: the schemes by which senders prove it.
 */
#ifndef FF_HOOK_VERIFY_H
#define FF_HOOK_VERIFY_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/timestamp.h"

typedef struct FfHookCheck
{
	const char	*scheme; /* standard, github, stripe, hmac, header or none */
	const char **secrets;
	int			 secret_count; /* any of them will do: secrets are rotated */
	const char	*header;	   /* of the schemes hmac and header, lower case */
	Jsonb		*headers;	   /* of the request, names in lower case */
	const char	*body;		   /* as it came */
	size_t		 length;
	int64		 tolerance; /* seconds a signed time may be off */
	int64		 now;		/* seconds since 1970 */
} FfHookCheck;

/* What is wrong with the request, or NULL; what was signed is compared in constant time. */
extern const char *ff_hook_problem(const FfHookCheck *check);

/* What is wrong with a secret of a scheme, or NULL. */
extern const char *ff_hook_secret_problem(const char *scheme, const char *secret);

#endif
