/*
 * table.c - hash tables of this process (see table.h).
 */
#include "postgres.h"

#include "util/table.h"

#define FIRST_SIZE 64 /* it grows as it is filled */

HTAB *
ff_table_make(const char *name, Size key, Size entry, MemoryContext context)
{
	HASHCTL control = {0};

	control.keysize = key;
	control.entrysize = entry;
	control.hcxt = context;
	return hash_create(name, FIRST_SIZE, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}
