/*
 * flowforge doctor: the gateway, and what keeps it from listening. See doctor.h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/http.h"
#include "doctor/doctor.h"

/* Where `flowforge serve` would listen: as its variables say, else as the address of the gateway
 * does. */
typedef struct Listener
{
	char *host;
	char *port;
	bool  local; /* it would be on this machine */
} Listener;

static bool
is_local(const char *host)
{
	return strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
		   strcmp(host, "::1") == 0 || strcmp(host, "[::1]") == 0;
}

static char *
part_of(CURLU *url, CURLUPart part, const char *otherwise)
{
	char *found = NULL;
	char *text;

	if (curl_url_get(url, part, &found, CURLU_DEFAULT_PORT) != CURLUE_OK)
		return ff_copy(otherwise);
	text = ff_copy(found);
	curl_free(found);
	return text;
}

static Listener
find_listener(const FfDoctor *doctor)
{
	const char *host = getenv("FLOWFORGE_HOST");
	const char *port = getenv("FLOWFORGE_PORT");
	CURLU	   *url = curl_url();
	Listener	listener;

	curl_url_set(url, CURLUPART_URL, doctor->server.url, 0);
	listener.host = part_of(url, CURLUPART_HOST, "127.0.0.1");
	listener.port = part_of(url, CURLUPART_PORT, "8288");
	listener.local = is_local(listener.host) || (host != NULL && host[0] != '\0');
	if (host != NULL && host[0] != '\0')
	{
		free(listener.host);
		listener.host = ff_copy(host);
	}
	if (port != NULL && port[0] != '\0')
	{
		free(listener.port);
		listener.port = ff_copy(port);
	}
	curl_url_cleanup(url);
	return listener;
}

/* 0, or the error that a listener there would meet; -1 for a host that is none. */
static int
try_to_listen(const Listener *listener)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
								   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo		 *found = NULL;
	int					  problem = -1;
	int					  on = 1;

	if (getaddrinfo(listener->host, listener->port, &hints, &found) != 0)
		return -1;
	for (const struct addrinfo *at = found; at != NULL && problem != 0; at = at->ai_next)
	{
		int fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);

		problem = 0;
		if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
			bind(fd, at->ai_addr, at->ai_addrlen) != 0 || listen(fd, 1) != 0)
			problem = errno;
		if (fd >= 0)
			close(fd);
	}
	freeaddrinfo(found);
	return problem;
}

static char *
taken_remedy(const char *port)
{
	return ff_text("stop what holds port %s (ss -ltnp 'sport = :%s' names it), or have the gateway "
				   "listen on another, `flowforge serve --port`, and set FLOWFORGE_URL to it",
				   port, port);
}

/* Nothing answers: because the gateway was not started, or because it cannot be. */
static void
report_silence(FfDoctor *doctor, const char *what, const char *failure)
{
	Listener listener = find_listener(doctor);
	int		 problem = listener.local ? try_to_listen(&listener) : 0;

	if (problem == 0)
		ff_doctor_fault(doctor, what, ff_copy(failure),
						ff_text("start it (`flowforge dev` or `flowforge serve`), or set "
								"FLOWFORGE_URL to where it is"));
	else if (problem == EADDRINUSE)
		ff_doctor_fault(doctor, what,
						ff_text("port %s is in use, by something that answers nothing: %s",
								listener.port, failure),
						taken_remedy(listener.port));
	else
		ff_doctor_fault(
			doctor, what,
			ff_text("cannot listen on %s port %s: %s", listener.host, listener.port,
					problem > 0 ? strerror(problem) : "no such address"),
			problem == EACCES
				? ff_text("ports below 1024 are for root: let systemd pass the socket on, or give "
						  "the gateway another (--port, FLOWFORGE_PORT)")
				: ff_text("give the gateway an address of this machine (--host, FLOWFORGE_HOST); "
						  "`ip address` lists them, and 0.0.0.0 is all of them"));
	free(listener.host);
	free(listener.port);
}

/* What answers at the gateway's address is none. */
static void
report_other(FfDoctor *doctor, const char *what, long status)
{
	Listener listener = find_listener(doctor);

	if (status == 502 || status == 503 || status == 504)
		ff_doctor_fault(
			doctor, what,
			ff_text("%s answers %ld, as a proxy does whose gateway is away", doctor->server.url,
					status),
			ff_text("start the gateway behind it (`flowforge serve`); its log says what "
					"keeps it"));
	else
		ff_doctor_fault(doctor, what,
						ff_text("port %s is in use: what answers at %s is no gateway (%ld)",
								listener.port, doctor->server.url, status),
						taken_remedy(listener.port));
	free(listener.host);
	free(listener.port);
}

static bool
ask_gateway(const FfDoctor *doctor, const char *path, FfReply *reply)
{
	char	 *url = ff_text("%s%s", doctor->server.url, path);
	FfRequest request = {.url = url};
	bool	  answered = ff_http(&request, reply);

	free(url);
	return answered;
}

static bool
check_health(FfDoctor *doctor)
{
	const char *what = "gateway /health";
	FfReply		reply;
	bool		answered = ask_gateway(doctor, "/health", &reply);
	json_t	   *answer = answered ? json_loads(reply.body, 0, NULL) : NULL;
	const char *status = ff_json_text(answer, "status");
	bool		is_gateway = reply.status == 200 && status != NULL && strcmp(status, "ok") == 0;

	if (!answered)
		report_silence(doctor, what, reply.failure);
	else if (!is_gateway)
		report_other(doctor, what, reply.status);
	else
	{
		ff_doctor_good(doctor, what, ff_text("%s/health", doctor->server.url));
		if (reply.date > 0)
			ff_doctor_clock(doctor, "clock, gateway", reply.date + 500, 1500);
	}
	json_decref(answer);
	ff_reply_free(&reply);
	return is_gateway;
}

void
ff_doctor_gateway(FfDoctor *doctor)
{
	const char *what = "gateway /ready";
	FfReply		reply;

	if (!check_health(doctor))
		return;
	if (!ask_gateway(doctor, "/ready", &reply))
		ff_doctor_fault(doctor, what, ff_copy(reply.failure),
						ff_text("the gateway's log says what it waits for"));
	else if (reply.status == 200)
		ff_doctor_good(doctor, what, ff_text("%s/ready", doctor->server.url));
	else if (!doctor->idle && doctor->faults == 0)
		ff_doctor_fault(doctor, what, ff_text("answers %ld: %s", reply.status, reply.body),
						ff_text("the gateway's log says whether it reaches its database; "
								"PostgreSQL's log, why executors do not work"));
	ff_reply_free(&reply);
}
