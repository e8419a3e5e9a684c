/*
 * client.c - HTTP calls through libcurl's multi interface (see client.h).
 *
 * libcurl tells which sockets to watch; they are watched by an epoll descriptor of ours, which the
 * executor's wait nests. Signals are blocked while libcurl runs, because it may start a thread to
 * resolve a name and the server's handlers must not run there.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "http/client.h"
#include "http/smtp.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define MAX_EVENTS 64
#define MAX_IDLE_HANDLES 64
#define KEPT_CONNECTIONS 256L

#if LIBCURL_VERSION_NUM < 0x075500
#error "FlowForge needs libcurl 7.85 or later"
#endif

int	  ff_request_timeout = 7200000;
int	  ff_connect_timeout = 10000;
int	  ff_outbound_timeout = 600000;
char *ff_ca_file = NULL;
int	  ff_response_limit = 4 * 1024 * 1024;

static CURLM	  *multi = NULL;
static int		   epoll_fd = -1;
static TimestampTz timer_at = DT_NOEND;
static CURL		  *idle[MAX_IDLE_HANDLES];
static int		   idle_count = 0;
static dlist_head  grown = DLIST_STATIC_INIT(grown);

static const char *const header_names[FF_HEADER_COUNT] = {
	[FF_HEADER_SDK] = "x-inngest-sdk",
	[FF_HEADER_NO_RETRY] = "x-inngest-no-retry",
	[FF_HEADER_RETRY_AFTER] = "retry-after",
	[FF_HEADER_REQ_VERSION] = "x-inngest-req-version",
	[FF_HEADER_SIGNATURE] = "x-inngest-signature",
	[FF_HEADER_CONTENT_TYPE] = "content-type",
	[FF_HEADER_SDK_HANDLED] = "x-inngest-sdk-handled",
	[FF_HEADER_SYNC_KIND] = "x-inngest-sync-kind",
};

/* libcurl may only refuse these calls for want of memory or by our mistake. */
static void
check_multi(CURLMcode code, const char *what)
{
	if (code != CURLM_OK)
		elog(ERROR, "libcurl: %s: %s", what, curl_multi_strerror(code));
}

static void
block_signals(sigset_t *before)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, before);
}

static void
restore_signals(const sigset_t *before)
{
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

static int
on_socket(CURL *easy, curl_socket_t socket, int what, void *user, void *known)
{
	struct epoll_event event = {0};

	event.data.fd = socket;
	if (what == CURL_POLL_REMOVE)
	{
		/* It may be closed already, then the kernel has forgotten it. */
		(void) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, socket, NULL);
		return 0;
	}
	event.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, socket, &event) != 0 && errno == ENOENT)
		return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, socket, &event) == 0 ? 0 : -1;
	return 0;
}

static int
on_timer(CURLM *handle, long timeout_ms, void *user)
{
	timer_at = timeout_ms < 0 ? DT_NOEND : GetCurrentTimestamp() + timeout_ms * 1000;
	return 0;
}

void
ff_http_init(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		elog(ERROR, "libcurl cannot be initialised");
	multi = curl_multi_init();
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (multi == NULL || epoll_fd < 0)
		elog(ERROR, "libcurl's multi interface cannot be prepared: %m");
	check_multi(curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket), "socket callback");
	check_multi(curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer), "timer callback");
	check_multi(curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, KEPT_CONNECTIONS), "connections");
}

int
ff_http_descriptor(void)
{
	return epoll_fd;
}

long
ff_http_timeout(void)
{
	if (timer_at == DT_NOEND)
		return -1;
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), timer_at);
}

FfHttpCall *
ff_http_new(MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "flowforge call", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	FfHttpCall	 *call = palloc0(sizeof(FfHttpCall));

	call->context = context;
	initStringInfo(&call->request);
	initStringInfo(&call->body);
	initStringInfo(&call->all_headers);
	MemoryContextSwitchTo(old);
	return call;
}

void
ff_http_add_header(FfHttpCall *call, const char *header)
{
	struct curl_slist *longer = curl_slist_append(call->sent, header);

	if (longer == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	call->sent = longer;
}

/* Appends what libcurl has received. Must not raise: space is made without letting palloc throw;
 * false when there is none. */
static bool
append_received(FfHttpCall *call, StringInfo to, const char *data, size_t length)
{
	size_t needed = (size_t) to->len + length + 1;

	if (needed > (size_t) ff_response_limit + 1)
	{
		call->too_large = true;
		return false;
	}
	if (needed > (size_t) to->maxlen)
	{
		size_t room = Max(needed, (size_t) to->maxlen * 2);
		char  *larger =
			MemoryContextAllocExtended(call->context, room, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);

		if (larger == NULL)
			return false;
		memcpy(larger, to->data, to->len);
		pfree(to->data);
		to->data = larger;
		to->maxlen = (int) room;
	}
	memcpy(to->data + to->len, data, length);
	to->len += (int) length;
	to->data[to->len] = '\0';
	return true;
}

/* libcurl's callback: keeps the body up to the limit. */
static size_t
on_body(char *data, size_t size, size_t count, void *user)
{
	FfHttpCall *call = user;
	const char *type = call->headers[FF_HEADER_CONTENT_TYPE];

	call->streams = type != NULL && pg_strncasecmp(type, "application/x-ndjson", 20) == 0;
	if ((call->streams || call->eager) && !call->grown)
	{
		dlist_push_tail(&grown, &call->grown_node);
		call->grown = true;
	}
	return append_received(call, &call->body, data, size * count) ? size * count : 0;
}

static void
keep_header(FfHttpCall *call, FfHttpHeader which, const char *value, size_t length)
{
	char *copy;

	while (length > 0 && (*value == ' ' || *value == '\t'))
	{
		value++;
		length--;
	}
	while (length > 0 &&
		   (value[length - 1] == '\r' || value[length - 1] == '\n' || value[length - 1] == ' '))
		length--;
	copy = MemoryContextAllocExtended(call->context, length + 1, MCXT_ALLOC_NO_OOM);
	if (copy == NULL)
		return;
	memcpy(copy, value, length);
	copy[length] = '\0';
	call->headers[which] = copy;
}

static size_t
on_header(char *data, size_t size, size_t count, void *user)
{
	FfHttpCall *call = user;
	size_t		length = size * count;

	/* A redirect's headers are followed by those of where it leads. */
	if (length > 12 && strncmp(data, "HTTP/", 5) == 0)
	{
		call->all_headers.len = 0;
		call->status = atol(data + strcspn(data, " "));
	}
	else if (call->keep_headers && !append_received(call, &call->all_headers, data, length))
		return 0;
	for (int i = 0; i < FF_HEADER_COUNT; i++)
	{
		size_t name = strlen(header_names[i]);

		if (length > name && data[name] == ':' && pg_strncasecmp(data, header_names[i], name) == 0)
			keep_header(user, (FfHttpHeader) i, data + name + 1, length - name - 1);
	}
	return length;
}

static CURL *
take_handle(void)
{
	CURL *easy = idle_count > 0 ? idle[--idle_count] : curl_easy_init();

	if (easy == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return easy;
}

static void
give_handle(CURL *easy)
{
	if (idle_count == MAX_IDLE_HANDLES)
		curl_easy_cleanup(easy);
	else
	{
		curl_easy_reset(easy);
		idle[idle_count++] = easy;
	}
}

#define SET(option, value)                                      \
	do                                                          \
	{                                                           \
		CURLcode code_ = curl_easy_setopt(easy, option, value); \
		if (code_ != CURLE_OK)                                  \
			return code_;                                       \
	} while (0)

/* Methods libcurl treats differently; a body that is empty is none but for POST. */
static CURLcode
set_method(FfHttpCall *call)
{
	CURL	   *easy = call->easy;
	const char *method = call->method ? call->method : "POST";

	if (pg_strcasecmp(method, "HEAD") == 0)
		return curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	if (pg_strcasecmp(method, "POST") == 0 || call->request.len > 0)
	{
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDS, call->request.data);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) call->request.len);
	}
	if (pg_strcasecmp(method, "POST") != 0)
		SET(CURLOPT_CUSTOMREQUEST, method);
	return CURLE_OK;
}

/* --- the guard, inside libcurl: nothing here may raise --- */

static bool
admits(FfHttpCall *call, const FfAddress *address, int port)
{
	char *url = NULL;
	char  host[256];
	bool  ok;

	call->refusal.message[0] = '\0';
	if (call->reach != FF_REACH_OUTSIDE &&
		ff_guard_admits(&ff_guard, call->reach, NULL, address, port, &call->refusal))
		return true;
	/* Of a redirect it is the URL that it leads to. */
	(void) curl_easy_getinfo(call->easy, CURLINFO_EFFECTIVE_URL, &url);
	ok = url != NULL && ff_guard_host(url, host, sizeof(host));
	call->refusal.message[0] = '\0';
	return ff_guard_admits(&ff_guard, call->reach, ok ? host : NULL, address, port, &call->refusal);
}

/* A connection is to be made: the address judged is the one the socket is then connected to. */
static curl_socket_t
on_open(void *user, curlsocktype purpose, struct curl_sockaddr *to)
{
	FfHttpCall *call = user;
	FfAddress	address;
	int			port;

	int made;

	if (!ff_address_of(&to->addr, &address, &port) || !admits(call, &address, port))
		return CURL_SOCKET_BAD;
	made = socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
	if (call->mail != NULL)
		call->mail->socket = made;
	return made;
}

/* A connection is to be used: it may be one that a call of another reach has made. */
static int
on_request(void *user, char *remote, char *local, int remote_port, int local_port)
{
	FfHttpCall *call = user;
	FfAddress	address;

	if (!ff_address_parse(remote, &address))
		return CURL_PREREQFUNC_ABORT;
	ff_address_unmap(&address);
	return admits(call, &address, remote_port) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static CURLcode
set_http_options(FfHttpCall *call)
{
	CURL *easy = call->easy;

	SET(CURLOPT_FOLLOWLOCATION, call->redirects > 0 ? 1L : 0L);
	SET(CURLOPT_MAXREDIRS, (long) call->redirects);
	SET(CURLOPT_HTTPHEADER, (struct curl_slist *) call->sent);
	if (call->keep_headers)
		SET(CURLOPT_ACCEPT_ENCODING, "");
	return set_method(call);
}

static CURLcode
set_guard(FfHttpCall *call)
{
	CURL *easy = call->easy;

	SET(CURLOPT_OPENSOCKETFUNCTION, on_open);
	SET(CURLOPT_OPENSOCKETDATA, call);
	SET(CURLOPT_PREREQFUNCTION, on_request);
	SET(CURLOPT_PREREQDATA, call);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	return CURLE_OK;
}

static int
time_limit(const FfHttpCall *call)
{
	int all = call->reach == FF_REACH_OUTSIDE ? Min(ff_outbound_timeout, ff_request_timeout)
											  : ff_request_timeout;

	return call->timeout > 0 ? Min(call->timeout, all) : all;
}

static CURLcode
set_options(FfHttpCall *call, const char *url)
{
	CURL	*easy = call->easy;
	CURLcode code;

	SET(CURLOPT_URL, url);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, call);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, call);
	SET(CURLOPT_ERRORBUFFER, call->curl_error);
	SET(CURLOPT_PRIVATE, call);
	SET(CURLOPT_TIMEOUT_MS, (long) time_limit(call));
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long) ff_connect_timeout);
	SET(CURLOPT_TCP_NODELAY, 1L);
	if (ff_ca_file != NULL && *ff_ca_file != '\0')
		SET(CURLOPT_CAINFO, ff_ca_file);
	code = set_guard(call);
	if (code != CURLE_OK)
		return code;
	return call->mail != NULL ? (CURLcode) ff_smtp_set_options(call) : set_http_options(call);
}

bool
ff_http_start(FfHttpCall *call, const char *url)
{
	sigset_t  signals;
	CURLcode  code;
	CURLMcode added = CURLM_OK;

	if (!ff_guard_admits_url(&ff_guard, call->reach, url, &call->refusal))
	{
		call->refused = true;
		call->failure = MemoryContextStrdup(call->context, call->refusal.message);
		return false;
	}
	call->easy = take_handle();
	ff_http_add_header(call, "Expect:");
	code = set_options(call, url);
	if (code == CURLE_OK)
	{
		block_signals(&signals);
		added = curl_multi_add_handle(multi, call->easy);
		restore_signals(&signals);
	}
	if (code == CURLE_OK && added == CURLM_OK)
		return true;
	call->failure = MemoryContextStrdup(
		call->context, code != CURLE_OK ? curl_easy_strerror(code) : curl_multi_strerror(added));
	curl_easy_cleanup(call->easy);
	call->easy = NULL;
	return false;
}

static void
note_outcome(FfHttpCall *call, CURLcode code)
{
	double connected = 0;
	long   sent = 0;
	char  *url = NULL;

	/* A connection that is used again has no time of connecting: then what was sent over it tells.
	 */
	curl_easy_getinfo(call->easy, CURLINFO_CONNECT_TIME, &connected);
	curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &sent);
	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &call->status);
	curl_easy_getinfo(call->easy, CURLINFO_EFFECTIVE_URL, &url);
	if (call->keep_headers && url != NULL)
		call->effective_url = MemoryContextStrdup(call->context, url);
	call->reached =
		code == CURLE_OK || ((connected > 0 || sent > 0) && code != CURLE_COULDNT_CONNECT &&
							 code != CURLE_COULDNT_RESOLVE_HOST);
	if (code == CURLE_OK)
		return;
	/* A mail server's refusal is no answer to libcurl, and its code is what counts. */
	if (call->mail == NULL)
		call->status = 0;
	call->timed_out = code == CURLE_OPERATION_TIMEDOUT;
	/* What the guard has said of the last address that was tried. */
	call->refused = call->refusal.message[0] != '\0';
	if (call->refused)
	{
		call->reached = true; /* as far as it ever will be: another attempt would not mend it */
		call->failure = MemoryContextStrdup(call->context, call->refusal.message);
	}
	else if (code == CURLE_LOGIN_DENIED)
		call->failure = MemoryContextStrdup(
			call->context, "a redirect leads to a URL with a user or a password in it");
	else if (call->too_large)
		call->failure = MemoryContextStrdup(call->context,
											"the answer is larger than flowforge.response_limit");
	else
		call->failure = MemoryContextStrdup(
			call->context, call->curl_error[0] ? call->curl_error : curl_easy_strerror(code));
}

static void
collect(FfHttpDone done)
{
	CURLMsg *message;
	int		 left;

	while ((message = curl_multi_info_read(multi, &left)) != NULL)
	{
		FfHttpCall *call = NULL;
		CURLcode	code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &call);
		note_outcome(call, code);
		check_multi(curl_multi_remove_handle(multi, call->easy), "remove");
		give_handle(call->easy);
		call->easy = NULL;
		done(call);
	}
}

static void
forget_growth(FfHttpCall *call)
{
	if (call->grown)
		dlist_delete(&call->grown_node);
	call->grown = false;
}

static void
tell_progress(FfHttpDone progress)
{
	while (!dlist_is_empty(&grown))
	{
		FfHttpCall *call = dlist_head_element(FfHttpCall, grown_node, &grown);

		forget_growth(call);
		progress(call);
	}
}

void
ff_http_drive(FfHttpDone progress, FfHttpDone done)
{
	struct epoll_event events[MAX_EVENTS];
	sigset_t		   signals;
	int				   running;
	int				   ready = epoll_wait(epoll_fd, events, MAX_EVENTS, 0);
	CURLMcode		   code = CURLM_OK;

	block_signals(&signals);
	for (int i = 0; i < ready && code == CURLM_OK; i++)
	{
		int mask = (events[i].events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
				   (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
				   (events[i].events & EPOLLERR ? CURL_CSELECT_ERR : 0);

		code = curl_multi_socket_action(multi, events[i].data.fd, mask, &running);
	}
	if (code == CURLM_OK && timer_at != DT_NOEND && timer_at <= GetCurrentTimestamp())
	{
		timer_at = DT_NOEND;
		code = curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	restore_signals(&signals);
	check_multi(code, "socket action");
	tell_progress(progress);
	collect(done);
}

void
ff_http_free(FfHttpCall *call)
{
	if (call->easy != NULL)
	{
		check_multi(curl_multi_remove_handle(multi, call->easy), "remove");
		curl_easy_cleanup(call->easy);
	}
	forget_growth(call);
	curl_slist_free_all(call->sent);
	if (call->mail != NULL)
		curl_slist_free_all(call->mail->to);
	MemoryContextDelete(call->context);
}
