/*
 * save.h - what belongs to the writing of a group of changes (save.c) besides the runs' own rows.
 */
#ifndef FF_WORKER_SAVE_H
#define FF_WORKER_SAVE_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "run/run.h"

/* --- consequence.c --- */

/* Writes what changes (FfChange) make beyond their own runs, once the group's rows are written. */
extern void ff_write_consequences(List *changes);

/* --- effect.c --- */

/* Takes the guards of all effects and writes those that come before the runs' rows. */
extern void ff_effects_begin(List *changes);
/* Writes the others, after the consequences. */
extern void ff_effects_finish(List *changes);

#endif
