/*
 * PostgreSQL's programs on this machine.
 */
#ifndef FF_PROGRAMS_H
#define FF_PROGRAMS_H

/*
 * Directory of PostgreSQL's server programs: FLOWFORGE_PG_BINDIR, else the one this program was
 * built with, else what pg_config says. NULL when none has a postgres in it. To be freed.
 */
extern char *ff_programs(void);

/* The version of the server programs in a directory ("15.20"), "" when it cannot be told. */
extern void ff_programs_version(const char *directory, char version[32]);

#endif
