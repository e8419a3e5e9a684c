/*
 * crash.c - a child's last words (see crash.h).
 *
 * The engine ends its process when memory it cannot do without is not to be had. In the handler of
 * the signal one can still find out whether that is so, by asking for memory, and say so with what
 * is left: a constant and write.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../wire.h"
#include "crash.h"

#define STACK_SIZE (64 * 1024)

static char					 stack[STACK_SIZE] __attribute__((aligned(16)));
static size_t				 allowed;
static volatile sig_atomic_t writing;

static const char out_of_memory[] =
	"{\"error\":{\"name\":\"MemoryError\",\"message\":\"the code needs more memory than it may have\"}}";
static const char out_of_time[] =
	"{\"error\":{\"name\":\"TimeoutError\",\"message\":\"the code took more processor time than it may\"}}";
static const char crashed[] =
	"{\"error\":{\"name\":\"CrashError\",\"message\":\"the code made the JavaScript engine crash\"}}";

/* Inside another frame the words would be taken for part of it: then the silence speaks. */
static void __attribute__((noreturn)) say(const char *words)
{
	struct
	{
		FfSandboxFrame frame;
		char		   words[200];
	} last = {{(uint32_t) strlen(words), FF_SANDBOX_ANSWER}, ""};

	memcpy(last.words, words, last.frame.length);
	if (!writing && write(FF_SANDBOX_CONTROL_FD, &last, sizeof(last.frame) + last.frame.length) > 0)
		_exit(0);
	_exit(1);
}

/* More than half of what is allowed is taken: that is why the engine could not go on. */
static int
memory_is_short(void)
{
	return mmap(NULL, allowed / 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
		   MAP_FAILED;
}

static void
on_signal(int number)
{
	if (number == SIGXCPU)
		say(out_of_time);
	say(memory_is_short() ? out_of_memory : crashed);
}

void
crash_watch(size_t memory)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGABRT, SIGFPE, SIGXCPU};
	stack_t			 own = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK | SA_RESETHAND};

	allowed = memory;
	sigfillset(&action.sa_mask);
	sigaltstack(&own, NULL);
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaction(signals[i], &action, NULL);
}

void
crash_out_of_memory(void)
{
	say(out_of_memory);
}

void
crash_hold(void)
{
	writing++;
}

void
crash_release(void)
{
	writing--;
}
