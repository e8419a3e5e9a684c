/*
 * wire.h - what an executor and the program flowforge-sandbox say to each other.
 *
 * Orders and notices go over one SOCK_SEQPACKET pair, a struct each. An order to start a child
 * brings the child's own end of a stream pair with it (SCM_RIGHTS); over that stream the executor
 * sends one frame, the request, and gets frames back until the answer or the end. So what code
 * says never passes through the zygote.
 *
 * A frame is a FfSandboxFrame and as many bytes of JSON:
 *   request  {code, context, input}
 *   console  {level, text}
 *   answer   {result} or {error: {name, message, stack?, line?}, final?}; and dropped: lines of
 *            the console that were too many
 */
#ifndef FF_SANDBOX_WIRE_H
#define FF_SANDBOX_WIRE_H

#include <stdint.h>

#define FF_SANDBOX_CONTROL_FD 3 /* the zygote's end of the orders, and a child's of its stream */

/* Of the console: what is beyond is counted and dropped. */
#define FF_SANDBOX_CONSOLE_LINES 1000
#define FF_SANDBOX_CONSOLE_BYTES (64 * 1024)

#define FF_SANDBOX_MAX_CHILDREN 64
#define FF_SANDBOX_MAX_REQUEST (64 * 1024 * 1024)

typedef enum FfSandboxOrderKind
{
	FF_SANDBOX_START = 1,
	FF_SANDBOX_KILL
} FfSandboxOrderKind;

typedef struct FfSandboxOrder
{
	uint32_t kind;
	uint32_t seconds; /* after which the child ends itself, should nobody have killed it */
	uint64_t id;	  /* the executor's */
	uint64_t memory;  /* bytes it may have beyond what every child begins with */
	uint64_t output;  /* bytes its result may have as JSON */
} FfSandboxOrder;

typedef enum FfSandboxNoticeKind
{
	FF_SANDBOX_READY = 1, /* the engine has started */
	FF_SANDBOX_ENDED,	  /* a child is gone: status, as wait has it */
	FF_SANDBOX_UNBORN	  /* no child could be made: status is an errno */
} FfSandboxNoticeKind;

typedef struct FfSandboxNotice
{
	uint32_t kind;
	int32_t	 status;
	uint64_t id;
	uint64_t peak;	 /* bytes of memory it had at most */
	uint64_t cpu_us; /* time of processor it took */
} FfSandboxNotice;

typedef enum FfSandboxFrameKind
{
	FF_SANDBOX_REQUEST = 1,
	FF_SANDBOX_CONSOLE,
	FF_SANDBOX_ANSWER
} FfSandboxFrameKind;

typedef struct FfSandboxFrame
{
	uint32_t length; /* of what follows */
	uint32_t kind;
} FfSandboxFrame;

#endif
