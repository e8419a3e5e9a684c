/*
 * answer.c - what an app's answer means (the SDK protocol, "Execution", response and ops).
 *
 * Whatever an app may send becomes an FfAnswer: operations, a return value, or an error that says
 * what was wrong with the answer.
 */
#include "postgres.h"

#include <time.h>

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "protocol/protocol.h"
#include "run/kind.h"
#include "util/duration.h"
#include "util/json.h"
#include "util/sign.h"

#define SHOWN_BYTES 200 /* of an answer that is not understood */

static void
set_error(FfAnswer *answer, const char *name, const char *message, bool retry)
{
	answer->kind = FF_ANSWER_ERROR;
	answer->error = ff_run_error(name, message);
	answer->retry = retry;
}

/* The beginning of a body for an error message, cut at a character's border and without control
 * characters. */
static char *
excerpt(const char *body, int length)
{
	char *text = pnstrdup(body, pg_mbcliplen(body, length, SHOWN_BYTES));

	for (char *c = text; *c != '\0'; c++)
	{
		if ((unsigned char) *c < 0x20)
			*c = ' ';
	}
	return pg_verifymbstr(text, strlen(text), true) ? text : pstrdup("(not text)");
}

/* The error an SDK reports, as an object with a name and a message whatever it sent. */
static Jsonb *
reported_error(Jsonb *json, long status)
{
	char *message;

	if (ff_json_is_object(json) && ff_json_text(json, "message") != NULL)
		return json;
	message = ff_json_text(json, "error");
	if (message == NULL)
		message = psprintf("the app answered %ld", status);
	return ff_run_error("Error", message);
}

/* --- operations --- */

static Jsonb *
or_null(Jsonb *json)
{
	return json == NULL ? ff_json_null() : json;
}

/* Appends an operation to the answer; false, with the answer an error, when it is not understood.
 */
static bool
read_op(FfAnswer *answer, Jsonb *json, TimestampTz now)
{
	FfOp *op = palloc0(sizeof(FfOp));
	char *fault = ff_protocol_op(op, json, now);

	if (fault != NULL)
		set_error(answer, "ProtocolError", fault, false);
	else if (op->kind != FF_OP_NONE)
		answer->ops = lappend(answer->ops, op);
	return fault == NULL;
}

void
ff_protocol_ops(FfAnswer *answer, Jsonb *json, TimestampTz now)
{
	answer->kind = FF_ANSWER_OPS;
	if (ff_json_is_object(json))
		read_op(answer, json, now);
	else if (!ff_json_is_array(json))
		set_error(answer, "ProtocolError",
				  "the app answered 206 with something else than a list of operations", true);
	else
	{
		uint32 count = JB_ROOT_COUNT(json);

		for (uint32 i = 0; i < count; i++)
		{
			if (!read_op(answer, JsonbValueToJsonb(getIthJsonbValueFromContainer(&json->root, i)),
						 now))
				return;
		}
	}
}

/* --- the answer as a whole --- */

/* A streaming SDK answers 201 with the real answer inside: {status, headers, body}, the body
 * perhaps as text. */
static Jsonb *
unwrap(FfAnswer *answer, Jsonb *json, long *status, char **no_retry, TimestampTz now)
{
	int64		inner;
	Jsonb	   *headers = ff_json_member(json, "headers");
	char	   *text = ff_json_text(json, "body");
	FfJsonError error;

	if (!ff_json_int64(json, "status", &inner))
	{
		set_error(answer, "ProtocolError", "the app's streamed answer has no status", true);
		return NULL;
	}
	*status = (long) inner;
	if (headers != NULL)
	{
		char *version = ff_json_text(headers, "x-inngest-req-version");
		char *retry_after = ff_json_text(headers, "retry-after");

		*no_retry = ff_json_text(headers, "x-inngest-no-retry");
		if (version != NULL)
			answer->protocol = atoi(version);
		if (retry_after != NULL && !ff_retry_after_parse(retry_after, now, &answer->retry_after))
			answer->retry_after = -1;
	}
	if (text == NULL)
		return or_null(ff_json_member(json, "body"));
	json = ff_json_parse(text, strlen(text), ff_json_depth_limit, &error);
	if (json == NULL)
		set_error(answer, "ProtocolError",
				  psprintf("the app's streamed answer is not JSON: %s", error.message), true);
	return json;
}

static void
read_status(FfAnswer *answer, Jsonb *json, long status, TimestampTz now)
{
	if (status == 206)
		ff_protocol_ops(answer, json, now);
	else if (status == 200)
	{
		answer->kind = FF_ANSWER_RETURN;
		answer->output = json;
	}
	else
	{
		answer->kind = FF_ANSWER_ERROR;
		answer->error = reported_error(json, status);
	}
}

/* While keys are changed an app may sign with the one that is about to go, or about to come. */
FfSignature
ff_protocol_verify(const char *header, const char *text, int length)
{
	int64		now = (int64) time(NULL);
	FfSignature signature = ff_sign_verify(ff_signing_key, header, text, length, now);

	if (signature == FF_SIGNATURE_WRONG && ff_signing_key_fallback != NULL &&
		*ff_signing_key_fallback != '\0')
		signature = ff_sign_verify(ff_signing_key_fallback, header, text, length, now);
	return signature;
}

FfSignature
ff_protocol_signature(const FfHttpCall *call)
{
	return ff_protocol_verify(call->headers[FF_HEADER_SIGNATURE], call->body.data, call->body.len);
}

/* Whether the answer came whole and from an SDK; otherwise the answer is set to an error. */
static bool
acceptable(FfAnswer *answer, const FfHttpCall *call)
{
	FfSignature signature;

	if (call->refused)
	{
		set_error(answer, "OutboundRefused", call->failure, false);
		return false;
	}
	if (!call->reached)
	{
		set_error(answer, "AppUnreachable",
				  psprintf("the app could not be reached: %s", call->failure), true);
		answer->kind = FF_ANSWER_UNREACHABLE;
		return false;
	}
	if (call->failure != NULL)
	{
		set_error(answer, call->too_large ? "AnswerTooLarge" : "CallFailed",
				  psprintf("the call to the app failed: %s", call->failure), true);
		return false;
	}
	if (call->headers[FF_HEADER_SDK] == NULL)
	{
		set_error(answer, "NotAnSdk",
				  psprintf("the response (%ld) did not come from an Inngest SDK: %s", call->status,
						   excerpt(call->body.data, call->body.len)),
				  true);
		return false;
	}
	if (ff_protocol_dev() || ff_protocol_streams(call))
		return true;
	signature = ff_protocol_signature(call);
	/* An SDK refuses our signature with an unsigned 401; that answer ends nothing and is only
	 * reported. */
	if (signature == FF_SIGNATURE_OK || (signature == FF_SIGNATURE_MISSING && call->status == 401))
		return true;
	set_error(
		answer, "WrongSignature",
		signature == FF_SIGNATURE_MISSING
			? "the app's answer is not signed (an SDK of version 3 signs only with INNGEST_DEV=0 or NODE_ENV=production)"
			: "the signature of the app's answer is wrong or too old",
		true);
	return false;
}

void
ff_protocol_answer(FfAnswer *answer, const FfHttpCall *call, TimestampTz now)
{
	FfJsonError error = {0};
	Jsonb	   *json;
	long		status = call->status;
	char	   *no_retry = call->headers[FF_HEADER_NO_RETRY];

	memset(answer, 0, sizeof(*answer));
	answer->retry = true;
	answer->retry_after = -1;
	answer->protocol =
		call->headers[FF_HEADER_REQ_VERSION] ? atoi(call->headers[FF_HEADER_REQ_VERSION]) : -1;
	if (!acceptable(answer, call))
		return;
	if (call->headers[FF_HEADER_RETRY_AFTER] != NULL &&
		!ff_retry_after_parse(call->headers[FF_HEADER_RETRY_AFTER], now, &answer->retry_after))
		answer->retry_after = -1;
	if (ff_protocol_streams(call))
	{
		ff_protocol_lines(answer, call, now);
		return;
	}
	if (call->body.len == 0)
		json = ff_json_null();
	else
		json = ff_json_parse(call->body.data, call->body.len, ff_json_depth_limit, &error);
	if (json == NULL)
	{
		set_error(answer, "ProtocolError",
				  psprintf("the app's answer (%ld) is not JSON: %s at byte %d: %s", status,
						   error.message, error.offset, excerpt(call->body.data, call->body.len)),
				  true);
		return;
	}
	if (status == 201)
		json = unwrap(answer, json, &status, &no_retry, now);
	if (json == NULL || answer->error != NULL)
		return;
	answer->retry = no_retry == NULL || pg_strcasecmp(no_retry, "true") != 0;
	read_status(answer, json, status, now);
}
