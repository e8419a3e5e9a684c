/*
 * The log: one logfmt line per event on standard error.
 */
#ifndef FF_LOG_H
#define FF_LOG_H

#include <stdbool.h>
#include <stdint.h>

/* Milliseconds and microseconds of a clock that only goes forward. */
extern int64_t ff_log_clock(void);
extern int64_t ff_log_clock_us(void);

/* Writes 32 lower-case hexadecimal digits of randomness and a NUL: the id of a request. */
extern void ff_log_request_id(char id[33]);

/* A line about the gateway itself. The message must not carry line ends; control characters in it
 * are replaced. */
extern void ff_log(const char *level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The line of one answered request. Method and path may be anything a client sent; the path is
 * printed escaped. */
extern void ff_log_request(const char *id, const char *method, const char *path, int status,
						   int64_t milliseconds);

#endif
