/*
 * id.h - 128-bit time-ordered ids: UUIDv7 (RFC 9562) in tables, ULID text (Crockford base32 of the
 * same 128 bits) on the SDK's wire.
 */
#ifndef FF_ID_H
#define FF_ID_H

#include "postgres.h"

#include "utils/timestamp.h"
#include "utils/uuid.h"

#define FF_ULID_SIZE 27 /* 26 characters and the terminator */

/* A new UUIDv7, greater than every earlier one of this process. */
extern void ff_uuid7(pg_uuid_t *out);

/* The milliseconds since 1970 an id carries. */
extern int64 ff_id_ms(const pg_uuid_t *id);

/* The smallest id of a millisecond since 1970: bounds of partitions. */
extern void ff_id_floor(int64 unix_ms, pg_uuid_t *out);

extern void ff_ulid_encode(const pg_uuid_t *id, char out[FF_ULID_SIZE]);
/* False unless text is 26 characters of Crockford's alphabet (any case) below 2^128. */
extern bool ff_ulid_decode(const char *text, pg_uuid_t *out);

/* Reads a uuid or a ULID; false when it is neither. */
extern bool ff_id_parse(const char *text, pg_uuid_t *out);

/* The slot (0..63) of a run: murmur3's 64-bit finaliser over the folded id. It decides who owns
 * stored rows and never changes. */
extern int ff_slot_of(const pg_uuid_t *id);

/* The header x-inngest-event-id-seed: "<ms>,<base64 of 10 bytes>"; see the SDK protocol's event
 * ingestion. */
typedef struct FfIdSeed
{
	int64 ms;
	uint8 entropy[10];
} FfIdSeed;

extern bool ff_seed_parse(const char *header, FfIdSeed *seed);
/* The id of the event at this 1-based place of the request. */
extern void ff_seed_id(const FfIdSeed *seed, uint32 index, pg_uuid_t *out);

#endif
