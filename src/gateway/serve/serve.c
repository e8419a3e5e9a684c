/*
 * The gateway's main loop: the listening socket, signals, the order of things in a turn.
 *
 * A turn: wait for events, handle them, hand queued calls to the database, write answers, free what
 * has ended.
 */
#define _GNU_SOURCE
#include "serve/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "conn/conn.h"
#include "database/pg.h"
#include "live/live.h"
#include "live/pass.h"
#include "reply/cors.h"
#include "reply/static.h"
#include "wire/tls.h"

#define BACKLOG 1024
#define ACCEPTS_PER_TURN 64
#define DRAIN_MS 10000
#define SWEEP_MS 1000
#define FIRST_PASSED_FD 3 /* of systemd's socket activation */

static FfWatch listening = {.fd = -1};
static FfWatch signals = {.fd = -1};
static int	   stops_asked;
static bool	   reload_asked;

/* ---- listening ---- */

/* A bound socket, or -1 with errno set. */
static int
try_listen(const struct addrinfo *address)
{
	int on = 1;
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	on = errno;
	close(fd);
	errno = on;
	return -1;
}

/* A socket that is passed on blocks unless its unit says otherwise; accepting must not. */
static int
take_over(int fd, int count)
{
	int		  listens = 0;
	socklen_t length = sizeof(listens);

	if (count != 1 || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) != 0 || !listens)
	{
		ff_log("error", "one listening socket should be passed, not %d descriptors%s", count,
			   count == 1 ? " of another kind" : "");
		return -1;
	}
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0 ||
		fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
	{
		ff_log("error", "cannot use the socket that was passed: %s", strerror(errno));
		return -1;
	}
	return fd;
}

/* The socket we were started with (LISTEN_FDS, sd_listen_fds(3)), or a new one; -1 when there is
 * none to be had. */
static int
open_listener(const FfConfig *config)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
								   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	const char			 *host = config->host != NULL ? config->host : "127.0.0.1";
	const char			 *passed = getenv("LISTEN_FDS");
	const char			 *passed_to = getenv("LISTEN_PID");
	struct addrinfo		 *found = NULL;
	char				  port[16];
	int					  fd = -1;
	int					  problem;

	if (passed != NULL && passed_to != NULL && atol(passed_to) == (long) getpid())
		return take_over(FIRST_PASSED_FD, atoi(passed));
	snprintf(port, sizeof(port), "%d", config->port);
	problem = getaddrinfo(host, port, &hints, &found);
	if (problem != 0)
	{
		ff_log("error", "cannot listen on %s: %s", host, gai_strerror(problem));
		return -1;
	}
	for (const struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next)
		fd = try_listen(at);
	if (fd < 0)
		ff_log("error", "cannot listen on %s port %s: %s", host, port, strerror(errno));
	freeaddrinfo(found);
	return fd;
}

static int
bound_port(int fd)
{
	struct sockaddr_storage address = {0};
	socklen_t				length = sizeof(address);

	if (getsockname(fd, (struct sockaddr *) &address, &length) != 0)
		return 0;
	if (address.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *) &address)->sin6_port);
	return address.ss_family == AF_INET ? ntohs(((struct sockaddr_in *) &address)->sin_port) : 0;
}

/* Takes what waits. Without descriptors to spare, listening pauses until the next sweep. */
static void
accept_ready(FfWatch *watch, uint32_t events)
{
	(void) events;
	for (int count = 0; count < ACCEPTS_PER_TURN; count++)
	{
		struct sockaddr_storage address;
		socklen_t				length = sizeof(address);
		int						on = 1;
		int						fd =
			accept4(watch->fd, (struct sockaddr *) &address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
		{
			ff_log("warning", "cannot accept: %s", strerror(errno));
			ff_loop_watch(watch, watch->fd, 0);
		}
		if (fd < 0)
			return;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (!ff_conn_accept(fd, (struct sockaddr *) &address, length))
			close(fd);
	}
}

/* ---- signals ---- */

static void
signal_ready(FfWatch *watch, uint32_t events)
{
	struct signalfd_siginfo info;

	(void) events;
	if (read(watch->fd, &info, sizeof(info)) != (ssize_t) sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP)
		reload_asked = true;
	else
		stops_asked++;
}

static void
open_signals(void)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signal(SIGPIPE, SIG_IGN);
	signals.ready = signal_ready;
	ff_loop_watch(&signals, signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC), EPOLLIN);
}

/* ---- the loop ---- */

/* What is due; gives the milliseconds to wait at most. */
static int
tick(void)
{
	static int64_t sweep_at;
	int			   wait = ff_pg_tick();
	int			   live_wait = ff_live_tick();

	if (ff_loop_now() >= sweep_at || ff_pass_has_ended())
	{
		sweep_at = ff_loop_now() + SWEEP_MS;
		ff_conn_sweep();
		if (listening.fd >= 0 && listening.events == 0)
			ff_loop_watch(&listening, listening.fd, EPOLLIN);
	}
	wait = live_wait < wait ? live_wait : wait;
	return wait < 1 ? 1 : wait;
}

static void
turn(void)
{
	int wait = tick();

	ff_pg_flush();
	ff_conn_flush();
	ff_loop_turn(wait);
	ff_pg_flush();
	ff_conn_flush();
}

/* SIGHUP: what was read from files is read again. */
static void
reload(void)
{
	reload_asked = false;
	ff_static_reload();
	ff_tls_reload();
}

static void
stop_listening(void)
{
	int fd = listening.fd;

	ff_loop_unwatch(&listening);
	close(fd);
}

/* Finishes what is under way; a second signal ends even that. */
static void
drain(void)
{
	int64_t deadline = ff_loop_now() + DRAIN_MS;

	ff_log("info", "draining %d connections", ff_conn_count());
	stop_listening();
	ff_conn_drain();
	while (ff_conn_count() > 0 && ff_loop_now() < deadline && stops_asked < 2)
		turn();
}

/* As many descriptors as we may have. */
static void
raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void
tell_ready(int fd)
{
	if (fd <= 0)
		return;
	if (write(fd, "", 1) < 0)
		ff_log("warning", "cannot tell that the gateway is ready: %s", strerror(errno));
	close(fd);
}

int
ff_serve(const FfConfig *config)
{
	int fd = open_listener(config);

	if (fd < 0)
		return 1;
	if (!ff_static_open(config->static_directory, config->static_prefix) ||
		!ff_tls_open(config->tls_certificate, config->tls_key))
	{
		ff_static_close();
		close(fd);
		return 1;
	}
	raise_limit();
	ff_loop_open();
	open_signals();
	ff_cors_open(config->origins, config->origin_count);
	ff_conn_open(config);
	ff_pg_open(config->database_url, config->deadlines.statement);
	ff_live_start(config->database_url, config->deadlines.statement);
	listening.ready = accept_ready;
	ff_loop_watch(&listening, fd, EPOLLIN);
	ff_log("info", "listening on %s port %d", config->host != NULL ? config->host : "127.0.0.1",
		   bound_port(fd));
	tell_ready(config->ready_fd);
	while (stops_asked == 0)
	{
		turn();
		if (reload_asked)
			reload();
	}
	drain();
	ff_conn_close_all();
	ff_pg_close();
	ff_live_stop();
	fd = signals.fd;
	ff_loop_unwatch(&signals);
	close(fd);
	ff_loop_close();
	ff_static_close();
	ff_tls_close();
	ff_log("info", "stopped");
	return 0;
}
