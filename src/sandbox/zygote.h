/*
 * zygote.h - an executor's zygote: starting it, ordering, hearing from it, noticing its death.
 */
#ifndef FF_SANDBOX_ZYGOTE_H
#define FF_SANDBOX_ZYGOTE_H

#include "postgres.h"

#include "sandbox/wire.h"
#include "utils/timestamp.h"

typedef enum FfZygoteState
{
	FF_ZYGOTE_NONE,
	FF_ZYGOTE_STARTING,
	FF_ZYGOTE_READY
} FfZygoteState;

extern FfZygoteState ff_zygote_state(void);

/* Its socket, to be watched while there is one; -1 when there is none. */
extern int ff_zygote_socket(void);

/* Children it has: those ordered and not yet told to be gone. */
extern int ff_zygote_children(void);

/* Until when a zygote that starts has to be ready. */
extern TimestampTz ff_zygote_deadline(void);

/* NULL, or why the program cannot be started. */
extern const char *ff_zygote_start(void);

/* Whether the settings it was started with are still those in force. */
extern bool ff_zygote_is_current(void);

/* Orders a child and gives our end of its stream. -1: not now. */
extern int	ff_zygote_order(uint64 id, int timeout_ms);
extern void ff_zygote_kill(uint64 id);

/* What it has said; 0 nothing more for now, -1 it is gone. */
extern int ff_zygote_hear(FfSandboxNotice *notice);

/* Ends it, and with it all its children. */
extern void ff_zygote_end(void);

#endif
