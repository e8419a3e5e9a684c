/*
 * A directory in memory.
 */
#ifndef FF_STATIC_READ_H
#define FF_STATIC_READ_H

#include <stdbool.h>
#include <stddef.h>

/* What a client may be sent: the bytes, and the header lines that tell of them. */
typedef struct FfContent
{
	char  *bytes; /* NULL: there is none of this kind */
	size_t length;
	char   etag[40]; /* with its quotes */
	char  *fields;
} FfContent;

typedef struct FfFile
{
	char	 *name; /* relative to the directory, "/" between its parts */
	FfContent plain;
	FfContent gzip;
} FfFile;

typedef struct FfFiles
{
	FfFile *file; /* sorted by name */
	int		count;
	size_t	size; /* of all contents */
} FfFiles;

/* Reads a directory and what is below it. Names that begin with a dot are left out, and so are
 * links and everything else that is neither file nor directory. False, and why is logged, when
 * something cannot be read or is too much. */
extern bool ff_files_read(FfFiles *files, const char *directory);
extern void ff_files_free(FfFiles *files);

/* By name; NULL when there is none. */
extern const FfFile *ff_files_find(const FfFiles *files, const char *name);

#endif
