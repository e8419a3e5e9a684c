/*
 * rows.h - rows for one table, written without a statement.
 *
 * What every event and every run writes is a few whole rows for tables we know. A statement for
 * them would be looked up, set up and taken down each time, which costs more than the rows. So they
 * go the way of COPY: routed to their partitions, put on their pages many at a time, and into the
 * indexes. Triggers fire, constraints are checked and privileges are needed as for an INSERT.
 */
#ifndef FF_ROWS_H
#define FF_ROWS_H

#include "postgres.h"

#define FF_ROWS_MAX_COLUMNS 12

/* A table of schema flowforge and the columns that are written; the others become null, whatever
 * their defaults. */
typedef struct FfTable
{
	const char *name;
	int			width;
	const char *columns[FF_ROWS_MAX_COLUMNS];
} FfTable;

typedef struct FfRows
{
	const FfTable *table;
	int			   count;
	int			   capacity;
	Datum		  *values; /* row by row */
	bool		  *nulls;
} FfRows;

/* Adds a row; nulls may be NULL. The values must live until the rows are written. */
extern void ff_rows_add(FfRows *rows, const Datum *values, const bool *nulls);

/* Writes the rows, which the next command of the transaction sees. */
extern void ff_rows_write(const FfRows *rows);

#endif
