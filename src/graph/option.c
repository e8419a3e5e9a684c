/*
 * option.c - see option.h.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/numeric.h"

#include "graph/option.h"
#include "run/kind.h"
#include "util/duration.h"
#include "util/errors.h"
#include "util/json.h"

void
ff_option_wrong(const char *key, const char *wrong)
{
	ereport(ERROR, (errcode(FF_ERR_NODE_CONFIG), errmsg("%s %s", key, wrong),
					errhint("The step type's form is in flowforge.step_type.")));
}

Jsonb *
ff_option(Jsonb *config, const char *key)
{
	Jsonb *value = ff_json_member(config, key);

	return value == NULL || ff_json_is_null(value) ? NULL : value;
}

char *
ff_option_text(Jsonb *config, const char *key)
{
	char *text = ff_json_text(config, key);

	if (text == NULL || *text == '\0')
		ff_option_wrong(key, ff_option(config, key) == NULL ? "is missing" : "is not a text");
	return text;
}

static bool
seconds_of(const JsonbValue *value, double *seconds)
{
	char *end;
	char *text;

	if (value->type == jbvNumeric)
	{
		*seconds = DatumGetFloat8(
			DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));
		return true;
	}
	text = pnstrdup(value->val.string.val, value->val.string.len);
	errno = 0;
	*seconds = strtod(text, &end);
	return *text != '\0' && *end == '\0' && errno == 0;
}

bool
ff_option_duration(Jsonb *config, const char *key, int64 *usec)
{
	JsonbValue *value = ff_json_get(config, key);
	double		seconds;

	if (value == NULL || value->type == jbvNull)
		return false;
	if (value->type != jbvNumeric && value->type != jbvString)
		ff_option_wrong(key, "is neither a number of seconds nor a duration");
	if (seconds_of(value, &seconds))
	{
		if (!(seconds >= 0 && seconds <= FF_MAX_DURATION_US / 1e6))
			ff_option_wrong(key, "is not between 0 seconds and 366 days");
		*usec = (int64) (seconds * 1e6);
		return true;
	}
	if (!ff_duration_parse(pnstrdup(value->val.string.val, value->val.string.len), usec))
		ff_option_wrong(key, "is neither a number of seconds nor a duration like \"1h30m\"");
	if (*usec < 0 || *usec > FF_MAX_DURATION_US)
		ff_option_wrong(key, "is not between 0 seconds and 366 days");
	return true;
}

int64
ff_option_limit(const FfNodeStart *start, const char *key)
{
	int64 limit = 0;

	if (ff_option_duration(start->config, key, &limit) && limit > 0 && start->node->timeout > 0)
		return Min(limit, start->node->timeout);
	return Max(limit, start->node->timeout);
}

void
ff_op_fail(FfOp *op, const char *name, const char *message)
{
	op->kind = FF_OP_FAILED;
	op->error = ff_run_error(name, message);
}

void
ff_op_step(FfOp *op, const char *kind, Jsonb *options, TimestampTz now)
{
	const char *wrong;

	op->kind = FF_OP_STEP;
	op->step = ff_kind_by_op(kind);
	wrong = op->step->read(op, options, now);
	if (wrong != NULL)
		ff_op_fail(op, "ConfigError", psprintf("it %s", wrong));
}
