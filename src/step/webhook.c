/*
 * webhook.c - the step Webhook: a payload is sent to a URL, signed as Standard Webhooks has it.
 *
 * Its webhook-id is made of the run and the step, and so the same however often it is sent; the
 * time, and with it the signature, are of each attempt.
 */
#include "postgres.h"

#include <time.h>

#include "run/actor.h"
#include "run/trace.h"
#include "step/outgoing.h"
#include "step/step.h"
#include "util/json.h"
#include "util/redact.h"
#include "util/webhook.h"

/* The key a secret stands for: the base64 after whsec_, or of the whole; other text is the key
 * itself. */
static bool
read_key(const char *secret, uint8 **key, int *length)
{
	if (ff_webhook_key(secret, key, length))
		return true;
	*key = (uint8 *) pstrdup(secret);
	*length = (int) strlen(secret);
	return strncmp(secret, "whsec_", 6) != 0;
}

/* What is wrong with the options, as the rest of a sentence, or NULL. */
static const char *
check(Jsonb *options)
{
	const char *fault = ff_outgoing_check(options);
	JsonbValue *secret = fault ? NULL : ff_json_get(options, "secret");
	uint8	   *key;
	int			length;

	if (fault != NULL || secret == NULL || secret->type == jbvNull)
		return fault;
	if (secret->type != jbvString || secret->val.string.len == 0)
		return "has a secret that is not text";
	if (!read_key(ff_json_text(options, "secret"), &key, &length))
		return "has a secret that is not base64 after whsec_";
	return NULL;
}

static const char *
read_options(FfOp *op, Jsonb *options, TimestampTz now)
{
	op->options = options;
	return check(options);
}

static void
sign(FfHttpCall *call, const char *secret, const char *id)
{
	char  *at = psprintf(INT64_FORMAT, (int64) time(NULL));
	uint8 *key;
	int	   length;

	ff_http_add_header(call, psprintf("webhook-id: %s", id));
	ff_http_add_header(call, psprintf("webhook-timestamp: %s", at));
	if (secret == NULL || !read_key(secret, &key, &length))
		return;
	ff_http_add_header(call, psprintf("webhook-signature: v1,%s",
									  ff_webhook_sign(key, length, id, at, call->request.data,
													  call->request.len)));
}

static char *
request(FfHttpCall *call, const FfRun *run, const FfItem *item, void *found, Jsonb **error)
{
	Jsonb	   *payload = ff_json_member(item->options, "payload");
	const char *fault = check(item->options);

	/* Until now nobody knew what its secrets are. */
	if (fault != NULL)
	{
		*error = ff_run_error("StepOptionsError", psprintf("it %s", fault));
		return NULL;
	}
	if (payload == NULL)
		appendStringInfoString(&call->request, "{}");
	else
		(void) JsonbToCString(&call->request, &payload->root, VARSIZE(payload));
	ff_http_add_header(call, "content-type: application/json");
	ff_http_add_header(call, "user-agent: FlowForge/" FF_VERSION);
	ff_run_trace_call(call, run, item->id);
	sign(call, ff_json_text(item->options, "secret"), ff_outgoing_key(run, item));
	call->keep_headers = true;
	call->timeout = ff_outgoing_timeout(item->options);
	return ff_json_text(item->options, "url");
}

/* The options without the secret. */
static Jsonb *
shown(Jsonb *options)
{
	FfJsonBuilder	   builder = {0};
	JsonbIterator	  *it = JsonbIteratorInit(&options->root);
	JsonbIteratorToken token;
	JsonbValue		   value;
	char			  *key = "";

	if (!ff_json_is_object(options))
		return options;
	ff_jb_object(&builder);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			key = pnstrdup(value.val.string.val, value.val.string.len);
			ff_jb_key(&builder, key);
		}
		else if (token == WJB_VALUE)
		{
			if (strcmp(key, "secret") == 0 && value.type != jbvNull)
				ff_jb_text(&builder, FF_REDACTED);
			else if (strcmp(key, "url") == 0 && value.type == jbvString)
				ff_jb_text(&builder, ff_redact_url(ff_json_text(options, "url"), NULL));
			else
				ff_jb_json(&builder, JsonbValueToJsonb(&value));
		}
	}
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static void
answer(FfAnswer *answer, FfOp *op, const FfHttpCall *call, const FfItem *item, void *found,
	   TimestampTz now)
{
	char *secret = ff_json_text(item->options, "secret");
	List *secrets = secret ? list_make1(secret) : NIL;

	(void) ff_redact_url(ff_json_text(item->options, "url"), &secrets);
	secrets = list_concat(secrets, item->secrets);
	ff_outgoing_answer(answer, op, call, false, secrets);
}

const FfStepKind ff_step_webhook = {.op = "Webhook",
									.name = "webhook",
									.place = FF_STEP_CALL,
									.read = read_options,
									.begin = ff_kind_begin,
									.callee = ff_outgoing_callee,
									.shown = shown,
									.request = request,
									.answer = answer};
