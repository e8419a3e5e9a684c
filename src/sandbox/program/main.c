/*
 * main.c - flowforge-sandbox, the program in which code of inline_code steps runs.
 *
 * An executor starts it, with a socket for orders as descriptor 3, and it lives as long as that
 * executor: it is no program for people. See ../README.md.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine.h"
#include "jail.h"
#include "zygote.h"
#include "../wire.h"

#define STACK_SIZE (8UL << 20)
#define MIN_MEMORY (16UL << 20)

static int
fail(const char *message)
{
	fprintf(stderr, "flowforge-sandbox: %s\n", message);
	return 1;
}

static int
is_seqpacket(int descriptor)
{
	int		  type = 0;
	socklen_t length = sizeof(type);

	return getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &length) == 0 &&
		   type == SOCK_SEQPACKET;
}

/* The engine reads its settings from the environment, some before main: so the program begins a
 * second time, with nothing else in it. */
static int
begin_again(char **arguments, size_t memory)
{
	struct rlimit stack = {STACK_SIZE, STACK_SIZE};

	(void) setrlimit(RLIMIT_STACK, &stack);
	execve("/proc/self/exe", arguments, engine_environment(memory));
	return fail("/proc/self/exe cannot be executed");
}

int
main(int count, char **arguments)
{
	size_t		memory = count == 3 ? strtoul(arguments[1], NULL, 10) : 0;
	const char *fault;

	if (count == 2 && strcmp(arguments[1], "--version") == 0)
		return puts("flowforge-sandbox " FF_VERSION) < 0;
	if (memory < MIN_MEMORY || !is_seqpacket(FF_SANDBOX_CONTROL_FD))
		return fail(
			"started by FlowForge's executors only: flowforge-sandbox BYTES VERSION 3<>SOCKET");
	if (strcmp(arguments[2], FF_VERSION) != 0)
		return fail("the extension is of another version than " FF_VERSION);
	if (getenv("FLOWFORGE_SANDBOX") == NULL)
		return begin_again(arguments, memory);
	(void) prctl(PR_SET_NAME, "flowforge-sandbox"); /* not "exe" */
	if (!jail_tie_to_parent())
		return fail("the death of the parent cannot be watched");
	fault = engine_start();
	if (fault == NULL)
		fault = jail_zygote();
	return fault == NULL ? zygote_serve() : fail(fault);
}
