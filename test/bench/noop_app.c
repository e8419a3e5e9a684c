/*
 * noop_app.c - an app that does nothing, as fast as it can: what is left is the engine's own cost.
 *
 * It serves one function of one step on 127.0.0.1:PORT. Asked what comes next without a memo it
 * answers 206 with the step done; with one it answers 200. In mode `sleep` the step is a sleep
 * until BASE (milliseconds since 1970) plus 0 to 60 s, in turn, and the step's id holds that
 * instant, so that the call after the sleep tells how late it is. In mode `steps` the function has
 * N steps and says one a call; in mode `stream` it says all of them and its end in one streamed
 * answer. The file named by NOOP_TIMES gets a line a call: its time, or in mode `sleep` how late it
 * came after the sleep (both in microseconds). Usage: noop_app PORT [sleep BASE | steps N | stream
 * N].
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define MAX_CLIENTS 4096
#define BUFFER 65536

typedef struct Client
{
	size_t length;
	char   data[BUFFER];
} Client;

static Client	*clients[MAX_CLIENTS];
static FILE		*times;
static long long sleep_base;
static long long sleep_count;
static int		 step_count; /* of modes `steps` and `stream` */
static bool		 streaming;

static const char step_done[] =
	"[{\"id\":\"a9993e364706816aba3e25717850c26c9cd0d89d\",\"op\":\"StepRun\",\"name\":\"abc\",\"displayName\":\"abc\",\"data\":{\"ok\":true}}]";

static long long
now_us(void)
{
	struct timeval now;

	gettimeofday(&now, NULL);
	return (long long) now.tv_sec * 1000000 + now.tv_usec;
}

/* `memo` is the id of the first step of the request's memos, NULL while there is none. */
static void
note_call(const char *memo)
{
	char digits[17] = {0};

	if (times == NULL || (sleep_base != 0 && memo == NULL))
		return;
	if (sleep_base == 0)
	{
		fprintf(times, "%lld\n", now_us());
		return;
	}
	memcpy(digits, memo + 24, 16);
	fprintf(times, "%lld\n", now_us() - strtoll(digits, NULL, 16) * 1000);
}

/* The length of the request at the start of the buffer, or 0 while it is not whole. */
static size_t
request_length(const Client *client, const char **body)
{
	const char *end = memmem(client->data, client->length, "\r\n\r\n", 4);
	const char *header;
	size_t		length = 0;

	if (end == NULL)
		return 0;
	for (header = client->data; header < end; header++)
	{
		if (strncasecmp(header, "\r\ncontent-length:", 17) == 0)
			length = strtoul(header + 17, NULL, 10);
	}
	*body = end + 4;
	length += (size_t) (end + 4 - client->data);
	return length <= client->length ? length : 0;
}

static void
answer(int fd, int status, const char *text)
{
	char out[BUFFER];
	int	 length =
		snprintf(out, sizeof(out),
				 "HTTP/1.1 %d OK\r\ncontent-type: application/%s\r\nx-inngest-sdk: noop:v1\r\n"
				 "x-inngest-req-version: 2\r\ncontent-length: %zu\r\n\r\n%s",
				 status, streaming ? "x-ndjson" : "json", strlen(text), text);

	if (write(fd, out, (size_t) length) != length)
		close(fd);
}

static int
print_step(char *text, size_t size, int number)
{
	return snprintf(
		text, size,
		"{\"id\":\"%040d\",\"op\":\"StepRun\",\"name\":\"step %d\",\"displayName\":\"step "
		"%d\",\"data\":{\"ok\":true}}",
		number, number, number);
}

/* The first step that the request has no memo of. */
static int
next_step(const char *body, size_t length)
{
	int number = 0;

	for (; number < step_count; number++)
	{
		char id[48];
		int	 id_length = snprintf(id, sizeof(id), "\"%040d\"", number);

		if (memmem(body, length, id, (size_t) id_length) == NULL)
			break;
	}
	return number;
}

static void
answer_steps(int fd, const char *body, size_t length)
{
	char   text[BUFFER / 2];
	size_t end = 0;
	int	   number = streaming ? 0 : next_step(body, length);

	if (streaming)
	{
		for (; number < step_count; number++)
		{
			end += (size_t) print_step(text + end, sizeof(text) - end, number);
			text[end++] = '\n';
		}
		snprintf(
			text + end, sizeof(text) - end,
			"{\"op\":\"RunComplete\",\"id\":\"0737c22d3bfae812339732d14d8c7dbd6dc4e09c\",\"data\":{"
			"\"done\":true}}\n");
		answer(fd, 206, text);
	}
	else if (number < step_count)
	{
		text[end++] = '[';
		end += (size_t) print_step(text + end, sizeof(text) - end, number);
		snprintf(text + end, sizeof(text) - end, "]");
		answer(fd, 206, text);
	}
	else
		answer(fd, 200, "{\"done\":true}");
}

static const char *
sleep_step(void)
{
	static char text[256];
	long long	at = sleep_base + sleep_count++ * 7 % 60000;
	time_t		seconds = (time_t) (at / 1000);
	struct tm	utc;
	char		date[32];

	gmtime_r(&seconds, &utc);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text, sizeof(text),
			 "[{\"id\":\"%040llx\",\"op\":\"Sleep\",\"name\":\"%s.%03lldZ\",\"opts\":{}}]",
			 (unsigned long long) at, date, at % 1000);
	return text;
}

static void
drop(int fd)
{
	close(fd);
	free(clients[fd]);
	clients[fd] = NULL;
}

static void
serve(int fd)
{
	Client *client = clients[fd];
	ssize_t got = read(fd, client->data + client->length, sizeof(client->data) - client->length);
	const char *body;
	size_t		length;

	if (got <= 0)
	{
		if (got == 0 || (errno != EAGAIN && errno != EINTR))
			drop(fd);
		return;
	}
	client->length += (size_t) got;
	while ((length = request_length(client, &body)) > 0)
	{
		size_t		body_length = length - (size_t) (body - client->data);
		const char *memo = memmem(body, body_length, "\"steps\":{\"", 10);

		if (memo != NULL && memo + 50 > body + body_length)
			memo = NULL;
		note_call(memo != NULL ? memo + 10 : NULL);
		if (step_count > 0)
			answer_steps(fd, body, body_length);
		else if (memo != NULL)
			answer(fd, 200, "{\"done\":true}");
		else
			answer(fd, 206, sleep_base != 0 ? sleep_step() : step_done);
		memmove(client->data, client->data + length, client->length - length);
		client->length -= length;
	}
}

int
main(int argc, char **argv)
{
	int				   listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int				   poll = epoll_create1(0);
	int				   one = 1;
	struct sockaddr_in address = {.sin_family = AF_INET};
	struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};

	if (argc < 2)
		return 2;
	if (argc > 3 && strcmp(argv[2], "sleep") == 0)
		sleep_base = atoll(argv[3]);
	if (argc > 3 && (strcmp(argv[2], "steps") == 0 || strcmp(argv[2], "stream") == 0))
	{
		step_count = atoi(argv[3]);
		streaming = strcmp(argv[2], "stream") == 0;
		if (step_count < 1 || step_count > 100)
			return 2;
	}
	if (getenv("NOOP_TIMES") != NULL)
		times = fopen(getenv("NOOP_TIMES"), "w");
	if (times != NULL)
		setlinebuf(times);
	address.sin_port = htons((uint16_t) atoi(argv[1]));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *) &address, sizeof(address)) != 0 ||
		listen(listener, 1024) != 0)
	{
		perror("noop_app");
		return 1;
	}
	epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
	for (;;)
	{
		struct epoll_event events[256];
		int				   ready = epoll_wait(poll, events, 256, -1);

		for (int i = 0; i < ready; i++)
		{
			int fd = events[i].data.fd;

			if (fd != listener)
			{
				serve(fd);
				continue;
			}
			fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
			if (fd < 0 || fd >= MAX_CLIENTS)
				continue;
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			clients[fd] = calloc(1, sizeof(Client));
			event.data.fd = fd;
			epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
		}
	}
}
