/*
 * statement.c - running the one statement of a Sql step (see step.h).
 *
 * The statement is never put together from pieces: parameters are bound, each converted from JSON
 * by the input function of the type that the statement gives it. Rows become JSON as they come, and
 * the statement is given up when they are more than a step's result may hold.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/base64.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "tcop/dest.h"
#include "tcop/utility.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"

#include "step/step.h"
#include "util/errors.h"
#include "util/json.h"

/* --- what may be run --- */

/* What only a session of one's own has a use for, or would take the transaction out of our hands.
 */
static const char *
refused(const Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_TransactionStmt:
			return "The engine commits the statement together with the step's result.";
		case T_VariableSetStmt:
		case T_DiscardStmt:
			return "Settings end with the statement; use the options role and timeout.";
		case T_PrepareStmt:
		case T_ExecuteStmt:
		case T_DeallocateStmt:
		case T_DeclareCursorStmt:
		case T_FetchStmt:
		case T_ClosePortalStmt:
			return "Give the query itself.";
		case T_ListenStmt:
		case T_UnlistenStmt:
			return "Nobody would hear it; use a step that waits for an event.";
		case T_CopyStmt:
			return "There is no client to copy from or to; use insert or select.";
		case T_LoadStmt:
			return "Load libraries by settings.";
		default:
			return NULL;
	}
}

static RawStmt *
parse(const char *query)
{
	List	   *statements = raw_parser(query, RAW_PARSE_DEFAULT);
	const char *reason;
	RawStmt	   *statement;

	if (list_length(statements) != 1)
		ereport(ERROR,
				(errcode(FF_ERR_STEP_STATEMENT),
				 errmsg("a Sql step runs one statement, its query has %d", list_length(statements)),
				 errhint("Use one step per statement, or a function that does it all.")));
	statement = linitial(statements);
	reason = refused(statement->stmt);
	if (reason != NULL)
		ereport(ERROR, (errcode(FF_ERR_STEP_STATEMENT),
						errmsg("a Sql step cannot run this kind of statement"),
						errdetail("It is %s.", CreateCommandName(statement->stmt)),
						errhint("%s", reason)));
	return statement;
}

/* --- parameters --- */

typedef struct Parameter
{
	int number;
} Parameter;

static void
name_parameter(void *arg)
{
	errcontext("parameter $%d of the Sql step", ((Parameter *) arg)->number);
}

static char *
scalar_text(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(
				DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			return JsonbToCString(NULL, &JsonbValueToJsonb((JsonbValue *) value)->root, -1);
	}
}

static Datum
input(Oid type, const JsonbValue *value)
{
	Oid function;
	Oid ioparam;

	getTypeInputInfo(type, &function, &ioparam);
	return OidInputFunctionCall(function, scalar_text(value), ioparam, -1);
}

static Datum
json_datum(Oid type, const JsonbValue *value)
{
	Jsonb *json = JsonbValueToJsonb((JsonbValue *) value);

	if (type == JSONBOID)
		return JsonbPGetDatum(json);
	return CStringGetTextDatum(JsonbToCString(NULL, &json->root, VARSIZE(json)));
}

static Datum
array_datum(Oid element_type, Jsonb *list)
{
	int	   count = JB_ROOT_COUNT(list);
	Datum *values = palloc(sizeof(Datum) * Max(count, 1));
	bool  *nulls = palloc0(sizeof(bool) * Max(count, 1));
	int	   dimensions[1] = {count};
	int	   lower[1] = {1};
	int16  length;
	bool   by_value;
	char   align;

	for (int i = 0; i < count; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(&list->root, i);

		nulls[i] = element->type == jbvNull;
		if (nulls[i])
			continue;
		values[i] = element_type == JSONBOID || element_type == JSONOID
						? json_datum(element_type, element)
						: input(element_type, element);
	}
	get_typlenbyvalalign(element_type, &length, &by_value, &align);
	if (count == 0)
		return PointerGetDatum(construct_empty_array(element_type));
	return PointerGetDatum(construct_md_array(values, nulls, 1, dimensions, lower, element_type,
											  length, by_value, align));
}

static Datum
convert(Oid type, const JsonbValue *value)
{
	Oid base = getBaseType(type);
	Oid element = get_element_type(base);

	if (type == JSONBOID || type == JSONOID)
		return json_datum(type, value);
	if (type == base && OidIsValid(element) && value->type == jbvBinary &&
		JsonContainerIsArray(value->val.binary.data))
		return array_datum(element, JsonbValueToJsonb((JsonbValue *) value));
	return input(type, value);
}

static ParamListInfo
bind(Jsonb *params, const Oid *types, int count)
{
	ParamListInfo		 list = makeParamList(count);
	Parameter			 parameter;
	ErrorContextCallback callback = {error_context_stack, name_parameter, &parameter};

	error_context_stack = &callback;
	for (int i = 0; i < count; i++)
	{
		JsonbValue		*value = getIthJsonbValueFromContainer(&params->root, i);
		ParamExternData *param = &list->params[i];

		CHECK_FOR_INTERRUPTS();
		parameter.number = i + 1;
		param->ptype = types[i];
		param->pflags = PARAM_FLAG_CONST;
		param->isnull = value->type == jbvNull;
		if (!param->isnull)
			param->value = convert(types[i], value);
	}
	error_context_stack = callback.previous;
	return list;
}

/* The types the statement gives its parameters; those it does not use are text. */
static Oid *
parameter_types(RawStmt *statement, const char *query, int given)
{
	Oid *types = NULL;
	int	 count = 0;

	(void) parse_analyze_varparams(statement, query, &types, &count, NULL);
	if (count != given)
		ereport(ERROR, (errcode(FF_ERR_STEP_PARAMETERS),
						errmsg("the query has %d parameters, the step gives %d", count, given),
						errhint("Parameters are $1, $2, ... in the query and a list in params.")));
	for (int i = 0; i < count; i++)
	{
		if (!OidIsValid(types[i]))
			types[i] = TEXTOID;
	}
	return types;
}

/* --- rows --- */

typedef struct RowReceiver
{
	DestReceiver pub;	  /* first */
	TupleDesc	 columns; /* as the statement names them: a slot may be a table's, with its names */
	List		*binary;  /* numbers of columns of bytea */
	StringInfoData json;
	uint64		   count;
	MemoryContext  context;
	MemoryContext  row_context;
} RowReceiver;

/* JSON has no bytes: they are base64. */
static Datum
base64_of(Datum bytes)
{
	bytea	   *raw = DatumGetByteaPP(bytes);
	int			room = pg_b64_enc_len(VARSIZE_ANY_EXHDR(raw));
	char	   *encoded = palloc(room);
	const void *data = VARDATA_ANY(raw);
	int			length = pg_b64_encode(data, VARSIZE_ANY_EXHDR(raw), encoded, room);

	if (length < 0)
		elog(ERROR, "could not encode bytes");
	return PointerGetDatum(cstring_to_text_with_len(encoded, length));
}

static void
encode_binary(const RowReceiver *receiver, TupleTableSlot *slot, Datum *values)
{
	ListCell *cell;

	foreach (cell, receiver->binary)
	{
		int column = lfirst_int(cell);

		if (!slot->tts_isnull[column])
			values[column] = base64_of(values[column]);
	}
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	RowReceiver	 *receiver = (RowReceiver *) self;
	MemoryContext old;
	HeapTuple	  tuple;
	Datum		  row;
	text		 *json;
	Datum		 *values = slot->tts_values;

	MemoryContextReset(receiver->row_context);
	old = MemoryContextSwitchTo(receiver->row_context);
	slot_getallattrs(slot);
	if (receiver->binary != NIL)
	{
		values = palloc(sizeof(Datum) * receiver->columns->natts);
		memcpy(values, slot->tts_values, sizeof(Datum) * receiver->columns->natts);
		encode_binary(receiver, slot, values);
	}
	tuple = heap_form_tuple(receiver->columns, values, slot->tts_isnull);
	row = heap_copy_tuple_as_datum(tuple, receiver->columns);
	json = DatumGetTextPP(DirectFunctionCall1(row_to_json, row));
	MemoryContextSwitchTo(old);
	if (receiver->json.len + VARSIZE_ANY_EXHDR(json) + 1 > (Size) ff_output_limit)
		ereport(ERROR,
				(errcode(FF_ERR_STEP_OUTPUT), errmsg("the result of the Sql step is too large"),
				 errdetail("With row " UINT64_FORMAT " it is larger than %d bytes.",
						   receiver->count + 1, ff_output_limit),
				 errhint("Select less, or write the rows into a table and give their key; the "
						 "limit is flowforge.output_limit.")));
	if (receiver->count++ > 0)
		appendStringInfoChar(&receiver->json, ',');
	appendBinaryStringInfo(&receiver->json, VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json));
	return true;
}

static void
start_rows(DestReceiver *self, int operation, TupleDesc description)
{
	RowReceiver	 *receiver = (RowReceiver *) self;
	MemoryContext old = MemoryContextSwitchTo(receiver->context);

	receiver->columns = CreateTupleDescCopy(description);
	for (int i = 0; i < description->natts; i++)
	{
		if (getBaseType(TupleDescAttr(description, i)->atttypid) != BYTEAOID)
			continue;
		receiver->binary = lappend_int(receiver->binary, i);
		TupleDescInitEntry(receiver->columns, (AttrNumber) (i + 1),
						   NameStr(TupleDescAttr(description, i)->attname), TEXTOID, -1, 0);
	}
	receiver->columns = BlessTupleDesc(receiver->columns);
	MemoryContextSwitchTo(old);
}

static void
end_rows(DestReceiver *self)
{
}

static void
init_receiver(RowReceiver *receiver)
{
	memset(receiver, 0, sizeof(*receiver));
	receiver->pub.receiveSlot = receive_row;
	receiver->pub.rStartup = start_rows;
	receiver->pub.rShutdown = end_rows;
	receiver->pub.rDestroy = end_rows;
	receiver->pub.mydest = DestTuplestore;
	receiver->context = CurrentMemoryContext;
	initStringInfo(&receiver->json);
	receiver->row_context =
		AllocSetContextCreate(CurrentMemoryContext, "flowforge row", ALLOCSET_DEFAULT_SIZES);
}

/* No deeper than what an app itself may answer ([{"data": ...}]), which reads it from now on. */
static Jsonb *
result_of(const RowReceiver *receiver, uint64 count)
{
	char *text =
		psprintf("{\"count\":" UINT64_FORMAT ",\"rows\":[%s]}", count, receiver->json.data);
	Jsonb *result = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));

	if (ff_json_depth(result, ff_json_depth_limit - 1) > ff_json_depth_limit - 2)
		ereport(ERROR, (errcode(FF_ERR_STEP_OUTPUT),
						errmsg("the result of the Sql step is nested too deeply"),
						errdetail("flowforge.json_depth_limit is %d.", ff_json_depth_limit),
						errhint("Select what is needed of it, or cast it to text.")));
	return result;
}

/* --- the whole --- */

/* Whatever the statement left for the commit happens now, as the statement's user and while it may
 * still fail: deferred triggers, and cursors that would be read to their end. */
static void
finish_deferred(void)
{
	AfterTriggerFireDeferred();
	PortalHashTableDeleteAll();
}

Jsonb *
ff_statement_run(const FfStatement *statement)
{
	int				  given = statement->params ? JB_ROOT_COUNT(statement->params) : 0;
	Oid				 *types = parameter_types(parse(statement->query), statement->query, given);
	SPIPlanPtr		  plan = SPI_prepare(statement->query, given, types);
	SPIExecuteOptions options = {0};
	RowReceiver		  receiver;
	uint64			  count;
	int				  status;

	if (plan == NULL)
		elog(ERROR, "could not prepare the statement: %s", SPI_result_code_string(SPI_result));
	init_receiver(&receiver);
	options.params = given > 0 ? bind(statement->params, types, given) : NULL;
	options.dest = &receiver.pub;
	status = SPI_execute_plan_extended(plan, &options);
	if (status < 0)
		ereport(ERROR,
				(errcode(FF_ERR_STEP_STATEMENT), errmsg("a Sql step cannot run this statement: %s",
														SPI_result_code_string(status))));
	count = Max(receiver.count, SPI_processed);
	finish_deferred();
	return result_of(&receiver, count);
}

/* --- errors --- */

bool
ff_statement_retriable(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_CONNECTION_EXCEPTION:
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
			return true;
		default:
			return error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
	}
}
