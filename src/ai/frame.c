/*
 * frame.c - a frame of AWS's event streams (application/vnd.amazon.eventstream).
 *
 *   total length 4 | headers' length 4 | CRC of these 8 | headers | payload | CRC of all before
 *
 * Numbers are big-endian. A header is its name's length 1, its name, its type 1 and its value; of
 * the types only 7, a text with its length 2 before it, is of interest.
 */
#include "postgres.h"

#include "port/pg_bswap.h"
#include "utils/pg_crc.h"

#include "ai/wire.h"

#define PRELUDE_BYTES 12
#define CRC_BYTES 4
#define LEAST_BYTES (PRELUDE_BYTES + CRC_BYTES)
#define MOST_BYTES (24 * 1024 * 1024) /* the format's own limit */
#define TEXT_TYPE 7

static uint32
number_at(const char *bytes)
{
	uint32 number;

	memcpy(&number, bytes, sizeof(number));
	return pg_ntoh32(number);
}

/* The same CRC as zlib's. */
static bool
crc_matches(const char *bytes, int length)
{
	pg_crc32 crc;

	INIT_TRADITIONAL_CRC32(crc);
	COMP_TRADITIONAL_CRC32(crc, bytes, length);
	FIN_TRADITIONAL_CRC32(crc);
	return crc == number_at(bytes + length);
}

/* How many bytes a header's value takes, its length included; -1 when its type is unknown. */
static int
value_size(int type, const char *value, int left)
{
	static const int sizes[] = {0, 0, 1, 2, 4, 8, -1, -1, 8, 16};

	if (type == 6 || type == TEXT_TYPE)
		return left < 2 ? -1 : 2 + ((uint8) value[0] << 8 | (uint8) value[1]);
	return type < (int) lengthof(sizes) ? sizes[type] : -1;
}

static bool
read_headers(const char *bytes, int length, FfAiPiece *piece)
{
	char *type = NULL;

	for (int at = 0; at < length;)
	{
		int			name = (uint8) bytes[at];
		const char *value = bytes + at + 1 + name + 1;
		int			left = length - (at + 1 + name + 1);
		int			size = left < 0 ? -1 : value_size((uint8) value[-1], value, left);

		if (size < 0 || size > left)
			return false;
		if (value[-1] == TEXT_TYPE)
		{
			char *text = pnstrdup(value + 2, size - 2);

			if ((name == 11 && memcmp(bytes + at + 1, ":event-type", 11) == 0) ||
				(name == 15 && memcmp(bytes + at + 1, ":exception-type", 15) == 0))
				piece->event = text;
			if (name == 13 && memcmp(bytes + at + 1, ":message-type", 13) == 0)
				type = text;
		}
		at += 1 + name + 1 + size;
	}
	piece->error = type != NULL && strcmp(type, "event") != 0;
	return true;
}

FfAiTaken
ff_ai_frame(const char *bytes, int length, FfAiPiece *piece, int *used)
{
	uint32 total;
	uint32 headers;

	memset(piece, 0, sizeof(*piece));
	if (length < PRELUDE_BYTES)
		return FF_AI_MORE;
	total = number_at(bytes);
	headers = number_at(bytes + 4);
	if (!crc_matches(bytes, 8) || total < LEAST_BYTES || total > MOST_BYTES ||
		headers > total - LEAST_BYTES)
		return FF_AI_BROKEN;
	if (length < (int) total)
		return FF_AI_MORE;
	if (!crc_matches(bytes, (int) total - CRC_BYTES) ||
		!read_headers(bytes + PRELUDE_BYTES, (int) headers, piece))
		return FF_AI_BROKEN;
	piece->data = bytes + PRELUDE_BYTES + headers;
	piece->length = (int) (total - LEAST_BYTES - headers);
	*used = (int) total;
	return FF_AI_TAKEN;
}
