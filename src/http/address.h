/*
 * address.h - what kind of address an address is: public, or of one of the ranges that are not the
 * Internet's (loopback, private networks, link-local, metadata of clouds, ...).
 *
 * Nothing here allocates or raises: it is asked inside libcurl's callbacks.
 */
#ifndef FF_HTTP_ADDRESS_H
#define FF_HTTP_ADDRESS_H

#include "postgres.h"

#include <netinet/in.h>
#include <sys/socket.h>

typedef struct FfAddress
{
	int	  family; /* AF_INET or AF_INET6 */
	uint8 bytes[16];
} FfAddress;

#define FF_ADDRESS_TEXT INET6_ADDRSTRLEN

/* A network, or with all bits one address. */
typedef struct FfNet
{
	FfAddress base;
	int		  bits;
} FfNet;

typedef struct FfRange
{
	const char *net;
	const char *name; /* as in "127.0.0.0/8 is loopback" */
	bool		app;  /* an app registered by an administrator may be there */
} FfRange;

/* Reads 10.1.2.3, 10.0.0.0/8, fd00::1, fd00::/8. False when it is neither, or has bits beyond its
 * prefix. */
extern bool ff_net_parse(const char *text, FfNet *net);
extern bool ff_net_contains(const FfNet *net, const FfAddress *address);

/* The address and port of a socket; an IPv4 address mapped into IPv6 becomes what it is. False when
 * it is of another family. */
extern bool ff_address_of(const struct sockaddr *socket, FfAddress *address, int *port);
/* Of an address in its usual form; a zone after % is passed over. */
extern bool		   ff_address_parse(const char *text, FfAddress *address);
extern void		   ff_address_unmap(FfAddress *address);
extern const char *ff_address_text(const FfAddress *address, char text[FF_ADDRESS_TEXT]);

/* The range that keeps an address from being public, or NULL. An address that carries an IPv4
 * address (6to4, NAT64, ...) is of the range of the one it carries. */
extern const FfRange *ff_address_range(const FfAddress *address);

#endif
