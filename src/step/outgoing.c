/*
 * outgoing.c - requests that steps make (see outgoing.h).
 */
#include "postgres.h"

#include <math.h>

#include "common/base64.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "utils/fmgrprotos.h"

#include "http/message.h"
#include "step/outgoing.h"
#include "util/compat.h"
#include "util/errors.h"
#include "util/id.h"
#include "util/json.h"
#include "util/redact.h"

#define MAX_TIMEOUT 3600   /* seconds */
#define EXCERPT_BYTES 2000 /* of an answer that is an error */

/* --- the request --- */

static bool
read_timeout(Jsonb *options, double *seconds)
{
	JsonbValue *value = ff_json_get(options, "timeout_seconds");

	*seconds = FF_OUTGOING_TIMEOUT;
	if (value == NULL || value->type == jbvNull)
		return true;
	if (value->type != jbvNumeric)
		return false;
	*seconds =
		DatumGetFloat8(DirectFunctionCall1(numeric_float8, NumericGetDatum(value->val.numeric)));
	return *seconds > 0 && *seconds <= MAX_TIMEOUT;
}

const char *
ff_outgoing_check(Jsonb *options)
{
	double seconds;
	char  *url;

	if (options == NULL || !ff_json_is_object(options))
		return "has no options";
	url = ff_json_text(options, "url");
	if (url == NULL ||
		(pg_strncasecmp(url, "http://", 7) != 0 && pg_strncasecmp(url, "https://", 8) != 0))
		return "has no http or https url";
	if (!read_timeout(options, &seconds))
		return psprintf("has a timeout_seconds that is not a number of seconds up to %d",
						MAX_TIMEOUT);
	return NULL;
}

int
ff_outgoing_timeout(Jsonb *options)
{
	double seconds;

	(void) read_timeout(options, &seconds);
	return (int) ceil(seconds * 1000);
}

char *
ff_outgoing_key(const FfRun *run, const FfItem *item)
{
	char ulid[FF_ULID_SIZE];

	ff_ulid_encode(&run->id, ulid);
	return psprintf(
		"%s_" UINT64_FORMAT, ulid,
		hash_bytes_extended((const unsigned char *) item->id, (int) strlen(item->id), 0));
}

/* --- the answer --- */

/* The media type in lower case, without parameters. */
static char *
media_type(const FfHttpCall *call)
{
	const char *given = call->headers[FF_HEADER_CONTENT_TYPE];
	char	   *type = pnstrdup(given ? given : "", given ? strcspn(given, "; \t,") : 0);

	for (char *at = type; *at != '\0'; at++)
		*at = (char) pg_ascii_tolower((unsigned char) *at);
	return type;
}

static bool
ends_with(const char *text, const char *end)
{
	size_t length = strlen(text);

	return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

static bool
is_json(const char *type)
{
	return strcmp(type, "application/json") == 0 || strcmp(type, "text/json") == 0 ||
		   ends_with(type, "+json");
}

static Jsonb *
in_base64(const FfHttpCall *call, List *secrets)
{
	int	  bytes = call->body.len;
	char *body = ff_redact_bytes(call->body.data, &bytes, secrets);
	int	  size = pg_b64_enc_len(bytes);
	char *text = palloc(size + 1);
	int	  length = ff_b64_encode(body, bytes, text, size);

	text[Max(length, 0)] = '\0';
	return ff_json_from_text(text);
}

Jsonb *
ff_outgoing_body(const FfHttpCall *call, List *secrets, bool *base64)
{
	const char *data = call->body.data;
	int			length = call->body.len;
	FfJsonError error;
	Jsonb	   *json = NULL;
	char	   *text;

	*base64 = false;
	if (length == 0)
		return ff_json_null();
	*base64 = memchr(data, '\0', length) != NULL || !pg_verify_mbstr(PG_UTF8, data, length, true);
	if (*base64)
		return in_base64(call, secrets);
	text = ff_redact_text(data, secrets);
	if (is_json(media_type(call)))
		json = ff_json_parse(text, strlen(text), ff_json_depth_limit, &error);
	/* A secret may have been written with escapes. */
	return json != NULL ? ff_redact_json(json, secrets) : ff_json_from_text(text);
}

static Jsonb *
make_error(const char *name, const char *message, const FfHttpCall *call, List *secrets)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, "name");
	ff_jb_text(&builder, name);
	ff_jb_key(&builder, "message");
	ff_jb_text(&builder, ff_redact_text(message, secrets));
	if (call->status > 0)
	{
		char *text = ff_redact_text(ff_http_text(call->body.data, call->body.len), secrets);

		ff_jb_key(&builder, "status_code");
		ff_jb_int(&builder, call->status);
		ff_jb_key(&builder, "body");
		ff_jb_text(&builder, pnstrdup(text, pg_encoding_mbcliplen(PG_UTF8, text, (int) strlen(text),
																  EXCERPT_BYTES)));
	}
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static Jsonb *
result(const FfHttpCall *call, bool headers, List *secrets)
{
	FfJsonBuilder builder = {0};
	bool		  base64;
	Jsonb		 *body = ff_outgoing_body(call, secrets, &base64);

	ff_jb_object(&builder);
	ff_jb_key(&builder, "status_code");
	ff_jb_int(&builder, call->status);
	if (headers)
	{
		ff_jb_key(&builder, "headers");
		ff_http_put_headers(&builder, call, secrets);
	}
	ff_jb_key(&builder, "body");
	ff_jb_json(&builder, body);
	if (base64)
	{
		ff_jb_key(&builder, "encoding");
		ff_jb_text(&builder, "base64");
	}
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

void
ff_outgoing_answer(FfAnswer *answer, FfOp *op, const FfHttpCall *call, bool headers, List *secrets)
{
	if (call->refused)
	{
		op->error = ff_guard_error(ff_redact_text(call->failure, secrets));
		answer->retry = false;
	}
	else if (call->timed_out)
		op->error = make_error("HttpTimeout", psprintf("the request failed: %s", call->failure),
							   call, secrets);
	else if (call->failure != NULL)
	{
		op->error = make_error("HttpError", psprintf("the request failed: %s", call->failure), call,
							   secrets);
		/* An answer that is too large will be so again. */
		answer->retry = !call->too_large;
	}
	else if (call->status >= 400)
	{
		op->error =
			make_error("HttpError", psprintf("the answer is %ld", call->status), call, secrets);
		answer->retry = call->status == 429 || call->status >= 500;
	}
	else
		op->data = result(call, headers, secrets);
}

char *
ff_outgoing_callee(const FfItem *item)
{
	return ff_guard_origin(ff_json_text(item->options, "url"));
}
