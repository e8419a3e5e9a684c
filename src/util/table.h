/*
 * table.h - hash tables of this process.
 */
#ifndef FF_TABLE_H
#define FF_TABLE_H

#include "postgres.h"

#include "utils/hsearch.h"

/* A table in a memory context, of entries that begin with their key: bytes of a fixed length, in
 * which nothing is unset. */
extern HTAB *ff_table_make(const char *name, Size key, Size entry, MemoryContext context);

#endif
