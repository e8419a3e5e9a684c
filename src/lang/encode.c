/*
 * encode.c - the filters of templates that code text: for URLs, in base 64, as a digest, and times
 * as dates.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "common/base64.h"
#include "common/cryptohash.h"
#include "common/int.h"
#include "common/sha2.h"
#include "mb/pg_wchar.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "lang/node.h"
#include "util/compat.h"
#include "util/errors.h"
#include "util/json.h"

static bool
takes_text(FfEvaluation *e, const FfNode *node, const FfValue *v)
{
	return v->kind == FF_TEXT ||
		   ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE, "%s takes text, not %s",
						node->function->name, ff_value_kind(v));
}

/* --- URLs --- */

/* In a query a space is a plus and a slash is coded. */
static void
append_coded(StringInfo out, const char *text, int length, bool query)
{
	for (int i = 0; i < length; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
			strchr("-_.~", c) != NULL || (c == '/' && !query))
			appendStringInfoChar(out, (char) c);
		else if (c == ' ' && query)
			appendStringInfoChar(out, '+');
		else
			appendStringInfo(out, "%%%02X", c);
	}
}

/* A value's text in a query. */
static bool
append_value(FfEvaluation *e, const FfNode *node, StringInfo out, const FfValue *v)
{
	StringInfoData plain;

	initStringInfo(&plain);
	if (!ff_value_write_plain(e, node->position, &plain, v) ||
		!ff_lang_pay(e, node->position, (int64) plain.len * 3))
		return false;
	append_coded(out, plain.data, plain.len, true);
	pfree(plain.data);
	return true;
}

/* An object becomes a query: a=1&b=2. */
static bool
append_query(FfEvaluation *e, const FfNode *node, StringInfo out, JsonbContainer *object)
{
	JsonbIterator	  *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue		   part;

	while ((token = JsonbIteratorNext(&iterator, &part, true)) != WJB_DONE)
	{
		FfValue value = {0};

		if (token != WJB_KEY && token != WJB_VALUE)
			continue;
		ff_value_of_json(&part, &value);
		if (token == WJB_VALUE)
			appendStringInfoChar(out, '=');
		else if (out->len > 0)
			appendStringInfoChar(out, '&');
		if (!append_value(e, node, out, &value))
			return false;
	}
	return true;
}

bool
ff_filter_urlencode(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	StringInfoData text;
	StringInfoData plain;

	ff_lang_use_scratch(e);
	initStringInfo(&text);
	initStringInfo(&plain);
	if (args->kind == FF_OBJECT)
	{
		if (!append_query(e, node, &text, args->u.stored))
			return false;
	}
	else
	{
		if (!ff_value_write_plain(e, node->position, &plain, args) ||
			!ff_lang_pay(e, node->position, (int64) plain.len * 3))
			return false;
		append_coded(&text, plain.data, plain.len, false);
	}
	ff_set_text(out, text.data, text.len);
	return true;
}

/* --- base 64 and digests --- */

bool
ff_filter_b64encode(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	int	  size;
	char *text;

	if (!takes_text(e, node, args))
		return false;
	size = pg_b64_enc_len(args->length);
	if ((text = ff_lang_room(e, node->position, size)) == NULL)
		return false;
	ff_set_text(out, text, ff_b64_encode(args->u.text, args->length, text, size));
	return true;
}

bool
ff_filter_b64decode(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	int	  size;
	int	  length;
	char *text;

	if (!takes_text(e, node, args))
		return false;
	size = pg_b64_dec_len(args->length) + 1;
	if ((text = ff_lang_room(e, node->position, size)) == NULL)
		return false;
	length = ff_b64_decode(args->u.text, args->length, text, size);
	if (length < 0)
		return ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE,
							"b64decode takes text in base 64");
	if (pg_encoding_verifymbstr(PG_UTF8, text, length) != length)
		return ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE,
							"what is decoded is not text in UTF-8");
	ff_set_text(out, text, length);
	return true;
}

bool
ff_filter_sha256(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	uint8			   digest[PG_SHA256_DIGEST_LENGTH];
	pg_cryptohash_ctx *hash;
	bool			   done;
	char			  *text;

	if (!takes_text(e, node, args) || !ff_lang_pay(e, node->position, args->length) ||
		(text = ff_lang_room(e, node->position, sizeof(digest) * 2)) == NULL)
		return false;
	hash = pg_cryptohash_create(PG_SHA256);
	done = hash != NULL && pg_cryptohash_init(hash) >= 0 &&
		   pg_cryptohash_update(hash, (const uint8 *) args->u.text, args->length) >= 0 &&
		   pg_cryptohash_final(hash, digest, sizeof(digest)) >= 0;
	if (hash != NULL)
		pg_cryptohash_free(hash);
	if (!done)
		elog(ERROR, "could not compute SHA-256");
	for (int i = 0; i < (int) sizeof(digest); i++)
	{
		text[i * 2] = "0123456789abcdef"[digest[i] >> 4];
		text[i * 2 + 1] = "0123456789abcdef"[digest[i] & 15];
	}
	ff_set_text(out, text, sizeof(digest) * 2);
	return true;
}

/* --- dates --- */

#define FORMAT_LIMIT 1000 /* bytes; to_char takes a multiple of it in memory */

/* Milliseconds since 1970; false for what PostgreSQL has no time for. */
static bool
time_of(const FfValue *ms, Timestamp *out)
{
	FfValue whole = *ms;
	int64	us;

	if (ms->kind == FF_NUMERIC)
		ff_set_numeric(&whole,
					   DatumGetNumeric(DirectFunctionCall2(
						   numeric_trunc, NumericGetDatum(ms->u.numeric), Int32GetDatum(0))));
	if (whole.kind != FF_INTEGER || pg_mul_s64_overflow(whole.u.integer, 1000, &us) ||
		us < ff_unix_us(MIN_TIMESTAMP) || us >= ff_unix_us(END_TIMESTAMP - USECS_PER_DAY * 20000))
		return false;
	*out = ff_from_unix_us(us);
	return true;
}

/* '%Y-%m-%d', in UTC. */
static bool
format_with_percents(FfEvaluation *e, const FfNode *node, Timestamp at, const char *format,
					 FfValue *out)
{
	struct pg_tm tm;
	fsec_t		 fraction;
	int64		 size = (int64) strlen(format) * 32 + 64;
	char		*text = ff_lang_room(e, node->position, size);

	if (text == NULL)
		return false;
	if (timestamp2tm(at, NULL, &tm, &fraction, NULL, NULL) != 0)
		return ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE,
							"there is no date at that time");
	tm.tm_wday = j2day(date2j(tm.tm_year, tm.tm_mon, tm.tm_mday));
	tm.tm_yday = date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) - date2j(tm.tm_year, 1, 1);
	tm.tm_year -= 1900;
	tm.tm_mon--;
	tm.tm_gmtoff = 0;
	tm.tm_zone = "UTC";
	ff_set_text(out, text, (int) pg_strftime(text, size, format, &tm));
	return true;
}

/* 'YYYY-MM-DD'. */
static bool
format_with_letters(FfEvaluation *e, const FfNode *node, Timestamp at, const FfValue *format,
					FfValue *out)
{
	text *made;

	if (!ff_lang_pay(e, node->position, (int64) format->length * 16))
		return false;
	made = DatumGetTextPP(DirectFunctionCall2Coll(
		timestamp_to_char, DEFAULT_COLLATION_OID, TimestampGetDatum(at),
		PointerGetDatum(cstring_to_text_with_len(format->u.text, format->length))));
	ff_set_text(out, VARDATA_ANY(made), (int) VARSIZE_ANY_EXHDR(made));
	return ff_lang_pay(e, node->position, out->length);
}

/*
 * date(format) of a time in milliseconds or as a text, in UTC: '%Y-%m-%d' as strftime has it, or
 * without any % as to_char has it, 'YYYY-MM-DD'.
 */
bool
ff_filter_date(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	Timestamp at;
	FfValue	  ms = {0};

	if (!takes_text(e, node, &args[1]) || !ff_fn_timestamp(e, node, args, &ms))
		return false;
	if (args[1].length > FORMAT_LIMIT)
		return ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_LIMIT,
							"the format of a date has at most %d bytes", FORMAT_LIMIT);
	ff_lang_use_scratch(e);
	if (!time_of(&ms, &at))
		return ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE,
							"there is no date at that time");
	if (args[1].length == 0)
		*out = args[1];
	else if (memchr(args[1].u.text, '%', args[1].length) == NULL)
		return format_with_letters(e, node, at, &args[1], out);
	else
		return format_with_percents(e, node, at, pnstrdup(args[1].u.text, args[1].length), out);
	return true;
}
