/*
 * id.c - UUIDv7, ULID and slots (see id.h).
 *
 * The 12 bits after the version count within a millisecond: they start at the fraction of the
 * millisecond and only grow, so ids of one process are strictly increasing even when the clock
 * steps back; 62 random bits follow.
 */
#include "postgres.h"

#include <sys/time.h>

#include "common/base64.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"

#include "util/id.h"

static const char crockford[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static void
put_ms(pg_uuid_t *out, int64 ms)
{
	for (int i = 0; i < 6; i++)
		out->data[i] = (uint8) (ms >> (40 - 8 * i));
}

/* Asking for random bytes costs as much for many as for a few. */
static void
put_random(uint8 out[8])
{
	static uint8 pool[1024];
	static int	 left = 0;

	if (left == 0 && !pg_strong_random(pool, sizeof(pool)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("no random bytes for an id")));
	if (left == 0)
		left = sizeof(pool);
	left -= 8;
	memcpy(out, pool + left, 8);
}

void
ff_uuid7(pg_uuid_t *out)
{
	static int64   last = 0; /* 1/4096 milliseconds since 1970 */
	struct timeval now;
	int64		   tick;

	gettimeofday(&now, NULL);
	tick = ((int64) now.tv_sec * 1000 + now.tv_usec / 1000) * 4096 +
		   (int64) (now.tv_usec % 1000) * 4096 / 1000;
	if (tick <= last)
		tick = last + 1;
	last = tick;
	put_random(out->data + 8);
	put_ms(out, tick / 4096);
	out->data[6] = 0x70 | (uint8) ((tick % 4096) >> 8);
	out->data[7] = (uint8) (tick % 256);
	out->data[8] = 0x80 | (out->data[8] & 0x3f);
}

int64
ff_id_ms(const pg_uuid_t *id)
{
	int64 ms = 0;

	for (int i = 0; i < 6; i++)
		ms = (ms << 8) | id->data[i];
	return ms;
}

void
ff_id_floor(int64 unix_ms, pg_uuid_t *out)
{
	memset(out, 0, sizeof(*out));
	put_ms(out, unix_ms);
}

void
ff_ulid_encode(const pg_uuid_t *id, char out[FF_ULID_SIZE])
{
	uint64 high;
	uint64 low;

	memcpy(&high, id->data, 8);
	memcpy(&low, id->data + 8, 8);
	high = pg_ntoh64(high);
	low = pg_ntoh64(low);
	/* From the end, 5 bits at a time: 26 characters hold 130 bits, so two zero bits stand before
	 * the first. */
	for (int i = 25; i >= 0; i--)
	{
		out[i] = crockford[low & 31];
		low = (low >> 5) | (high << 59);
		high >>= 5;
	}
	out[26] = '\0';
}

bool
ff_ulid_decode(const char *text, pg_uuid_t *out)
{
	if (strlen(text) != 26 || text[0] < '0' || text[0] > '7')
		return false;
	memset(out, 0, sizeof(*out));
	for (int i = 0; i < 26; i++)
	{
		const char *place = memchr(crockford, pg_toupper((unsigned char) text[i]), 32);

		if (place == NULL)
			return false;
		for (int b = 0; b < 5; b++)
		{
			int bit = i * 5 - 2 + b;

			if (bit >= 0 && ((place - crockford) >> (4 - b)) & 1)
				out->data[bit / 8] |= 0x80 >> (bit % 8);
		}
	}
	return true;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = pg_tolower((unsigned char) c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
ff_id_parse(const char *text, pg_uuid_t *out)
{
	int digits = 0;

	if (ff_ulid_decode(text, out))
		return true;
	if (strlen(text) != 36)
		return false;
	memset(out, 0, sizeof(*out));
	for (int i = 0; i < 36; i++)
	{
		int value = hex_digit(text[i]);

		if (i == 8 || i == 13 || i == 18 || i == 23)
		{
			if (text[i] != '-')
				return false;
			continue;
		}
		if (value < 0)
			return false;
		out->data[digits / 2] |= value << (digits % 2 ? 0 : 4);
		digits++;
	}
	return true;
}

int
ff_slot_of(const pg_uuid_t *id)
{
	uint64 high;
	uint64 low;
	uint64 h;

	memcpy(&high, id->data, 8);
	memcpy(&low, id->data + 8, 8);
	h = pg_ntoh64(high) ^ pg_ntoh64(low);
	h ^= h >> 33;
	h *= UINT64CONST(0xff51afd7ed558ccd);
	h ^= h >> 33;
	h *= UINT64CONST(0xc4ceb9fe1a85ec53);
	h ^= h >> 33;
	return (int) (h % 64);
}

bool
ff_seed_parse(const char *header, FfIdSeed *seed)
{
	char *end;
	uint8 bytes[24];
	int	  length;

	errno = 0;
	seed->ms = strtoll(header, &end, 10);
	if (errno != 0 || end == header || *end != ',' || seed->ms < 0 ||
		seed->ms >= (INT64CONST(1) << 48) || strlen(end + 1) > 16)
		return false;
	length = pg_b64_decode(end + 1, strlen(end + 1), (char *) bytes, sizeof(bytes));
	if (length != 10)
		return false;
	memcpy(seed->entropy, bytes, 10);
	return true;
}

void
ff_seed_id(const FfIdSeed *seed, uint32 index, pg_uuid_t *out)
{
	uint32 tail;

	put_ms(out, seed->ms);
	memcpy(out->data + 6, seed->entropy, 10);
	memcpy(&tail, out->data + 12, 4);
	tail = pg_hton32(pg_ntoh32(tail) + index);
	memcpy(out->data + 12, &tail, 4);
}

PG_FUNCTION_INFO_V1(ff_sql_uuid7);
Datum
ff_sql_uuid7(PG_FUNCTION_ARGS)
{
	pg_uuid_t *id = palloc(sizeof(pg_uuid_t));

	ff_uuid7(id);
	PG_RETURN_UUID_P(id);
}

PG_FUNCTION_INFO_V1(ff_sql_ulid);
Datum
ff_sql_ulid(PG_FUNCTION_ARGS)
{
	char text[FF_ULID_SIZE];

	ff_ulid_encode(PG_GETARG_UUID_P(0), text);
	PG_RETURN_TEXT_P(cstring_to_text(text));
}

PG_FUNCTION_INFO_V1(ff_sql_id);
Datum
ff_sql_id(PG_FUNCTION_ARGS)
{
	pg_uuid_t *id = palloc(sizeof(pg_uuid_t));
	char	  *input = text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (!ff_id_parse(input, id))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION), errmsg("\"%s\" is not an id", input),
				 errhint("An id is a uuid or a 26-character ULID.")));
	PG_RETURN_UUID_P(id);
}

PG_FUNCTION_INFO_V1(ff_sql_slot);
Datum
ff_sql_slot(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT16(ff_slot_of(PG_GETARG_UUID_P(0)));
}

#define EPOCH_SHIFT_US ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

PG_FUNCTION_INFO_V1(ff_sql_id_time);
Datum
ff_sql_id_time(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(ff_id_ms(PG_GETARG_UUID_P(0)) * 1000 - EPOCH_SHIFT_US);
}

PG_FUNCTION_INFO_V1(ff_sql_id_floor);
Datum
ff_sql_id_floor(PG_FUNCTION_ARGS)
{
	pg_uuid_t *id = palloc(sizeof(pg_uuid_t));
	int64	   ms = (PG_GETARG_TIMESTAMPTZ(0) + EPOCH_SHIFT_US) / 1000;

	if (ms < 0 || ms >= (INT64CONST(1) << 48))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_FIELD_OVERFLOW), errmsg("no id carries this time")));
	ff_id_floor(ms, id);
	PG_RETURN_UUID_P(id);
}

PG_FUNCTION_INFO_V1(ff_sql_seed_id);
Datum
ff_sql_seed_id(PG_FUNCTION_ARGS)
{
	pg_uuid_t *id = palloc(sizeof(pg_uuid_t));
	FfIdSeed   seed;

	if (!ff_seed_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), &seed))
		PG_RETURN_NULL();
	ff_seed_id(&seed, (uint32) PG_GETARG_INT32(1), id);
	PG_RETURN_UUID_P(id);
}
