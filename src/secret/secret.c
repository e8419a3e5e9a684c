/*
 * secret.c - see secret.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "secret/secret.h"
#include "util/errors.h"
#include "util/json.h"
#include "util/redact.h"
#include "util/seal.h"
#include "util/spi.h"

#define MARK_BYTES 16
#define HEAD "{{secret."
#define HEAD_BYTES ((int) sizeof(HEAD) - 1)

bool
ff_secret_is_name(const char *name)
{
	if (!isalpha((unsigned char) *name) && *name != '_')
		return false;
	for (const char *c = name; *c != '\0'; c++)
	{
		if (!isalnum((unsigned char) *c) && *c != '_')
			return false;
	}
	return strlen(name) < FF_SECRET_NAME_SIZE;
}

char *
ff_secret_mark(void)
{
	unsigned char bytes[MARK_BYTES];
	char		 *mark = palloc(2 * MARK_BYTES + 1);

	if (!pg_strong_random(bytes, MARK_BYTES))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("there are no random numbers")));
	for (int i = 0; i < MARK_BYTES; i++)
		snprintf(mark + 2 * i, 3, "%02x", bytes[i]);
	return mark;
}

Jsonb *
ff_secret_stand_ins(const List *names, const char *mark)
{
	FfJsonBuilder builder = {0};
	ListCell	 *cell;

	ff_jb_object(&builder);
	foreach (cell, names)
	{
		ff_jb_key(&builder, lfirst(cell));
		ff_jb_text(&builder, psprintf(HEAD "%s.%s}}", (char *) lfirst(cell), mark));
	}
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

/* --- stand-ins in texts --- */

/* What takes the place of a stand-in. */
typedef struct Replacing
{
	const char *mark;
	const char *(*value)(void *argument, const char *name);
	void *argument;
} Replacing;

/* The length of the stand-in that begins here, and its name; 0 when none does. */
static int
read_stand_in(const char *text, const char *end, const char *mark, char name[FF_SECRET_NAME_SIZE])
{
	int size = (int) strlen(mark);
	int length = 0;

	if (end - text < HEAD_BYTES || memcmp(text, HEAD, HEAD_BYTES) != 0)
		return 0;
	text += HEAD_BYTES;
	while (text + length < end && length < FF_SECRET_NAME_SIZE && text[length] != '.')
		length++;
	if (length == 0 || length == FF_SECRET_NAME_SIZE || end - text < length + 1 + size + 2 ||
		memcmp(text + length + 1, mark, size) != 0 ||
		memcmp(text + length + 1 + size, "}}", 2) != 0)
		return 0;
	memcpy(name, text, length);
	name[length] = '\0';
	return HEAD_BYTES + length + 1 + size + 2;
}

/* For ff_json_map. */
static char *
replace(const char *text, int *length, void *argument)
{
	const Replacing *replacing = argument;
	const char		*end = text + *length;
	char			 name[FF_SECRET_NAME_SIZE];
	StringInfoData	 out;

	initStringInfo(&out);
	while (text < end)
	{
		const char *brace = memchr(text, '{', end - text);
		int			size;

		CHECK_FOR_INTERRUPTS();
		if (brace == NULL)
			brace = end;
		appendBinaryStringInfo(&out, text, (int) (brace - text));
		text = brace;
		if (text == end)
			break;
		size = read_stand_in(text, end, replacing->mark, name);
		if (size > 0)
			appendStringInfoString(&out, replacing->value(replacing->argument, name));
		else
			appendStringInfoChar(&out, *text);
		text += Max(size, 1);
	}
	*length = out.len;
	return out.data;
}

static const char *
shown(void *argument, const char *name)
{
	return psprintf(HEAD "%s}}", name);
}

Jsonb *
ff_secret_shown(Jsonb *document, const char *mark)
{
	Replacing replacing = {.mark = mark, .value = shown};

	return ff_json_map(document, replace, &replacing, false);
}

/* --- values --- */

typedef struct Known
{
	char *name;
	char *value;
} Known;

typedef struct Opening
{
	int32  tenant_id;
	List  *known; /* of Known */
	List **hidden;
} Opening;

static void
refuse_unknown(const char *name)
{
	ereport(ERROR,
			(errcode(FF_ERR_SECRET_NOT_FOUND), errmsg("there is no secret \"%s\"", name),
			 errhint("An administrator of the tenant can set it: flowforge secrets set %s", name)));
}

/* When it was last used is told to about a minute; nobody is waited for to tell it. */
static void
note_use(int32 tenant_id, const char *name)
{
	static FfPlan plan = {
		"update flowforge.secret set last_used_at = now() where (tenant_id, name) = "
		"(select s.tenant_id, s.name from flowforge.secret s where s.tenant_id = $1 and s.name = $2 "
		"and (s.last_used_at is null or s.last_used_at < now() - interval '1 minute') "
		"for update skip locked)",
		2,
		{INT4OID, TEXTOID}};
	Datum values[2] = {Int32GetDatum(tenant_id), CStringGetTextDatum(name)};

	(void) ff_spi_run(&plan, values, NULL, false);
}

static char *
look_up(int32 tenant_id, const char *name)
{
	static FfPlan plan = {
		"select s.sealed from flowforge.secret s where s.tenant_id = $1 and s.name = $2",
		2,
		{INT4OID, TEXTOID}};
	Datum		  values[2] = {Int32GetDatum(tenant_id), CStringGetTextDatum(name)};
	MemoryContext caller = CurrentMemoryContext;
	uint64		  found = ff_spi_run(&plan, values, NULL, true);
	bool		  isnull;
	bytea		 *sealed;

	MemoryContextSwitchTo(caller); /* SPI leaves its own */
	if (found == 0)
		refuse_unknown(name);
	sealed = DatumGetByteaPP(ff_spi_value(0, 1, &isnull));
	return ff_unseal(sealed, psprintf("secret %s of tenant %d", name, tenant_id));
}

static const char *
open_one(void *argument, const char *name)
{
	Opening		 *opening = argument;
	MemoryContext caller = CurrentMemoryContext;
	Known		 *known;
	ListCell	 *cell;

	foreach (cell, opening->known)
	{
		known = lfirst(cell);
		if (strcmp(known->name, name) == 0)
			return known->value;
	}
	known = palloc(sizeof(Known));
	known->name = pstrdup(name);
	known->value = look_up(opening->tenant_id, name);
	note_use(opening->tenant_id, name);
	MemoryContextSwitchTo(caller);
	opening->known = lappend(opening->known, known);
	ff_redact_add(opening->hidden, known->value);
	return known->value;
}

Jsonb *
ff_secret_open(int32 tenant_id, Jsonb *document, const char *mark, List **hidden)
{
	Opening	  opening = {.tenant_id = tenant_id, .hidden = hidden};
	Replacing replacing = {.mark = mark, .value = open_one, .argument = &opening};

	return ff_json_map(document, replace, &replacing, false);
}

/* --- SQL --- */

PG_FUNCTION_INFO_V1(ff_sql_reseal);
Datum
ff_sql_reseal(PG_FUNCTION_ARGS)
{
	bytea *again = ff_reseal(PG_GETARG_BYTEA_PP(0), text_to_cstring(PG_GETARG_TEXT_PP(1)));

	if (again == NULL)
		PG_RETURN_NULL();
	PG_RETURN_BYTEA_P(again);
}

PG_FUNCTION_INFO_V1(ff_sql_secret_key_id);
Datum
ff_sql_secret_key_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(ff_seal_key_id()));
}
