/*
 * client.h - runs code in children of the program flowforge-sandbox, for an executor.
 *
 * Nothing here blocks. A call is started, driven whenever the descriptor is readable or the
 * time-out passes, and handed back when it is over. The zygote is started when the first call needs
 * it and again when it has died; at most ff_sandbox_processes children run at once, and calls
 * beyond wait in order. When the executor ends, however it ends, so does all of this.
 */
#ifndef FF_SANDBOX_CLIENT_H
#define FF_SANDBOX_CLIENT_H

#include "postgres.h"

#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "utils/timestamp.h"

typedef enum FfSandboxOutcome
{
	FF_SANDBOX_ANSWERED,  /* `answer` is what the child said: JSON, not to be trusted */
	FF_SANDBOX_TIMED_OUT, /* it was killed when its time was up */
	FF_SANDBOX_FORBIDDEN, /* it was killed because of a system call it may not make */
	FF_SANDBOX_CRASHED,	  /* it ended without an answer */
	FF_SANDBOX_LOST,	  /* the zygote ended under it: another attempt may end better */
	FF_SANDBOX_UNSTARTED  /* there is no sandbox: `failure` says why */
} FfSandboxOutcome;

typedef struct FfSandboxCall
{
	MemoryContext	 context;
	void			*owner;	  /* the caller's */
	void			*detail;  /* the caller's */
	StringInfoData	 request; /* the caller's: JSON {code, context, input} */
	int				 timeout; /* ms, of the child's life */
	FfSandboxOutcome outcome;
	StringInfoData	 answer;
	StringInfoData	 console; /* JSON objects {level, text}, with commas between */
	char			*failure;

	/* The client's. */
	int			   state;
	dlist_node	   node;
	uint64		   id;
	int			   stream;
	bool		   writes; /* the request is not all sent */
	size_t		   sent;
	int			   lines;
	TimestampTz	   deadline;
	StringInfoData received;
} FfSandboxCall;

extern int	 ff_sandbox_processes; /* children of an executor at once */
extern int	 ff_sandbox_memory;	   /* MB a child may have */
extern char *ff_sandbox_program;   /* "": beside the server's own programs */

/* Once per executor. Raises when it cannot. */
extern void ff_sandbox_init(void);

/* The descriptor to wait on, and for how many milliseconds at most (-1: no bound). */
extern int	ff_sandbox_descriptor(void);
extern long ff_sandbox_timeout(void);

/* A call in a new context below `parent`; fill `request`, set `timeout`, then start it. */
extern FfSandboxCall *ff_sandbox_new(MemoryContext parent);
extern void			  ff_sandbox_start(FfSandboxCall *call);

/* Moves all calls on; `done` is called for each that is over, and may free any call. */
typedef void (*FfSandboxDone)(FfSandboxCall *call);
extern void ff_sandbox_drive(FfSandboxDone done);

/* Gives up a call, or frees a finished one. */
extern void ff_sandbox_free(FfSandboxCall *call);

#endif
