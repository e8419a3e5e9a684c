/*
 * The log. A line is built in a buffer of its own and written by one write(2), so lines of several
 * processes do not mix. What a client sent is escaped: a log line can not be forged.
 */
#define _GNU_SOURCE
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE 1024

int64_t
ff_log_clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t
ff_log_clock(void)
{
	return ff_log_clock_us() / 1000;
}

void
ff_log_request_id(char id[33])
{
	static const char	 digits[] = "0123456789abcdef";
	static unsigned char pool[512];
	static size_t		 used = sizeof(pool);

	if (used + 16 > sizeof(pool))
	{
		if (getrandom(pool, sizeof(pool), 0) < 256)
			clock_gettime(CLOCK_REALTIME, (struct timespec *) (void *) pool);
		used = 0;
	}
	for (int at = 0; at < 16; at++)
	{
		id[2 * at] = digits[pool[used + at] >> 4];
		id[2 * at + 1] = digits[pool[used + at] & 15];
	}
	id[32] = '\0';
	used += 16;
}

/* Copies text as the inside of a logfmt string, cut to what fits. */
static void
escape(char *to, size_t room, const char *text)
{
	size_t length = 0;

	for (; *text != '\0' && length + 5 < room; text++)
	{
		unsigned char letter = (unsigned char) *text;

		if (letter == '"' || letter == '\\')
			to[length++] = '\\', to[length++] = (char) letter;
		else if (letter < 0x20 || letter == 0x7f)
			length += (size_t) snprintf(to + length, room - length, "\\x%02x", letter);
		else
			to[length++] = (char) letter;
	}
	to[length] = '\0';
}

/* Whether a segment of a path is this word, however it is percent-encoded. */
static bool
is_segment(const char *segment, size_t length, const char *word)
{
	size_t at = 0;

	for (; at < length && *word != '\0'; word++)
	{
		unsigned int letter = (unsigned char) segment[at++];

		if (letter == '%' && length - at >= 2 && sscanf(segment + at, "%2x", &letter) == 1)
			at += 2;
		if (letter != (unsigned char) *word)
			return false;
	}
	return at == length && *word == '\0';
}

/* How much of a path may be seen: what follows a segment "approve" is a credential, and
 * what follows a first segment "e" an event key. */
static size_t
shown_length(const char *path)
{
	const char *at = path;

	while (*at == '/')
	{
		bool   is_first = at == path;
		size_t length = strcspn(++at, "/");

		if ((is_segment(at, length, "approve") || (is_first && is_segment(at, length, "e"))) &&
			at[length] == '/')
			return (size_t) (at - path) + length + 1;
		at += length;
	}
	return strlen(path);
}

/* Writes "time=... " and the rest of the line. */
static void
write_line(const char *rest)
{
	char			line[2 * LINE_SIZE];
	char			stamp[32];
	struct timespec now;
	struct tm		parts;
	int				length;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &parts);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &parts);
	length =
		snprintf(line, sizeof(line), "time=%s.%03ldZ %s\n", stamp, now.tv_nsec / 1000000, rest);
	if (length >= (int) sizeof(line))
		length = (int) sizeof(line) - 1;
	if (write(STDERR_FILENO, line, (size_t) length) < 0)
		return; /* nowhere left to tell */
}

void
ff_log(const char *level, const char *format, ...)
{
	char	message[LINE_SIZE / 2];
	char	escaped[LINE_SIZE];
	char	rest[LINE_SIZE + 64];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	escape(escaped, sizeof(escaped), message);
	snprintf(rest, sizeof(rest), "level=%s msg=\"%s\"", level, escaped);
	write_line(rest);
}

void
ff_log_request(const char *id, const char *method, const char *path, int status,
			   int64_t milliseconds)
{
	char   shown[LINE_SIZE];
	char   escaped[LINE_SIZE];
	char   rest[LINE_SIZE + 256];
	size_t length = shown_length(path);

	snprintf(shown, sizeof(shown), "%.*s%s", (int) length, path,
			 path[length] != '\0' ? "[hidden]" : "");
	escape(escaped, sizeof(escaped), shown);
	snprintf(rest, sizeof(rest),
			 "level=info request_id=%.64s method=%.32s path=\"%s\" status=%d ms=%lld", id, method,
			 escaped, status, (long long) milliseconds);
	write_line(rest);
}
