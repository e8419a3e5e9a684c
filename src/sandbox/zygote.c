/*
 * zygote.c - an executor's zygote (see zygote.h).
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "miscadmin.h"
#include "port.h"
#include "run/run.h"
#include "sandbox/client.h"
#include "sandbox/zygote.h"

#define PROGRAM "flowforge-sandbox"
#define START_US (30 * USECS_PER_SEC)

int	  ff_sandbox_processes = 4;
int	  ff_sandbox_memory = 128;
char *ff_sandbox_program = NULL;

static FfZygoteState state = FF_ZYGOTE_NONE;
static pid_t		 pid = 0;
static int			 control = -1;
static int			 children = 0;
static TimestampTz	 deadline = 0;
static int			 memory = 0; /* MB, as it was started with */

FfZygoteState
ff_zygote_state(void)
{
	return state;
}

int
ff_zygote_socket(void)
{
	return control;
}

int
ff_zygote_children(void)
{
	return children;
}

TimestampTz
ff_zygote_deadline(void)
{
	return deadline;
}

bool
ff_zygote_is_current(void)
{
	return memory == ff_sandbox_memory;
}

/* --- starting and ending --- */

static void
find_program(char *path)
{
	char directory[MAXPGPATH];

	if (ff_sandbox_program != NULL && *ff_sandbox_program)
	{
		strlcpy(path, ff_sandbox_program, MAXPGPATH);
		return;
	}
	strlcpy(directory, my_exec_path, sizeof(directory));
	get_parent_directory(directory);
	join_path_components(path, directory, PROGRAM);
}

/* Begins with nothing of ours: no descriptor but its socket and our log, no environment, no signal
 * blocked or handled. Gives an errno. */
static int
spawn(const char *program, int socket)
{
	static char				   bytes[32];
	static char				  *environment[] = {NULL};
	char					  *arguments[] = {PROGRAM, bytes, FF_VERSION, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t		   attributes;
	sigset_t				   none;
	sigset_t				   all;
	int						   failed;

	sigemptyset(&none);
	sigfillset(&all);
	snprintf(bytes, sizeof(bytes), "%zu", (size_t) ff_sandbox_memory * 1024 * 1024);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	failed = posix_spawn_file_actions_adddup2(&actions, socket, FF_SANDBOX_CONTROL_FD) |
			 posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0) |
			 posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0) |
			 posix_spawn_file_actions_addclosefrom_np(&actions, FF_SANDBOX_CONTROL_FD + 1) |
			 posix_spawnattr_setsigmask(&attributes, &none) |
			 posix_spawnattr_setsigdefault(&attributes, &all) |
			 posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (failed)
		failed = ENOMEM;
	else
		failed = posix_spawn(&pid, program, &actions, &attributes, arguments, environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return failed;
}

const char *
ff_zygote_start(void)
{
	char program[MAXPGPATH];
	int	 pair[2];
	int	 failed;

	find_program(program);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		return psprintf("a socket cannot be made: %m");
	/* The other end waits for orders. */
	(void) fcntl(pair[1], F_SETFL, 0);
	failed = spawn(program, pair[1]);
	close(pair[1]);
	if (failed != 0)
	{
		close(pair[0]);
		pid = 0;
		errno = failed;
		return psprintf("the program \"%s\" cannot be started: %m", program);
	}
	control = pair[0];
	state = FF_ZYGOTE_STARTING;
	children = 0;
	memory = ff_sandbox_memory;
	deadline = GetCurrentTimestamp() + START_US;
	return NULL;
}

void
ff_zygote_end(void)
{
	if (state == FF_ZYGOTE_NONE)
		return;
	close(control);
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		CHECK_FOR_INTERRUPTS();
	control = -1;
	pid = 0;
	children = 0;
	state = FF_ZYGOTE_NONE;
}

/* --- orders and notices --- */

static bool
send_order(const FfSandboxOrder *order, int stream)
{
	union
	{
		struct cmsghdr header; /* for its alignment */
		char		   room[CMSG_SPACE(sizeof(int))];
	} ancillary = {.room = {0}};
	struct iovec  part = {unconstify(FfSandboxOrder *, order), sizeof(*order)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (stream >= 0)
	{
		struct cmsghdr *header;

		message.msg_control = ancillary.room;
		message.msg_controllen = sizeof(ancillary.room);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &stream, sizeof(stream));
	}
	return sendmsg(control, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof(*order);
}

int
ff_zygote_order(uint64 id, int timeout_ms)
{
	FfSandboxOrder order = {.kind = FF_SANDBOX_START,
							.seconds = (uint32_t) (timeout_ms / 1000 + 2),
							.id = id,
							.memory = (uint64) memory * 1024 * 1024,
							.output = (uint64) ff_output_limit};
	int			   pair[2];
	bool		   sent;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return -1;
	sent = fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0 && send_order(&order, pair[1]);
	close(pair[1]);
	if (!sent)
	{
		close(pair[0]);
		return -1;
	}
	children++;
	return pair[0];
}

/* Should it not be heard, the child ends itself a little later. */
void
ff_zygote_kill(uint64 id)
{
	FfSandboxOrder order = {.kind = FF_SANDBOX_KILL, .id = id};

	if (state == FF_ZYGOTE_READY)
		(void) send_order(&order, -1);
}

int
ff_zygote_hear(FfSandboxNotice *notice)
{
	ssize_t got = recv(control, notice, sizeof(*notice), MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return 0;
	if (got != sizeof(*notice))
		return -1;
	if (notice->kind == FF_SANDBOX_READY)
		state = FF_ZYGOTE_READY;
	else
		children--;
	return 1;
}
