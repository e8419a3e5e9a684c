/*
 * approval.c - the step Approval: the run waits until a person decides, or nobody has in time.
 *
 * A request is a row of flowforge.approval. Whoever decides locks the row, writes the decision into
 * it and a message to the run's owner, in one transaction (approval.sql). The owner writes the row
 * only to let the request expire, and passes over it while somebody has it locked: so it never
 * waits for a person's transaction, and exactly one of the two happens.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "run/actor.h"
#include "schema/schema.h"
#include "step/step.h"
#include "util/duration.h"
#include "util/id.h"
#include "util/json.h"
#include "util/spi.h"

#define MAX_PROMPT_BYTES 65536
#define MAX_APPROVERS 100
#define AGAIN_US                                                                    \
	USECS_PER_SEC /* after which a request that could not expire is looked at again \
				   */

/* --- options --- */

static bool
texts(Jsonb *list)
{
	uint32 count = JB_ROOT_COUNT(list);

	for (uint32 i = 0; i < count; i++)
	{
		if (getIthJsonbValueFromContainer(&list->root, i)->type != jbvString)
			return false;
	}
	return count > 0 && count <= MAX_APPROVERS;
}

static Jsonb *
given(Jsonb *options, const char *key)
{
	Jsonb *value = ff_json_member(options, key);

	return value == NULL || ff_json_is_null(value) ? NULL : value;
}

/* A form that could never be satisfied, because it is no schema, fails the step instead of the
 * person who decides. */
static const char *
form_problem(Jsonb *form)
{
	FfFindings *findings;

	if (!ff_json_is_object(form))
		return "has a form that is not a JSON Schema";
	findings = ff_schema_check(form, 1);
	if (findings->count == 0)
		return NULL;
	return psprintf("has a form that is not a JSON Schema: at \"%s\": %s", findings->list[0].path,
					findings->list[0].message);
}

static const char *
read_due(FfOp *op, Jsonb *options, TimestampTz now)
{
	Jsonb *timeout = given(options, "timeout");
	char  *text = ff_json_text(options, "timeout");

	op->due = now + FF_MAX_DURATION_US;
	if (timeout != NULL && (text == NULL || !ff_when_parse(text, now, &op->due)))
		return "has a timeout that is neither a duration nor an instant";
	return NULL;
}

static const char *
read_options(FfOp *op, Jsonb *options, TimestampTz now)
{
	char  *prompt = options ? ff_json_text(options, "prompt") : NULL;
	Jsonb *approvers = options ? given(options, "approvers") : NULL;
	Jsonb *form = options ? given(options, "form") : NULL;

	if (prompt == NULL || *prompt == '\0')
		return "has no prompt";
	if (strlen(prompt) > MAX_PROMPT_BYTES)
		return "has a prompt of more than 64 KB";
	if (approvers != NULL && (!ff_json_is_array(approvers) || !texts(approvers)))
		return "has approvers that are not a list of 1 to 100 names";
	op->options = options;
	if (form != NULL && form_problem(form) != NULL)
		return form_problem(form);
	return read_due(op, options, now);
}

/* --- the request --- */

static Datum
json_or_null(Jsonb *json, char *null)
{
	*null = json == NULL ? 'n' : ' ';
	return json == NULL ? (Datum) 0 : JsonbPGetDatum(json);
}

static void
request(FfRun *run, FfEffect *effect)
{
	static FfPlan plan = {
		"insert into flowforge.approval (tenant_id, run_id, step_id, name, prompt, approvers, form, expires_at) "
		"values ($1, $2, $3, $4, $5, $6, $7, $8)",
		8,
		{INT4OID, UUIDOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, JSONBOID, TIMESTAMPTZOID}};
	const FfItem *item = effect->detail;
	Datum		  values[8];
	char		  nulls[] = "        ";

	values[0] = Int32GetDatum(run->tenant_id);
	values[1] = UUIDPGetDatum(&run->id);
	values[2] = CStringGetTextDatum(item->id);
	values[3] = CStringGetTextDatum(item->name);
	values[4] = CStringGetTextDatum(ff_json_text(item->options, "prompt"));
	values[5] = json_or_null(given(item->options, "approvers"), &nulls[5]);
	values[6] = json_or_null(given(item->options, "form"), &nulls[6]);
	values[7] = TimestampTzGetDatum(item->due);
	ff_spi_run(&plan, values, nulls, false);
}

static bool
begin(FfRun *run, const FfOp *op, int group, int max_attempts, TimestampTz now)
{
	FfItem *item = ff_kind_item(run, op, group, max_attempts, now);

	ff_item_note(run, item, "step.waiting", now);
	ff_run_effect(run, request, item);
	return false;
}

/* --- the decision --- */

static void
receive(FfRun *run, FfItem *item, const char *message, Jsonb *payload, TimestampTz now)
{
	Jsonb *decision = ff_json_member(payload, "decision");

	if (strcmp(message, "decision") == 0 && decision != NULL)
		ff_item_finish(run, item, "completed", ff_run_wrap("data", decision), now);
}

/*
 * Nobody has decided in time, as far as the run knows; the row knows better. What the row says
 * comes as a message like any decision; until then the run looks again now and then.
 */
static void
expire(FfRun *run, FfEffect *effect)
{
	static FfPlan plan = {
		"select flowforge.expire_approval($1, $2, $3)", 3, {INT4OID, UUIDOID, TEXTOID}};
	const FfItem *item = effect->detail;
	Datum		  values[3] = {Int32GetDatum(run->tenant_id), UUIDPGetDatum(&run->id),
							   CStringGetTextDatum(item->id)};

	ff_spi_run(&plan, values, NULL, false);
}

static void
run_out(FfRun *run, FfItem *item, TimestampTz now)
{
	item->due = now + AGAIN_US;
	ff_run_effect(run, expire, item);
}

const FfStepKind ff_step_approval = {.op = "Approval",
									 .name = "approval",
									 .place = FF_STEP_WAITS,
									 .read = read_options,
									 .begin = begin,
									 .message = receive,
									 .time_out = run_out};
