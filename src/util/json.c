/*
 * json.c - reading and building jsonb (see json.h).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/jsonapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "util/compat.h"
#include "util/json.h"

/* Digits before the point that numeric can hold, and after it. */
#define NUMERIC_WHOLE_LIMIT 131072
#define NUMERIC_PART_LIMIT 16383

int ff_json_depth_limit = 64;

static Jsonb *
fail(FfJsonError *error, int offset, const char *message)
{
	strlcpy(error->message, message, sizeof(error->message));
	error->offset = offset;
	return NULL;
}

/* What jsonb_in would answer less clearly: the encoding, U+0000 and the depth. False with the error
 * set. */
static bool
scan(const char *text, size_t length, int max_depth, FfJsonError *error)
{
	int	 depth = 0;
	bool in_string = false;
	int	 valid = pg_encoding_verifymbstr(PG_UTF8, text, (int) length);

	if (valid < (int) length)
	{
		fail(error, valid, text[valid] == '\0' ? "it holds a NUL byte" : "it is not valid UTF-8");
		return false;
	}
	for (size_t i = 0; i < length; i++)
	{
		char c = text[i];

		if (in_string && c == '\\')
		{
			if (i + 5 < length && strncmp(text + i + 1, "u0000", 5) == 0)
			{
				fail(error, (int) i, "it holds \\u0000, which cannot be stored");
				return false;
			}
			i++;
		}
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '{' || c == '['))
		{
			if (++depth > max_depth)
			{
				snprintf(error->message, sizeof(error->message), "it is nested more than %d deep",
						 max_depth);
				error->offset = (int) i;
				return false;
			}
		}
		else if (!in_string && (c == '}' || c == ']'))
			depth--;
	}
	return true;
}

/* Whether a number of JSON, whose first character is at `text`, is beyond what numeric holds.
 * Leaves its length. */
static bool
is_beyond_numeric(const char *text, int *length)
{
	int	 whole = (int) strspn(text, "0123456789");
	int	 part = text[whole] == '.' ? (int) strspn(text + whole + 1, "0123456789") : 0;
	int	 digits = whole + (part > 0 ? part + 1 : 0);
	long exponent = 0;

	*length = digits;
	if ((text[digits] | 32) == 'e')
	{
		char *end;

		exponent = strtol(text + digits + 1, &end, 10);
		*length = (int) (end - text);
	}
	return whole + exponent > NUMERIC_WHOLE_LIMIT || part - exponent > NUMERIC_PART_LIMIT;
}

/* Of JSON that is well-formed: where the number is that is too large. 0 without one. */
static int
overflow_offset(const char *text, size_t length)
{
	bool in_string = false;

	for (size_t i = 0; i < length; i++)
	{
		int size;

		if (in_string && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			in_string = !in_string;
		else if (!in_string && text[i] >= '0' && text[i] <= '9')
		{
			if (is_beyond_numeric(text + i, &size))
				return (int) i;
			i += size - 1;
		}
	}
	return 0;
}

/* Where the text stops being JSON: the start of the token that cannot stand there, or the end. */
static int
syntax_offset(const char *text, size_t length)
{
	JsonLexContext *lex = ff_json_lex_context((char *) text, (int) length);

	if (pg_parse_json(lex, &nullSemAction) == JSON_SUCCESS)
		return overflow_offset(text, length);
	return (int) ((lex->token_start != NULL ? lex->token_start : lex->token_terminator) - text);
}

/* What jsonb_in raised, without its first words and its full stop. */
static void
take_complaint(FfJsonError *error, const ErrorData *raised)
{
	const char *said = raised->detail != NULL ? raised->detail : raised->message;
	size_t		length = strlen(said);

	snprintf(error->message, sizeof(error->message), "%.*s",
			 (int) (length - (length > 0 && said[length - 1] == '.')), said);
}

Jsonb *
ff_json_parse(const char *text, size_t length, int max_depth, FfJsonError *error)
{
	MemoryContext context = CurrentMemoryContext;
	Jsonb *volatile result = NULL;
	char *copy;

	if (length > MaxAllocSize / 4)
		return fail(error, 0, "it is too large");
	if (!scan(text, length, max_depth, error))
		return NULL;
	copy = pnstrdup(text, length);

	/* jsonb_in touches neither tables nor locks: catching what it raises needs no subtransaction.
	 */
	PG_TRY();
	{
		result = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(copy)));
	}
	PG_CATCH();
	{
		ErrorData *raised;

		MemoryContextSwitchTo(context);
		raised = CopyErrorData();
		if (ERRCODE_TO_CATEGORY(raised->sqlerrcode) != ERRCODE_DATA_EXCEPTION &&
			ERRCODE_TO_CATEGORY(raised->sqlerrcode) != ERRCODE_PROGRAM_LIMIT_EXCEEDED)
			PG_RE_THROW();
		FlushErrorState();
		take_complaint(error, raised);
		error->offset = syntax_offset(copy, length);
		result = NULL;
	}
	PG_END_TRY();
	pfree(copy);
	return result;
}

int
ff_json_depth(Jsonb *value, int enough)
{
	JsonbIterator	  *iterator = JsonbIteratorInit(&value->root);
	JsonbValue		   part;
	JsonbIteratorToken token;
	int				   depth = 0;
	int				   deepest = 0;

	if (JB_ROOT_IS_SCALAR(value))
		return 0;
	while ((token = JsonbIteratorNext(&iterator, &part, false)) != WJB_DONE && deepest < enough)
	{
		if (token == WJB_BEGIN_ARRAY || token == WJB_BEGIN_OBJECT)
		{
			depth++;
			deepest = Max(deepest, depth);
		}
		else if (token == WJB_END_ARRAY || token == WJB_END_OBJECT)
			depth--;
	}
	return deepest;
}

JsonbValue *
ff_json_get(Jsonb *object, const char *key)
{
	if (object == NULL || !JB_ROOT_IS_OBJECT(object))
		return NULL;
	return getKeyJsonValueFromContainer(&object->root, key, strlen(key), NULL);
}

char *
ff_json_text(Jsonb *object, const char *key)
{
	JsonbValue *value = ff_json_get(object, key);

	if (value == NULL || value->type != jbvString)
		return NULL;
	return pnstrdup(value->val.string.val, value->val.string.len);
}

bool
ff_json_int64(Jsonb *object, const char *key, int64 *out)
{
	JsonbValue *value = ff_json_get(object, key);
	Datum		number;
	Datum		whole;
	char	   *text;
	char	   *end;

	if (value == NULL || value->type != jbvNumeric)
		return false;
	number = NumericGetDatum(value->val.numeric);
	whole = DirectFunctionCall2(numeric_trunc, number, Int32GetDatum(0));
	if (!DatumGetBool(DirectFunctionCall2(numeric_eq, number, whole)))
		return false;
	text = DatumGetCString(DirectFunctionCall1(numeric_out, whole));
	errno = 0;
	*out = strtoll(text, &end, 10);
	return errno == 0 && *end == '\0';
}

bool
ff_json_bool(Jsonb *object, const char *key)
{
	JsonbValue *value = ff_json_get(object, key);

	return value != NULL && value->type == jbvBool && value->val.boolean;
}

Jsonb *
ff_json_member(Jsonb *object, const char *key)
{
	JsonbValue *value = ff_json_get(object, key);

	return value == NULL ? NULL : JsonbValueToJsonb(value);
}

static bool
member_of(JsonbContainer *container, const char *name, int length, JsonbValue *out)
{
	if (JsonContainerIsObject(container))
		return getKeyJsonValueFromContainer(container, name, length, out) != NULL;
	if (JsonContainerIsArray(container) && length > 0 && length < 9 &&
		strspn(name, "0123456789") >= (size_t) length)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(container, (uint32) atoi(name));

		if (element != NULL)
			*out = *element;
		return element != NULL;
	}
	return false;
}

Jsonb *
ff_json_at(Jsonb *document, const char *dotted_path)
{
	JsonbContainer *container = &document->root;
	JsonbValue		value;
	const char	   *part = dotted_path;

	if (JB_ROOT_IS_SCALAR(document))
		return NULL;
	for (;;)
	{
		int length = (int) strcspn(part, ".");

		if (container == NULL || !member_of(container, part, length, &value))
			return NULL;
		if (part[length] == '\0')
			return JsonbValueToJsonb(&value);
		container = value.type == jbvBinary ? value.val.binary.data : NULL;
		part += length + 1;
	}
}

bool
ff_json_is_object(Jsonb *value)
{
	return value != NULL && JB_ROOT_IS_OBJECT(value);
}

bool
ff_json_is_array(Jsonb *value)
{
	return value != NULL && JB_ROOT_IS_ARRAY(value) && !JB_ROOT_IS_SCALAR(value);
}

bool
ff_json_is_null(Jsonb *value)
{
	JsonbValue scalar;

	return JB_ROOT_IS_SCALAR(value) && JsonbExtractScalar(&value->root, &scalar) &&
		   scalar.type == jbvNull;
}

Jsonb *
ff_json_from_text(const char *text)
{
	JsonbValue value = {.type = jbvString};

	value.val.string.val = unconstify(char *, text);
	value.val.string.len = (int) strlen(text);
	return JsonbValueToJsonb(&value);
}

Jsonb *
ff_json_literal(const char *json)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));
}

Jsonb *
ff_json_null(void)
{
	JsonbValue null = {.type = jbvNull};

	return JsonbValueToJsonb(&null);
}

/* Appends a value after a key or as an element, as the innermost container asks. */
static void
put(FfJsonBuilder *builder, JsonbValue *value)
{
	JsonbIteratorToken token = builder->state->contVal.type == jbvObject ? WJB_VALUE : WJB_ELEM;

	builder->result = pushJsonbValue(&builder->state, token, value);
}

void
ff_jb_object(FfJsonBuilder *builder)
{
	builder->result = pushJsonbValue(&builder->state, WJB_BEGIN_OBJECT, NULL);
}

void
ff_jb_array(FfJsonBuilder *builder)
{
	builder->result = pushJsonbValue(&builder->state, WJB_BEGIN_ARRAY, NULL);
}

void
ff_jb_end(FfJsonBuilder *builder)
{
	JsonbIteratorToken token =
		builder->state->contVal.type == jbvObject ? WJB_END_OBJECT : WJB_END_ARRAY;

	builder->result = pushJsonbValue(&builder->state, token, NULL);
}

void
ff_jb_key(FfJsonBuilder *builder, const char *key)
{
	JsonbValue value = {.type = jbvString};

	value.val.string.val = unconstify(char *, key);
	value.val.string.len = strlen(key);
	builder->result = pushJsonbValue(&builder->state, WJB_KEY, &value);
}

void
ff_jb_text(FfJsonBuilder *builder, const char *text)
{
	JsonbValue value = {.type = text ? jbvString : jbvNull};

	if (text)
	{
		value.val.string.val = unconstify(char *, text);
		value.val.string.len = strlen(text);
	}
	put(builder, &value);
}

void
ff_jb_int(FfJsonBuilder *builder, int64 number)
{
	JsonbValue value = {.type = jbvNumeric};

	value.val.numeric = int64_to_numeric(number);
	put(builder, &value);
}

void
ff_jb_bool(FfJsonBuilder *builder, bool boolean)
{
	JsonbValue value = {.type = jbvBool};

	value.val.boolean = boolean;
	put(builder, &value);
}

void
ff_jb_json(FfJsonBuilder *builder, Jsonb *document)
{
	JsonbValue value = {.type = jbvNull};

	if (document != NULL && JB_ROOT_IS_SCALAR(document))
		JsonbExtractScalar(&document->root, &value);
	else if (document != NULL)
	{
		value.type = jbvBinary;
		value.val.binary.data = &document->root;
		value.val.binary.len = VARSIZE(document) - VARHDRSZ;
	}
	put(builder, &value);
}

Jsonb *
ff_jb_finish(FfJsonBuilder *builder)
{
	return JsonbValueToJsonb(builder->result);
}

JsonbValue *
ff_jb_tree(FfJsonBuilder *builder)
{
	return builder->result;
}

JsonbValue *
ff_json_tree(Jsonb *document)
{
	JsonbIterator	  *iterator;
	JsonbParseState	  *state = NULL;
	JsonbValue		  *tree = palloc(sizeof(JsonbValue));
	JsonbIteratorToken token;
	JsonbValue		   part;

	if (JB_ROOT_IS_SCALAR(document))
	{
		JsonbExtractScalar(&document->root, tree);
		return tree;
	}
	iterator = JsonbIteratorInit(&document->root);
	while ((token = JsonbIteratorNext(&iterator, &part, false)) != WJB_DONE)
	{
		bool has_value = token == WJB_KEY || token == WJB_VALUE || token == WJB_ELEM;

		tree = pushJsonbValue(&state, token, has_value ? &part : NULL);
	}
	return tree;
}

Jsonb *
ff_json_map(Jsonb *document, char *(*map)(const char *text, int *length, void *argument),
			void *argument, bool keys)
{
	JsonbIterator	  *iterator = JsonbIteratorInit(&document->root);
	JsonbParseState	  *state = NULL;
	JsonbValue		  *result = NULL;
	JsonbIteratorToken token;
	JsonbValue		   part;

	while ((token = JsonbIteratorNext(&iterator, &part, false)) != WJB_DONE)
	{
		bool is_text = (token == WJB_KEY && keys) ||
					   ((token == WJB_VALUE || token == WJB_ELEM) && part.type == jbvString);
		bool has_value = token == WJB_KEY || token == WJB_VALUE || token == WJB_ELEM ||
						 (token == WJB_BEGIN_ARRAY && part.val.array.rawScalar);

		CHECK_FOR_INTERRUPTS();
		if (is_text)
			part.val.string.val = map(part.val.string.val, &part.val.string.len, argument);
		result = pushJsonbValue(&state, token, has_value ? &part : NULL);
	}
	return JsonbValueToJsonb(result);
}

Jsonb *
ff_json_empty_object(void)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

#define EPOCH_SHIFT_US ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

int64
ff_unix_us(TimestampTz at)
{
	return at + EPOCH_SHIFT_US;
}

TimestampTz
ff_from_unix_us(int64 us)
{
	return us - EPOCH_SHIFT_US;
}
