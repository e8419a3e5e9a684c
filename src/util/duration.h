/*
 * duration.h - the time strings of the SDK protocol: "1h30m", an ISO-8601 instant, a Retry-After
 * header.
 */
#ifndef FF_DURATION_H
#define FF_DURATION_H

#include "postgres.h"

#include "utils/timestamp.h"

#define FF_MAX_DURATION_US (INT64CONST(366) * 86400 * 1000000)

/* Concatenated <number><unit>, units ns us ms s m h d w, decimals allowed. False when it is not one
 * or overflows. Microseconds. */
extern bool ff_duration_parse(const char *text, int64 *usec);

/* An RFC 3339 instant (seconds, fraction and zone optional; without a zone it is UTC) or an RFC
 * 9110 HTTP-date. */
extern bool ff_instant_parse(const char *text, TimestampTz *out);

/* A duration from `now` or an instant. */
extern bool ff_when_parse(const char *text, TimestampTz now, TimestampTz *out);

/* Whether an instant is further away than anything may be put off: 366 days. */
extern bool ff_when_too_far(TimestampTz at, TimestampTz now);

/* The header Retry-After: seconds (at most 7 characters) or an instant, as a delay between 1 s and
 * 24 h in microseconds. */
extern bool ff_retry_after_parse(const char *text, TimestampTz now, int64 *delay_usec);

#endif
