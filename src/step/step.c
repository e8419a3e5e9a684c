/*
 * step.c - the table of kinds (see step.h).
 */
#include "postgres.h"

#include "run/actor.h"
#include "step/step.h"
#include "util/json.h"

int ff_sql_timeout = 300000;

static const FfStepKind *const kinds[] = {
	&ff_step_sql, &ff_step_send_event, &ff_step_approval, &ff_step_lock, &ff_step_unlock,
	&ff_step_ai,  &ff_step_http,	   &ff_step_webhook,  &ff_step_mail, &ff_step_code};

void
ff_step_init(void)
{
	for (int i = 0; i < (int) lengthof(kinds); i++)
		ff_kind_register(kinds[i]);
}

static void
put(FfJsonBuilder *builder, const char *key, const char *text)
{
	if (text == NULL)
		return;
	ff_jb_key(builder, key);
	ff_jb_text(builder, text);
}

Jsonb *
ff_step_error(const char *name, const ErrorData *error)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	put(&builder, "name", name);
	put(&builder, "message", error->message ? error->message : "the statement failed");
	put(&builder, "code", unpack_sql_state(error->sqlerrcode));
	put(&builder, "detail", error->detail);
	put(&builder, "hint", error->hint);
	put(&builder, "context", error->context);
	put(&builder, "schema", error->schema_name);
	put(&builder, "table", error->table_name);
	put(&builder, "column", error->column_name);
	put(&builder, "constraint", error->constraint_name);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

Jsonb *
ff_step_caught(const char *name)
{
	ErrorData *error = CopyErrorData();

	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != MAKE_SQLSTATE('F', 'F', '0', '0', '0'))
		PG_RE_THROW();
	FlushErrorState();
	return ff_step_error(name, error);
}

Jsonb *
ff_step_problem(const char *name, const char *message, int sqlstate)
{
	ErrorData error = {.message = pstrdup(message), .sqlerrcode = sqlstate};

	return ff_step_error(name, &error);
}

Jsonb *
ff_step_input(Jsonb *options)
{
	return ff_run_wrap("input", options);
}

void
ff_step_refuse(FfRun *run, FfItem *item, Jsonb *error, TimestampTz now)
{
	ff_run_change(run);
	ff_item_finish(run, item, "failed", ff_run_wrap("error", error), now);
}
