/*
 * guard.c - whom the server may call (see guard.h).
 *
 * The rule: what others than the server's administrators name is called at public addresses, by
 * http or https, at the ports of flowforge.outbound_ports. flowforge.outbound_allow lists what is
 * permitted beyond that: networks (10.0.0.0/8), hosts (vault.internal), and either with a port,
 * which then is permitted too (127.0.0.1:8080, [::1]:8080).
 */
#include "postgres.h"

#include <curl/curl.h>

#include "http/guard.h"
#include "util/compat.h"
#include "util/errors.h"
#include "util/json.h"

#define MAX_ENTRIES 1000
#define HOST_SIZE 256

typedef struct Allowed
{
	char  host[HOST_SIZE]; /* lower case; empty: a network */
	FfNet net;
	int	  port; /* 0: those of flowforge.outbound_ports */
} Allowed;

struct FfAllowList
{
	int		count;
	Allowed entries[FLEXIBLE_ARRAY_MEMBER];
};

struct FfPortList
{
	int count;
	struct
	{
		int first;
		int last;
	} ranges[FLEXIBLE_ARRAY_MEMBER];
};

char   *ff_outbound_allow = NULL;
char   *ff_outbound_ports = NULL;
FfGuard ff_guard = {NULL, NULL};

/* --- reading the settings --- */

/* The next word of a comma-separated list, without blanks around it; false at its end. A word that
 * is too long is cut, and then is nothing anybody allows. */
static bool
next_word(const char **rest, char *word, size_t size)
{
	const char *at = *rest;
	size_t		length;

	if (at == NULL)
		return false;
	length = strcspn(at, ",");
	*rest = at[length] == ',' ? at + length + 1 : NULL;
	while (length > 0 && isspace((unsigned char) *at))
	{
		at++;
		length--;
	}
	while (length > 0 && isspace((unsigned char) at[length - 1]))
		length--;
	length = Min(length, size - 1);
	memcpy(word, at, length);
	word[length] = '\0';
	return true;
}

static int
count_words(const char *list)
{
	int count = 1;

	for (; *list != '\0'; list++)
		count += *list == ',';
	return count;
}

/* A port after the last colon; 0 when the text is none. */
static int
read_port(const char *text)
{
	int port;

	if (*text == '\0' || strlen(text) > 5 || strspn(text, "0123456789") != strlen(text))
		return 0;
	port = atoi(text);
	return port <= 65535 ? port : 0;
}

static bool
is_host(const char *text)
{
	size_t length = strlen(text);

	/* What is only of digits and dots would be an address, if it were one. */
	return length > 0 && strspn(text, "0123456789.") != length && *text != '-' && *text != '.' &&
		   strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-._") == length;
}

/* "[::1]:80" and "host:80" without their port, which is given; -1 when it is none. */
static int
cut_port(char *word)
{
	char *colon = strrchr(word, ':');
	char *bracket = strchr(word, ']');
	int	  port = 0;

	if (*word == '[' && bracket != NULL)
	{
		if (bracket[1] == ':')
			port = read_port(bracket + 2);
		if (bracket[1] != '\0' && port == 0)
			return -1;
		*bracket = '\0';
		memmove(word, word + 1, strlen(word));
	}
	else if (colon != NULL && strchr(word, ':') == colon)
	{
		port = read_port(colon + 1);
		*colon = '\0';
		if (port == 0)
			return -1;
	}
	return port;
}

static bool
read_allowed(char *word, Allowed *allowed)
{
	memset(allowed, 0, sizeof(*allowed));
	for (char *at = word; *at != '\0'; at++)
		*at = (char) pg_ascii_tolower((unsigned char) *at);
	allowed->port = cut_port(word);
	if (allowed->port < 0)
		return false;
	if (ff_net_parse(word, &allowed->net))
		return true;
	strlcpy(allowed->host, word, sizeof(allowed->host));
	return is_host(word);
}

static bool
read_range(const char *word, int *first, int *last)
{
	char		from[8];
	const char *dash = strchr(word, '-');

	if (dash == NULL)
		*first = *last = read_port(word);
	else if (dash - word < (int) sizeof(from))
	{
		memcpy(from, word, dash - word);
		from[dash - word] = '\0';
		*first = read_port(from);
		*last = read_port(dash + 1);
	}
	else
		return false;
	return *first > 0 && *last >= *first;
}

/* Into memory as a setting's extra must have it. NULL with the word at fault, or empty when there
 * is no memory. */
static void *
read_list(const char *text, bool ports, char *word, size_t size)
{
	int			 count = count_words(text);
	FfAllowList *allow;
	FfPortList	*list;
	void		*room = ff_guc_malloc(Max(offsetof(FfAllowList, entries) + count * sizeof(Allowed),
										  offsetof(FfPortList, ranges) + count * sizeof(list->ranges[0])));

	*word = '\0';
	if (room == NULL)
		return NULL;
	allow = room;
	list = room;
	allow->count = list->count = 0;
	while (next_word(&text, word, size))
	{
		char copy[HOST_SIZE];
		bool ok;

		strlcpy(copy, word, sizeof(copy));
		if (*word == '\0')
			continue;
		ok = ports ? read_range(copy, &list->ranges[list->count].first,
								&list->ranges[list->count].last)
				   : read_allowed(copy, &allow->entries[allow->count]);
		if (!ok || allow->count == MAX_ENTRIES)
		{
			ff_guc_free(room);
			return NULL;
		}
		if (ports)
			list->count++;
		else
			allow->count++;
	}
	return room;
}

bool
ff_guard_check_allow(char **value, void **extra, GucSource source)
{
	char word[HOST_SIZE];

	*extra = read_list(*value, false, word, sizeof(word));
	if (*extra != NULL)
		return true;
	GUC_check_errdetail("\"%s\" is neither a network nor a host.", word);
	GUC_check_errhint("Write them like 10.0.0.0/8, 192.168.1.7, vault.internal, 127.0.0.1:8080 or "
					  "[::1]:8080, separated by commas.");
	return false;
}

void
ff_guard_assign_allow(const char *value, void *extra)
{
	ff_guard.allow = extra;
}

bool
ff_guard_check_ports(char **value, void **extra, GucSource source)
{
	char word[HOST_SIZE];

	*extra = read_list(*value, true, word, sizeof(word));
	if (*extra != NULL)
		return true;
	GUC_check_errdetail("\"%s\" is neither a port nor a range of ports.", word);
	GUC_check_errhint("Write them like 80, 443 or 1024-65535, separated by commas.");
	return false;
}

void
ff_guard_assign_ports(const char *value, void *extra)
{
	ff_guard.ports = extra;
}

/* --- judging --- */

static bool refuse(FfRefusal *why, const char *format, ...) pg_attribute_printf(2, 3);

static bool
refuse(FfRefusal *why, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void) vsnprintf(why->message, sizeof(why->message), format, arguments);
	va_end(arguments);
	return false;
}

static bool
same_host(const char *given, const char *allowed)
{
	size_t length = strlen(given);

	if (length > 0 && given[length - 1] == '.')
		length--;
	return length == strlen(allowed) && pg_strncasecmp(given, allowed, length) == 0;
}

/* Whether an entry of the list is for the host or the address, at any port or at this one. */
static bool
is_allowed(const FfAllowList *allow, const char *host, const FfAddress *address, int port,
		   bool with_port)
{
	for (int i = 0; allow != NULL && i < allow->count; i++)
	{
		const Allowed *entry = &allow->entries[i];

		if (entry->port != port && (with_port || entry->port != 0))
			continue;
		if (entry->host[0] != '\0' ? host != NULL && same_host(host, entry->host)
								   : ff_net_contains(&entry->net, address))
			return true;
	}
	return false;
}

static bool
admits_port(const FfPortList *ports, int port)
{
	for (int i = 0; ports != NULL && i < ports->count; i++)
	{
		if (port >= ports->ranges[i].first && port <= ports->ranges[i].last)
			return true;
	}
	return false;
}

bool
ff_guard_admits(const FfGuard *guard, FfReach reach, const char *host, const FfAddress *address,
				int port, FfRefusal *why)
{
	const FfRange *range = ff_address_range(address);
	char		   text[FF_ADDRESS_TEXT];
	bool		   named;

	if (reach == FF_REACH_SETTING || (reach == FF_REACH_APP && (range == NULL || range->app)))
		return true;
	if (is_allowed(guard->allow, host, address, port, true))
		return true;
	if (reach == FF_REACH_OUTSIDE && !admits_port(guard->ports, port))
		return refuse(why,
					  "port %d of %s may not be called: it is not among flowforge.outbound_ports, "
					  "and flowforge.outbound_allow does not name it",
					  port, host != NULL ? host : ff_address_text(address, text));
	if (range == NULL || is_allowed(guard->allow, host, address, port, false))
		return true;
	(void) ff_address_text(address, text);
	named = host != NULL && pg_strcasecmp(host, text) != 0;
	return refuse(why,
				  "the address %s%s%s may not be called: %s is %s, and flowforge.outbound_allow "
				  "does not permit it",
				  text, named ? " of " : "", named ? host : "", range->net, range->name);
}

/* --- URLs, read by libcurl, which is who calls them --- */

static bool
part_of(CURLU *url, CURLUPart part, unsigned int flags, char *out, size_t size)
{
	char *text = NULL;
	bool  ok = curl_url_get(url, part, &text, flags) == CURLUE_OK && text != NULL;

	if (ok)
		strlcpy(out, text, size);
	curl_free(text);
	return ok;
}

static CURLU *
read_url(const char *text)
{
	CURLU *url = curl_url();

	if (url != NULL &&
		curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK)
		return url;
	curl_url_cleanup(url);
	return NULL;
}

/* An address in brackets is without them. */
static bool
host_of(CURLU *url, char *host, size_t size)
{
	size_t length;

	if (!part_of(url, CURLUPART_HOST, 0, host, size) || *host == '\0')
		return false;
	length = strlen(host);
	if (*host == '[' && host[length - 1] == ']')
	{
		memmove(host, host + 1, length - 2);
		host[length - 2] = '\0';
	}
	return true;
}

bool
ff_guard_host(const char *url, char *host, size_t size)
{
	CURLU *read = read_url(url);
	bool   ok = read != NULL && host_of(read, host, size);

	curl_url_cleanup(read);
	return ok;
}

static bool
admits_read(const FfGuard *guard, FfReach reach, CURLU *url, FfRefusal *why)
{
	char	  scheme[20];
	char	  host[HOST_SIZE];
	char	  port[8];
	char	  user[2];
	FfAddress address;

	if (!part_of(url, CURLUPART_SCHEME, 0, scheme, sizeof(scheme)) ||
		(strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
		return refuse(why, "only http and https URLs may be called");
	if (part_of(url, CURLUPART_USER, 0, user, sizeof(user)) ||
		part_of(url, CURLUPART_PASSWORD, 0, user, sizeof(user)))
		return refuse(why, "a URL with a user or a password in it may not be called: send them in "
						   "the header authorization");
	if (!host_of(url, host, sizeof(host)))
		return refuse(why, "the URL names no host");
	if (!part_of(url, CURLUPART_PORT, CURLU_DEFAULT_PORT, port, sizeof(port)) || atoi(port) == 0)
		return refuse(why, "the URL's port is none");
	if (!ff_address_parse(host, &address))
		return true; /* a name: judged when it has been resolved */
	ff_address_unmap(&address);
	return ff_guard_admits(guard, reach, host, &address, atoi(port), why);
}

bool
ff_guard_admits_url(const FfGuard *guard, FfReach reach, const char *url, FfRefusal *why)
{
	CURLU *read;
	bool   ok;

	if (reach == FF_REACH_SETTING)
		return true;
	read = read_url(url);
	ok =
		read != NULL ? admits_read(guard, reach, read, why) : refuse(why, "the URL cannot be read");
	curl_url_cleanup(read);
	return ok;
}

int
ff_guard_port(const char *url)
{
	CURLU *read = read_url(url);
	char   port[8] = "";

	if (read != NULL)
		(void) part_of(read, CURLUPART_PORT, CURLU_DEFAULT_PORT, port, sizeof(port));
	curl_url_cleanup(read);
	return atoi(port);
}

char *
ff_guard_origin(const char *url)
{
	char host[HOST_SIZE];

	if (!ff_guard_host(url, host, sizeof(host)))
		host[0] = '\0';
	for (char *at = host; *at != '\0'; at++)
		*at = (char) pg_ascii_tolower((unsigned char) *at);
	return psprintf("%s:%d", host, ff_guard_port(url));
}

Jsonb *
ff_guard_error(const char *message)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, "name");
	ff_jb_text(&builder, "OutboundRefused");
	ff_jb_key(&builder, "message");
	ff_jb_text(&builder, message);
	ff_jb_key(&builder, "code");
	ff_jb_text(&builder, unpack_sql_state(FF_ERR_OUTBOUND));
	ff_jb_key(&builder, "hint");
	ff_jb_text(&builder, "Whoever runs the server may list networks, hosts and host:port in "
						 "flowforge.outbound_allow.");
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}
