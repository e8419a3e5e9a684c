/*
 * stream.c - answers that arrive bit by bit: application/x-ndjson, each line an operation.
 *
 * Steps that have finished are taken out as they arrive; the lines that say what comes next stay at
 * the front of the body (its first `kept` bytes) until the answer is over. With a signing key each
 * line is signed by itself: "t=...&s=... {...}". An error says in `retry_after` what the header of
 * that name says of other answers.
 */
#include "postgres.h"

#include "protocol/protocol.h"
#include "util/duration.h"
#include "util/json.h"
#include "util/sign.h"

bool
ff_protocol_streams(const FfHttpCall *call)
{
	return call->streams && call->headers[FF_HEADER_SDK] != NULL &&
		   (call->status == 200 || call->status == 206);
}

/* The JSON of a line, or NULL when its signature is not right. */
static const char *
check_line(const char *line)
{
	const char *json = strchr(line, ' ');
	char	   *header;

	if (ff_protocol_dev())
		return line;
	if (strncmp(line, "t=", 2) != 0 || json == NULL)
		return NULL;
	header = pnstrdup(line, json - line);
	json++;
	return ff_protocol_verify(header, json, (int) strlen(json)) == FF_SIGNATURE_OK ? json : NULL;
}

/* When what the operation tells of is to be tried again, if it says so. */
static void
read_delay(FfAnswer *answer, Jsonb *op, TimestampTz now)
{
	char *text = ff_json_text(op, "retry_after");

	if (text != NULL && !ff_retry_after_parse(text, now, &answer->retry_after))
		answer->retry_after = -1;
}

/* Reads a line; gives what is wrong with it, or NULL. */
static char *
read_line(FfAnswer *answer, FfOp *op, const char *line, TimestampTz now)
{
	const char *text = check_line(line);
	FfJsonError error;
	Jsonb	   *json;

	if (text == NULL)
		return pstrdup("it is not signed, or wrongly");
	json = ff_json_parse(text, strlen(text), ff_json_depth_limit, &error);
	if (json == NULL)
		return psprintf("it is not JSON: %s at byte %d", error.message, error.offset);
	if (ff_json_is_object(json))
		read_delay(answer, json, now);
	return ff_protocol_op(op, json, now);
}

static bool
is_blank(const char *line)
{
	return line[strspn(line, " \t\r")] == '\0';
}

static void
remove_bytes(StringInfo body, int from, int to)
{
	memmove(body->data + from, body->data + to, body->len - to + 1);
	body->len -= to - from;
}

/* Where the next line ends; -1 when it has not arrived whole. */
static int
line_end(const FfHttpCall *call)
{
	const char *rest = call->body.data + call->kept;
	const char *newline = memchr(rest, '\n', call->body.len - call->kept);

	if (newline != NULL)
		return (int) (newline - call->body.data);
	return call->easy == NULL && call->body.len > call->kept ? call->body.len : -1;
}

void
ff_protocol_progress(FfAnswer *answer, FfHttpCall *call, TimestampTz now)
{
	int end;

	memset(answer, 0, sizeof(*answer));
	answer->kind = FF_ANSWER_OPS;
	answer->retry = true;
	answer->retry_after = -1;
	while (call->failure == NULL && (end = line_end(call)) >= 0)
	{
		FfOp *op = palloc0(sizeof(FfOp));
		char *line = pnstrdup(call->body.data + call->kept, end - call->kept);
		char *fault = is_blank(line) ? NULL : read_line(answer, op, line, now);
		int	  next = Min(end + 1, call->body.len);

		if (fault != NULL)
			call->failure = MemoryContextStrdup(
				call->context, psprintf("a line of the streamed answer is wrong: %s", fault));
		else if (op->kind == FF_OP_NONE || ff_op_is_checkpoint(op))
			remove_bytes(&call->body, call->kept, next);
		else
			call->kept = next;
		if (fault == NULL && ff_op_is_checkpoint(op))
			answer->ops = lappend(answer->ops, op);
	}
}

void
ff_protocol_lines(FfAnswer *answer, const FfHttpCall *call, TimestampTz now)
{
	char *rest = pstrdup(call->body.data);
	char *line;

	answer->kind = FF_ANSWER_OPS;
	while ((line = strsep(&rest, "\n")) != NULL)
	{
		FfOp *op = palloc0(sizeof(FfOp));
		char *fault = is_blank(line) ? NULL : read_line(answer, op, line, now);

		if (fault != NULL)
		{
			answer->kind = FF_ANSWER_ERROR;
			answer->error = ff_run_error("ProtocolError", fault);
			return;
		}
		if (op->kind != FF_OP_NONE)
			answer->ops = lappend(answer->ops, op);
	}
}
