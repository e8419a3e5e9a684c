/*
 * guard.h - whom the server may call: the one judge of every call that leaves it.
 *
 * What is judged is the address that is connected, after names have been resolved, on each redirect
 * again, and once more on a connection that is used again: the client asks from inside libcurl. So
 * nothing in this header that takes an FfRefusal allocates or raises.
 */
#ifndef FF_HTTP_GUARD_H
#define FF_HTTP_GUARD_H

#include "postgres.h"

#include "utils/guc.h"
#include "utils/jsonb.h"

#include "http/address.h"

/* Who has said where a call goes. */
typedef enum FfReach
{
	FF_REACH_OUTSIDE, /* whoever writes functions, workflows or data: public addresses only */
	FF_REACH_APP,	  /* who registers apps: private networks too, but no metadata of clouds */
	FF_REACH_SETTING  /* the server's settings: anywhere */
} FfReach;

typedef struct FfRefusal
{
	char message[640]; /* empty: not refused */
} FfRefusal;

/* What the settings allow, read. */
typedef struct FfAllowList FfAllowList;
typedef struct FfPortList  FfPortList;

typedef struct FfGuard
{
	const FfAllowList *allow;
	const FfPortList  *ports;
} FfGuard;

/* The server's: flowforge.outbound_allow and flowforge.outbound_ports. */
extern char	  *ff_outbound_allow;
extern char	  *ff_outbound_ports;
extern FfGuard ff_guard;

/* Of these settings. */
extern bool ff_guard_check_allow(char **value, void **extra, GucSource source);
extern void ff_guard_assign_allow(const char *value, void *extra);
extern bool ff_guard_check_ports(char **value, void **extra, GucSource source);
extern void ff_guard_assign_ports(const char *value, void *extra);

/* Whether a URL may be called as far as it says: its scheme, user, port, and its host if that is an
 * address. */
extern bool ff_guard_admits_url(const FfGuard *guard, FfReach reach, const char *url,
								FfRefusal *why);

/* Whether a connection to an address may be made, or used, for a host (NULL: not known). */
extern bool ff_guard_admits(const FfGuard *guard, FfReach reach, const char *host,
							const FfAddress *address, int port, FfRefusal *why);

/* The host of a URL, into `host`; false when it has none. */
extern bool ff_guard_host(const char *url, char *host, size_t size);

/* The port of a URL, its scheme's when it says none; 0 when there is none. */
extern int ff_guard_port(const char *url);

/* "host:port" of a URL in lower case, palloc'ed: whom calls share a lane with. */
extern char *ff_guard_origin(const char *url);

/* A refusal as the error of a step, which no further attempt would mend. */
extern Jsonb *ff_guard_error(const char *message);

#endif
