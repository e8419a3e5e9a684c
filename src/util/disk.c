/*
 * disk.c - how much room there is where the server writes: its data, its log ahead of them, and its
 * tablespaces, each of which may be a file system of its own.
 */
#include "postgres.h"

#include <sys/statvfs.h>

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"

#define COLUMNS 3

/* Adds the file system of a path, unless it cannot be asked: then it is no place to write to. */
static void
add_place(ReturnSetInfo *result, const char *path)
{
	struct statvfs system;
	Datum		   values[COLUMNS];
	bool		   nulls[COLUMNS] = {false};

	if (statvfs(path, &system) != 0)
		return;
	values[0] = CStringGetTextDatum(path);
	values[1] = Int64GetDatum((int64) (system.f_blocks * system.f_frsize));
	values[2] = Int64GetDatum((int64) (system.f_bavail * system.f_frsize));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(ff_sql_disk_space);
Datum
ff_sql_disk_space(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DIR			  *spaces = AllocateDir("pg_tblspc");
	struct dirent *entry;

	InitMaterializedSRF(fcinfo, 0);
	add_place(result, DataDir);
	add_place(result, psprintf("%s/pg_wal", DataDir));
	while ((entry = ReadDir(spaces, "pg_tblspc")) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (entry->d_name[0] != '.')
			add_place(result, psprintf("%s/pg_tblspc/%s", DataDir, entry->d_name));
	}
	FreeDir(spaces);
	return (Datum) 0;
}
