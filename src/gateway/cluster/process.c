/*
 * The server programs of a private cluster as processes (see process.h).
 */
#define _GNU_SOURCE
#include "cluster/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cluster/home.h"

#define ORPHAN_TIMEOUT_MS 20000
#define TURN_MS 20

pid_t
ff_process_start(const FfCluster *cluster, char **argv, const char *log_name, int input)
{
	char *log = ff_text("%s/%s", cluster->log, log_name);
	char *program = ff_text("%s/%s", cluster->binaries, argv[0]);
	pid_t parent = getpid();
	pid_t child = fork();

	if (child == 0)
	{
		int		 output;
		sigset_t none;

		setpgid(0, 0);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		signal(SIGPIPE, SIG_DFL);
		ff_home_become_user(cluster);
		umask(077);
		output = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
		if (output < 0 || chdir(cluster->log) != 0)
			_exit(FF_EXIT_FAILED);
		dup2(input, STDIN_FILENO);
		dup2(output, STDOUT_FILENO);
		dup2(output, STDERR_FILENO);
		prctl(PR_SET_PDEATHSIG, SIGINT);
		if (getppid() != parent)
			_exit(FF_EXIT_FAILED);
		argv[0] = program; /* by which it finds the programs beside it */
		execv(program, argv);
		dprintf(STDERR_FILENO, "cannot run %s: %s\n", program, strerror(errno));
		_exit(FF_EXIT_FAILED);
	}
	free(program);
	free(log);
	return child;
}

/* The end of a log file: at most `size` - 1 bytes, "" when there is none. */
static void
log_end(const FfCluster *cluster, const char *name, char *text, size_t size)
{
	char  *path = ff_text("%s/%s", cluster->log, name);
	FILE  *file = fopen(path, "re");
	size_t length = 0;

	if (file != NULL)
	{
		if (fseek(file, -(long) (size - 1), SEEK_END) != 0)
			rewind(file);
		length = fread(text, 1, size - 1, file);
		fclose(file);
	}
	text[length] = '\0';
	free(path);
}

void
ff_process_show_log(const FfCluster *cluster, const char *name)
{
	char text[1500];

	log_end(cluster, name, text, sizeof(text));
	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
		fprintf(stderr, "  │ %s\n", line);
	fprintf(stderr, "  (%s/log/%s)\n", cluster->shown, name);
}

bool
ff_process_run(const FfCluster *cluster, char **argv, const char *input)
{
	int	  ends[2];
	pid_t child;
	int	  status = -1;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	if (write(ends[1], input, strlen(input)) < 0)
		status = -1;
	close(ends[1]);
	child = ff_process_start(cluster, argv, "initdb.log", ends[0]);
	close(ends[0]);
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	ff_complain(NULL, "%s failed", argv[0]);
	ff_process_show_log(cluster, "initdb.log");
	return false;
}

/* ---- what an earlier start has left ---- */

/* What a link in /proc points to, "" when the process is gone. */
static void
process_link(pid_t pid, const char *name, char link[PATH_MAX])
{
	char   *path = ff_text("/proc/%d/%s", (int) pid, name);
	ssize_t length = readlink(path, link, PATH_MAX - 1);

	link[length > 0 ? length : 0] = '\0';
	free(path);
}

/* Whether a process is PostgreSQL's and works in this very data directory, as its postmaster and
 * all its backends do. */
static bool
works_in(pid_t pid, const char *data)
{
	char directory[PATH_MAX];
	char program[PATH_MAX];

	process_link(pid, "cwd", directory);
	process_link(pid, "exe", program);
	return strcmp(directory, data) == 0 && strstr(program, "/postgres") != NULL;
}

/* Some process that works in the data directory; 0 when there is none. */
static pid_t
find_worker(const char *data)
{
	DIR					*processes = opendir("/proc");
	const struct dirent *entry;
	pid_t				 found = 0;

	while (processes != NULL && found == 0 && (entry = readdir(processes)) != NULL)
	{
		pid_t pid = (pid_t) atoi(entry->d_name);

		if (pid > 0 && works_in(pid, data))
			found = pid;
	}
	if (processes != NULL)
		closedir(processes);
	return found;
}

bool
ff_process_clean_up(const FfCluster *cluster)
{
	char   *path = ff_text("%s/postmaster.pid", cluster->data);
	char   *text = ff_read_file(path, 4096);
	pid_t	pid = text != NULL ? (pid_t) atoi(text) : 0;
	int64_t deadline = ff_steady_clock() + ORPHAN_TIMEOUT_MS;
	pid_t	left;

	free(text);
	if (pid > 1 && works_in(pid, cluster->data))
		kill(pid, SIGINT);
	while ((left = find_worker(cluster->data)) != 0 && ff_steady_clock() < deadline)
		poll(NULL, 0, TURN_MS);
	if (left != 0)
		ff_complain("stop it first", "an earlier PostgreSQL (process %d) still runs on %s",
					(int) left, cluster->shown);
	else if (pid > 1 && kill(pid, 0) == 0)
		unlink(path);
	free(path);
	return left == 0;
}
