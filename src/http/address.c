/*
 * address.c - ranges of addresses (see address.h).
 *
 * The table is IANA's registries of special-purpose addresses, and the addresses at which clouds
 * tell whoever asks from inside who he is and with which keys. The first entry that holds an
 * address counts. Of IPv6 only 2000::/3 is given out to anybody: the rest is not public.
 */
#include "postgres.h"

#include <arpa/inet.h>

#include "http/address.h"

static const FfRange ranges[] = {
	{"169.254.169.254/32", "cloud metadata", false},
	{"169.254.170.2/32", "cloud metadata", false},
	{"169.254.170.23/32", "cloud metadata", false},
	{"168.63.129.16/32", "cloud metadata", false},
	{"100.100.100.200/32", "cloud metadata", false},
	{"192.0.0.192/32", "cloud metadata", false},
	{"fd00:ec2::/32", "cloud metadata", false},
	{"fd20:ce::254/128", "cloud metadata", false},
	{"0.0.0.0/8", "unspecified", true},
	{"10.0.0.0/8", "private", true},
	{"100.64.0.0/10", "shared (carrier-grade NAT)", true},
	{"127.0.0.0/8", "loopback", true},
	{"169.254.0.0/16", "link-local", false},
	{"172.16.0.0/12", "private", true},
	{"192.0.0.0/24", "reserved", false},
	{"192.0.2.0/24", "for documentation", false},
	{"192.88.99.0/24", "reserved", false},
	{"192.168.0.0/16", "private", true},
	{"198.18.0.0/15", "for benchmarking", false},
	{"198.51.100.0/24", "for documentation", false},
	{"203.0.113.0/24", "for documentation", false},
	{"224.0.0.0/4", "multicast", false},
	{"255.255.255.255/32", "broadcast", false},
	{"240.0.0.0/4", "reserved", false},
	{"::/128", "unspecified", true},
	{"::1/128", "loopback", true},
	{"64:ff9b:1::/48", "reserved (local-use NAT64)", false},
	{"100::/63", "for discarding", false},
	{"2001:db8::/32", "for documentation", false},
	{"2001:2::/48", "for benchmarking", false},
	{"2001::/23", "reserved (protocol assignments, Teredo)", false},
	{"3fff::/20", "for documentation", false},
	{"fc00::/7", "unique-local", true},
	{"fe80::/10", "link-local", false},
	{"fec0::/10", "site-local", true},
	{"ff00::/8", "multicast", false},
};

static const FfRange not_given_out = {"what is not in 2000::/3", "reserved", false};

/* Prefixes after which an IPv4 address stands, and at which byte. */
static const struct
{
	const char *net;
	int			at;
} carriers[] = {
	{"::ffff:0:0/96", 12},	 /* mapped */
	{"::ffff:0:0:0/96", 12}, /* translated */
	{"::/96", 12},			 /* compatible */
	{"64:ff9b::/96", 12},	 /* NAT64 */
	{"2002::/16", 2},		 /* 6to4 */
};

static int
width(const FfAddress *address)
{
	return address->family == AF_INET ? 32 : 128;
}

bool
ff_address_parse(const char *text, FfAddress *address)
{
	char   copy[FF_ADDRESS_TEXT];
	size_t length = strcspn(text, "%");

	memset(address, 0, sizeof(*address));
	if (length >= sizeof(copy))
		return false;
	memcpy(copy, text, length);
	copy[length] = '\0';
	address->family = strchr(copy, ':') != NULL ? AF_INET6 : AF_INET;
	return inet_pton(address->family, copy, address->bytes) == 1;
}

static bool
bit(const FfAddress *address, int number)
{
	return (address->bytes[number / 8] >> (7 - number % 8)) & 1;
}

bool
ff_net_parse(const char *text, FfNet *net)
{
	const char *slash = strchr(text, '/');
	char		address[FF_ADDRESS_TEXT];
	size_t		length = slash != NULL ? slash - text : strlen(text);

	if (length >= sizeof(address) || memchr(text, '%', length) != NULL)
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	if (!ff_address_parse(address, &net->base))
		return false;
	net->bits = width(&net->base);
	if (slash == NULL)
		return true;
	if (slash[1] == '\0' || strspn(slash + 1, "0123456789") != strlen(slash + 1) ||
		strlen(slash + 1) > 3 || atoi(slash + 1) > net->bits)
		return false;
	net->bits = atoi(slash + 1);
	for (int i = net->bits; i < width(&net->base); i++)
	{
		if (bit(&net->base, i))
			return false;
	}
	return true;
}

bool
ff_net_contains(const FfNet *net, const FfAddress *address)
{
	int whole = net->bits / 8;
	int rest = net->bits % 8;

	if (net->base.family != address->family || memcmp(net->base.bytes, address->bytes, whole) != 0)
		return false;
	return rest == 0 || ((net->base.bytes[whole] ^ address->bytes[whole]) >> (8 - rest)) == 0;
}

static bool
is_in(const char *text, const FfAddress *address)
{
	FfNet net;

	return ff_net_parse(text, &net) && ff_net_contains(&net, address);
}

static void
set_v4(FfAddress *address, const uint8 *bytes)
{
	memset(address, 0, sizeof(*address));
	address->family = AF_INET;
	memcpy(address->bytes, bytes, 4);
}

void
ff_address_unmap(FfAddress *address)
{
	uint8 v4[4];

	if (address->family != AF_INET6 || !is_in("::ffff:0:0/96", address))
		return;
	memcpy(v4, address->bytes + 12, 4);
	set_v4(address, v4);
}

bool
ff_address_of(const struct sockaddr *socket, FfAddress *address, int *port)
{
	memset(address, 0, sizeof(*address));
	if (socket->sa_family == AF_INET)
	{
		const struct sockaddr_in *v4 = (const struct sockaddr_in *) socket;

		set_v4(address, (const uint8 *) &v4->sin_addr);
		*port = ntohs(v4->sin_port);
		return true;
	}
	if (socket->sa_family != AF_INET6)
		return false;
	address->family = AF_INET6;
	memcpy(address->bytes, &((const struct sockaddr_in6 *) socket)->sin6_addr, 16);
	*port = ntohs(((const struct sockaddr_in6 *) socket)->sin6_port);
	ff_address_unmap(address);
	return true;
}

const char *
ff_address_text(const FfAddress *address, char text[FF_ADDRESS_TEXT])
{
	return inet_ntop(address->family, address->bytes, text, FF_ADDRESS_TEXT) ? text : "?";
}

/* The IPv4 address an IPv6 address carries; ISATAP has it after 5efe in any prefix. */
static bool
carried(const FfAddress *address, FfAddress *inner)
{
	static const uint8 isatap[2][4] = {{0, 0, 0x5e, 0xfe}, {2, 0, 0x5e, 0xfe}};

	for (int i = 0; i < (int) lengthof(carriers); i++)
	{
		if (!is_in(carriers[i].net, address))
			continue;
		set_v4(inner, address->bytes + carriers[i].at);
		return true;
	}
	for (int i = 0; i < 2; i++)
	{
		if (memcmp(address->bytes + 8, isatap[i], 4) != 0)
			continue;
		set_v4(inner, address->bytes + 12);
		return true;
	}
	return false;
}

/* Every call asks this, so the table is read once. */
static const FfRange *
listed(const FfAddress *address)
{
	static FfNet nets[lengthof(ranges)];
	static bool	 ready = false;

	for (int i = 0; i < (int) lengthof(ranges) && !ready; i++)
		(void) ff_net_parse(ranges[i].net, &nets[i]);
	ready = true;
	for (int i = 0; i < (int) lengthof(ranges); i++)
	{
		if (ff_net_contains(&nets[i], address))
			return &ranges[i];
	}
	return NULL;
}

const FfRange *
ff_address_range(const FfAddress *address)
{
	const FfRange *range = listed(address);
	FfAddress	   inner;

	if (range != NULL || address->family == AF_INET)
		return range;
	if (carried(address, &inner))
	{
		range = listed(&inner);
		/* A public address that NAT64 or 6to4 reaches is as public as in its own family. */
		if (range != NULL || is_in("64:ff9b::/96", address) || is_in("2000::/3", address))
			return range;
	}
	return is_in("2000::/3", address) ? NULL : &not_given_out;
}
