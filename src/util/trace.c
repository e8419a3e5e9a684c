/*
 * trace.c - see trace.h.
 *
 * Ids of spans are made of what they are of, so that an app that is told one and the exporter that
 * sends the span later agree without a row: of a run the last half of its id, of a step the first
 * eight bytes of a digest (flowforge.trace_span computes the same in SQL).
 */
#include "postgres.h"

#include <openssl/sha.h>

#include "util/trace.h"

char *ff_trace_setting = NULL;
char *ff_otlp_endpoint = NULL;

static char request_parent[FF_TRACE_PARENT + 1];
static char request_state[FF_TRACE_STATE_MAX + 1];

/* So many lower-case hexadecimal digits, not all of them zero unless that may be. */
static bool
is_hex(const char *text, int digits, bool may_be_zero)
{
	return (int) strspn(text, "0123456789abcdef") >= digits &&
		   (may_be_zero || (int) strspn(text, "0") < digits);
}

/* Of later versions nothing is known but that they begin like this one: they are not passed on. */
bool
ff_trace_is_parent(const char *text)
{
	return text != NULL && strlen(text) == FF_TRACE_PARENT && strncmp(text, "00-", 3) == 0 &&
		   is_hex(text + 3, FF_TRACE_ID, false) && text[35] == '-' &&
		   is_hex(text + 36, FF_TRACE_SPAN_SIZE - 1, false) && text[52] == '-' &&
		   is_hex(text + 53, 2, true);
}

bool
ff_trace_is_state(const char *text)
{
	size_t length = text != NULL ? strlen(text) : 0;

	if (length == 0 || length > FF_TRACE_STATE_MAX)
		return false;
	for (size_t i = 0; i < length; i++)
	{
		if (text[i] < ' ' || text[i] > '~')
			return false;
	}
	return true;
}

void
ff_trace_request(const char *parent, const char *state)
{
	bool traced = ff_trace_is_parent(parent);

	strlcpy(request_parent, traced ? parent : "", sizeof(request_parent));
	strlcpy(request_state, traced && ff_trace_is_state(state) ? state : "", sizeof(request_state));
}

const char *
ff_trace_parent_now(void)
{
	if (request_parent[0] != '\0')
		return request_parent;
	return ff_trace_is_parent(ff_trace_setting) ? ff_trace_setting : NULL;
}

const char *
ff_trace_state_now(void)
{
	return request_state[0] != '\0' ? request_state : NULL;
}

static void
to_hex(const uint8 *bytes, char span[FF_TRACE_SPAN_SIZE])
{
	for (int i = 0; i < 8; i++)
		snprintf(span + 2 * i, 3, "%02x", bytes[i]);
}

void
ff_trace_span(const pg_uuid_t *run, const char *step, char span[FF_TRACE_SPAN_SIZE])
{
	uint8  digest[SHA256_DIGEST_LENGTH];
	size_t length = strlen(step);
	uint8 *named;

	if (length == 0)
	{
		to_hex(run->data + UUID_LEN / 2, span);
		return;
	}
	named = palloc(UUID_LEN + length);
	memcpy(named, run->data, UUID_LEN);
	memcpy(named + UUID_LEN, step, length);
	SHA256(named, UUID_LEN + length, digest);
	pfree(named);
	to_hex(digest, span);
}
