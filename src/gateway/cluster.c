/*
 * The private PostgreSQL cluster of `flowforge dev`: see cluster.h.
 *
 * A cluster comes into being as data.new, with its database made in single-user mode, and is
 * renamed to data when it is whole: a first start that was cut short leaves nothing that a later
 * one could take for a cluster. What the server needs of us is written anew at every start into
 * data/flowforge.conf, which postgresql.conf includes; everything else in postgresql.conf is the
 * user's.
 */
#define _GNU_SOURCE
#include "cluster.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "cluster_keys.h"

#ifndef FF_PG_BINDIR
#define FF_PG_BINDIR ""
#endif

#define SERVER_USER "postgres"
#define SHARED_HOME "/var/lib/flowforge"
#define FIRST_PORT 54329
#define PORTS_TRIED 200
#define PORT_TRIES 10
#define START_TIMEOUT_MS 120000
#define STOP_TIMEOUT_MS 60000
#define ORPHAN_TIMEOUT_MS 20000
#define TURN_MS 20

static void
rest(int milliseconds)
{
	struct timespec time = {milliseconds / 1000, (milliseconds % 1000) * 1000000L};

	nanosleep(&time, NULL);
}

/* ---- programs ---- */

static bool
has_postgres(const char *directory)
{
	char *path = ff_text("%s/postgres", directory);
	bool  found = directory[0] != '\0' && access(path, X_OK) == 0;

	free(path);
	return found;
}

/* The first line a command prints, without its end; NULL when it fails. To be freed. */
static char *
first_line(const char *command)
{
	FILE *pipe = popen(command, "re");
	char  line[PATH_MAX] = "";
	bool  read;

	if (pipe == NULL)
		return NULL;
	read = fgets(line, sizeof(line), pipe) != NULL;
	if (pclose(pipe) != 0 || !read)
		return NULL;
	line[strcspn(line, "\n")] = '\0';
	return ff_text("%s", line);
}

char *
ff_cluster_binaries(void)
{
	const char *given = getenv("FLOWFORGE_PG_BINDIR");
	char	   *found;

	if (given != NULL && given[0] != '\0')
		return has_postgres(given) ? ff_text("%s", given) : NULL;
	if (has_postgres(FF_PG_BINDIR))
		return ff_text("%s", FF_PG_BINDIR);
	found = first_line("pg_config --bindir 2>/dev/null");
	if (found != NULL && has_postgres(found))
		return found;
	free(found);
	return NULL;
}

void
ff_cluster_version(const char *binaries, char version[32])
{
	char *command = ff_text("'%s/postgres' --version", binaries);
	char *line = first_line(command);

	version[0] = '\0';
	if (line != NULL)
		sscanf(line, "postgres (PostgreSQL) %31s", version);
	free(line);
	free(command);
}

/* ---- user and directory ---- */

static bool
find_user(FfCluster *cluster)
{
	const struct passwd *user = geteuid() == 0 ? getpwnam(SERVER_USER) : getpwuid(geteuid());

	if (user == NULL)
	{
		ff_complain("the package postgresql-common makes it",
					"there is no user %s, and PostgreSQL does not run as root", SERVER_USER);
		return false;
	}
	snprintf(cluster->user, sizeof(cluster->user), "%s", user->pw_name);
	cluster->uid = user->pw_uid;
	cluster->gid = user->pw_gid;
	return true;
}

void
ff_cluster_become_user(const FfCluster *cluster)
{
	if (geteuid() != 0)
		return;
	if (initgroups(cluster->user, cluster->gid) != 0 || setgid(cluster->gid) != 0 ||
		setuid(cluster->uid) != 0)
	{
		ff_complain(NULL, "cannot become %s: %s", cluster->user, strerror(errno));
		_exit(FF_EXIT_FAILED);
	}
}

/* Whether the cluster's user can enter a directory. */
static bool
user_can_enter(const FfCluster *cluster, const char *directory)
{
	pid_t child;
	int	  status = 0;

	if (geteuid() != 0)
		return access(directory, X_OK) == 0;
	child = fork();
	if (child == 0)
	{
		ff_cluster_become_user(cluster);
		_exit(access(directory, X_OK) == 0 ? 0 : 1);
	}
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
		   WEXITSTATUS(status) == 0;
}

/* Makes a directory and those above it. */
static bool
make_directories(const char *path, mode_t mode)
{
	char *copy = ff_text("%s", path);

	for (char *slash = strchr(copy + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/'))
	{
		*slash = '\0';
		mkdir(copy, 0755);
		*slash = '/';
	}
	free(copy);
	if (mkdir(path, mode) == 0 || errno == EEXIST)
		return true;
	ff_complain(NULL, "cannot make the directory %s: %s", path, strerror(errno));
	return false;
}

/* A directory that belongs to the server's user. */
static bool
make_own_directory(const FfCluster *cluster, const char *path, mode_t mode)
{
	if (!make_directories(path, mode))
		return false;
	if (geteuid() == 0 && (chown(path, cluster->uid, cluster->gid) != 0 || chmod(path, mode) != 0))
	{
		ff_complain(NULL, "cannot give %s to %s: %s", path, cluster->user, strerror(errno));
		return false;
	}
	return true;
}

/* FNV-1a, to name a directory after another. */
static unsigned long long
path_hash(const char *path)
{
	unsigned long long hash = 14695981039346656037ULL;

	while (*path != '\0')
		hash = (hash ^ (unsigned char) *path++) * 1099511628211ULL;
	return hash;
}

/* The directory is out of the server user's reach: puts it elsewhere and a symbolic link in its
 * place. */
static bool
link_home(const FfCluster *cluster)
{
	char *above = ff_text("%s", cluster->shown);
	char *slash = strrchr(above, '/');
	char  full[PATH_MAX];
	char *target;
	bool  linked;

	if (slash != NULL)
		*slash = '\0';
	if (realpath(slash == NULL ? "." : above[0] == '\0' ? "/" : above, full) == NULL)
		snprintf(full, sizeof(full), "%s", cluster->shown);
	free(above);
	target = ff_text(SHARED_HOME "/%llx", path_hash(full));
	linked = make_directories(target, 0755) && rmdir(cluster->shown) == 0 &&
			 symlink(target, cluster->shown) == 0;
	if (!linked)
		ff_complain("remove or move it, or name a directory in reach with --persist",
					"%s is where user %s cannot reach it, and is not empty", cluster->shown,
					cluster->user);
	free(target);
	return linked;
}

/* A symbolic link from an earlier start may point to a directory that is gone. */
static bool
make_home(const FfCluster *cluster)
{
	char	target[PATH_MAX];
	ssize_t length = readlink(cluster->shown, target, sizeof(target) - 1);

	if (length <= 0)
		return make_directories(cluster->shown, 0755);
	target[length] = '\0';
	return target[0] != '/' || make_directories(target, 0755);
}

static bool
find_home(FfCluster *cluster)
{
	char full[PATH_MAX];
	bool found = make_home(cluster) && realpath(cluster->shown, full) != NULL;

	if (found && !user_can_enter(cluster, full))
	{
		if (!link_home(cluster))
			return false;
		found = realpath(cluster->shown, full) != NULL;
	}
	if (!found)
	{
		ff_complain(NULL, "cannot use %s: %s", cluster->shown, strerror(errno));
		return false;
	}
	cluster->home = ff_text("%s", full);
	cluster->data = ff_text("%s/data", full);
	cluster->log = ff_text("%s/log", full);
	return true;
}

/* A socket's path has room for 107 bytes: a deep directory gets a short one in /tmp. */
static bool
find_socket(FfCluster *cluster)
{
	struct stat status;

	cluster->socket = ff_text("%s/run", cluster->home);
	if (strlen(cluster->socket) + sizeof("/.s.PGSQL.65535") >
		sizeof(((struct sockaddr_un *) 0)->sun_path))
	{
		free(cluster->socket);
		cluster->socket = ff_text("/tmp/flowforge-%llx", path_hash(cluster->home));
	}
	if (!make_own_directory(cluster, cluster->socket, 0755))
		return false;
	if (lstat(cluster->socket, &status) == 0 && S_ISDIR(status.st_mode) &&
		status.st_uid == cluster->uid)
		return true;
	ff_complain(NULL, "%s is not a directory of user %s", cluster->socket, cluster->user);
	return false;
}

static bool
take_lock(FfCluster *cluster)
{
	char *path = ff_text("%s/lock", cluster->home);
	char  holder[32] = "";

	cluster->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	free(path);
	if (cluster->lock < 0)
	{
		ff_complain("was it made by another user? --persist names another directory",
					"cannot write in %s: %s", cluster->shown, strerror(errno));
		return false;
	}
	if (flock(cluster->lock, LOCK_EX | LOCK_NB) != 0)
	{
		if (read(cluster->lock, holder, sizeof(holder) - 1) < 0)
			holder[0] = '\0';
		ff_complain("use that one, or --persist DIR for another",
					"`flowforge dev` runs already on %s (process %d)", cluster->shown,
					atoi(holder));
		close(cluster->lock);
		cluster->lock = -1;
		return false;
	}
	snprintf(holder, sizeof(holder), "%d\n", (int) getpid());
	if (ftruncate(cluster->lock, 0) != 0 || pwrite(cluster->lock, holder, strlen(holder), 0) < 0)
		return false;
	return true;
}

/* Keeps the directory out of version control. */
static void
ignore_home(const FfCluster *cluster)
{
	char *path = ff_text("%s/.gitignore", cluster->home);
	FILE *file = fopen(path, "wxe");

	if (file != NULL)
	{
		fputs("*\n", file);
		fclose(file);
	}
	free(path);
}

bool
ff_cluster_open(FfCluster *cluster, const char *directory)
{
	size_t length = strlen(directory);

	memset(cluster, 0, sizeof(*cluster));
	cluster->lock = -1;
	while (length > 1 && directory[length - 1] == '/')
		length--;
	cluster->shown = strndup(directory, length);
	cluster->binaries = ff_cluster_binaries();
	if (cluster->binaries == NULL)
	{
		ff_complain(
			"install postgresql-15, or set FLOWFORGE_PG_BINDIR to the directory of initdb and postgres",
			"PostgreSQL's server programs are not to be found");
		return false;
	}
	ff_cluster_version(cluster->binaries, cluster->version);
	if (!find_user(cluster) || !find_home(cluster) || !take_lock(cluster))
		return false;
	ignore_home(cluster);
	return find_socket(cluster) && make_own_directory(cluster, cluster->log, 0755);
}

void
ff_cluster_close(FfCluster *cluster)
{
	if (cluster->lock >= 0)
		close(cluster->lock);
	cluster->lock = -1;
}

/* ---- child processes ---- */

/* Starts a server program as the cluster's user, in its own process group, with its output at the
 * end of a log file. */
static pid_t
spawn(const FfCluster *cluster, char **argv, const char *log_name, int input)
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
		ff_cluster_become_user(cluster);
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

/* Shows the last lines of a log file, which say why something failed. */
static void
show_log(const FfCluster *cluster, const char *name)
{
	char text[1500];

	log_end(cluster, name, text, sizeof(text));
	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
		fprintf(stderr, "  │ %s\n", line);
	fprintf(stderr, "  (%s/log/%s)\n", cluster->shown, name);
}

/* Runs a server program to its end, with a text as its input. */
static bool
run(const FfCluster *cluster, char **argv, const char *input)
{
	int	  ends[2];
	pid_t child;
	int	  status = -1;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	if (write(ends[1], input, strlen(input)) < 0)
		status = -1;
	close(ends[1]);
	child = spawn(cluster, argv, "initdb.log", ends[0]);
	close(ends[0]);
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	ff_complain(NULL, "%s failed", argv[0]);
	show_log(cluster, "initdb.log");
	return false;
}

/* ---- the data directory ---- */

static bool
append_line(const char *path, const char *line)
{
	FILE *file = fopen(path, "ae");
	bool  written = file != NULL && fprintf(file, "%s\n", line) > 0;

	if (file != NULL && fclose(file) != 0)
		written = false;
	return written;
}

/* Removes what a start that was cut short left in data.new. */
static void
remove_unfinished(const char *path)
{
	pid_t child;

	if (access(path, F_OK) != 0)
		return;
	child = fork();
	if (child == 0)
	{
		execl("/bin/rm", "rm", "-rf", "--", path, (char *) NULL);
		_exit(FF_EXIT_FAILED);
	}
	waitpid(child, NULL, 0);
}

static bool
check_version(const FfCluster *cluster)
{
	char *path = ff_text("%s/PG_VERSION", cluster->data);
	char *version = ff_read_file(path, 100);
	bool  same = version != NULL && atoi(version) == atoi(cluster->version);

	if (version == NULL)
		ff_complain("it belongs to another user? --persist names another directory",
					"cannot read %s: %s", path, strerror(errno));
	else if (!same)
		ff_complain(
			"use those programs (FLOWFORGE_PG_BINDIR), pg_upgrade it, or begin anew by removing the directory",
			"%s was made by PostgreSQL %d; the programs in %s are %s", cluster->shown,
			atoi(version), cluster->binaries, cluster->version);
	free(version);
	free(path);
	return same;
}

bool
ff_cluster_create(FfCluster *cluster)
{
	char *unfinished = ff_text("%s/data.new", cluster->home);
	char *config = ff_text("%s/postgresql.conf", unfinished);
	char *initdb[] = {"initdb",
					  "-D",
					  unfinished,
					  "-U",
					  SERVER_USER,
					  "--auth=trust",
					  "--encoding=UTF8",
					  "--locale=C.UTF-8",
					  "--no-instructions",
					  NULL};
	char *single[] = {"postgres", "--single", "-D", unfinished, "postgres", NULL};
	bool  made = false;

	if (access(cluster->data, F_OK) == 0)
	{
		made = check_version(cluster);
	}
	else
	{
		remove_unfinished(unfinished);
		made = make_own_directory(cluster, unfinished, 0700) && run(cluster, initdb, "") &&
			   run(cluster, single, "create database flowforge\n") &&
			   append_line(
				   config,
				   "\n# Written by `flowforge dev` at every start; settings below this line win.\n"
				   "include 'flowforge.conf'") &&
			   rename(unfinished, cluster->data) == 0;
		cluster->fresh = made;
	}
	free(config);
	free(unfinished);
	return made;
}

/* ---- starting ---- */

static bool
port_is_free(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port)};
	int				   one = 1;
	int				   sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool			   is_free;

	inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
	setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	is_free = sock >= 0 && bind(sock, (struct sockaddr *) &address, sizeof(address)) == 0;
	close(sock);
	return is_free;
}

/* The port of the last start if it is free, so that connection URLs stay good; else the first free
 * one. */
static bool
find_port(FfCluster *cluster)
{
	char	   *path = ff_text("%s/flowforge.conf", cluster->data);
	char	   *config = ff_read_file(path, 65536);
	const char *line = config != NULL ? strstr(config, "\nport = ") : NULL;
	int			before = line != NULL ? atoi(line + strlen("\nport = ")) : 0;

	free(path);
	cluster->port = before > 0 && port_is_free(before) ? before : 0;
	free(config);
	for (int port = FIRST_PORT; cluster->port == 0 && port < FIRST_PORT + PORTS_TRIED; port++)
	{
		if (port_is_free(port))
			cluster->port = port;
	}
	if (cluster->port == 0)
		ff_complain(NULL, "no port is free for PostgreSQL between %d and %d", FIRST_PORT,
					FIRST_PORT + PORTS_TRIED - 1);
	return cluster->port > 0;
}

/* A setting's value in quotes. */
static void
write_setting(FILE *file, const char *name, const char *value)
{
	fprintf(file, "%s = '", name);
	for (; *value != '\0'; value++)
	{
		if (*value == '\'' || *value == '\\')
			fputc(*value, file);
		fputc(*value, file);
	}
	fputs("'\n", file);
}

static void
write_keys(FILE *file, const FfClusterKeys *keys)
{
	write_setting(file, "flowforge.jwt_secret", keys->jwt);
	write_setting(file, "flowforge.secret_key_file", keys->secret);
	write_setting(file, "flowforge.audit_key_file", keys->audit);
}

static bool
write_config(const FfCluster *cluster, const FfClusterKeys *keys, const char *signing_key,
			 const char *event_key)
{
	char *path = ff_text("%s/flowforge.conf", cluster->data);
	char *socket = ff_text("\"%s\"", cluster->socket);
	FILE *file = fopen(path, "we");
	bool  written = false;

	if (file != NULL)
	{
		fprintf(
			file,
			"# Written by `flowforge dev` at every start. Put settings of your own at the end of postgresql.conf.\n"
			"port = %d\n"
			"listen_addresses = '127.0.0.1'\n"
			"shared_preload_libraries = 'flowforge,pg_cron'\n"
			"flowforge.databases = 'flowforge'\n"
			"cron.database_name = 'flowforge'\n"
			"cron.use_background_workers = on\n"
			"max_worker_processes = 32\n"
			"max_connections = 100\n"
			"logging_collector = off\n"
			"log_destination = 'stderr'\n"
			"log_line_prefix = '%%m [%%p] '\n",
			cluster->port);
		write_setting(file, "unix_socket_directories", socket);
		write_keys(file, keys);
		if (cluster->allowed != NULL)
			write_setting(file, "flowforge.outbound_allow", cluster->allowed);
		if (cluster->public_url != NULL)
			write_setting(file, "flowforge.public_url", cluster->public_url);
		if (signing_key != NULL)
		{
			write_setting(file, "flowforge.signing_key", signing_key);
			write_setting(file, "flowforge.event_keys", event_key);
		}
		written = fchmod(fileno(file), 0600) == 0 &&
				  (geteuid() != 0 || fchown(fileno(file), cluster->uid, cluster->gid) == 0);
		written = fclose(file) == 0 && written;
	}
	if (!written)
		ff_complain(NULL, "cannot write %s: %s", path, strerror(errno));
	free(socket);
	free(path);
	return written;
}

/* Writes the configuration, with the keys that belong to it. */
static bool
configure(const FfCluster *cluster, const char *signing_key, const char *event_key)
{
	FfClusterKeys keys;
	bool		  done = ff_cluster_keys(cluster, &keys);

	if (done)
		done = write_config(cluster, &keys, signing_key, event_key);
	else
		ff_complain(NULL, "cannot make the keys in %s/keys: %s", cluster->shown, strerror(errno));
	ff_cluster_keys_free(&keys);
	return done;
}

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

/*
 * An earlier start may have been killed. Its postmaster, if it is still there, is stopped, and
 * backends that lost theirs are awaited: none may be left when a new one starts. Only then is a
 * file of a dead postmaster removed, and only if its number has become another process's, which
 * PostgreSQL would take for a running server.
 */
static bool
clean_up(const FfCluster *cluster)
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
		rest(TURN_MS);
	if (left != 0)
		ff_complain("stop it first", "an earlier PostgreSQL (process %d) still runs on %s",
					(int) left, cluster->shown);
	else if (pid > 1 && kill(pid, 0) == 0)
		unlink(path);
	free(path);
	return left == 0;
}

/* Waits until the postmaster takes connections; false when it ended instead. */
static bool
wait_until_ready(FfCluster *cluster)
{
	char   *url = ff_cluster_socket_url(cluster, SERVER_USER);
	int64_t deadline = ff_steady_clock() + START_TIMEOUT_MS;
	bool	ready = false;

	while (!ready && ff_steady_clock() < deadline)
	{
		if (waitpid(cluster->postmaster, NULL, WNOHANG) == cluster->postmaster)
		{
			cluster->postmaster = 0;
			break;
		}
		ready = PQping(url) == PQPING_OK;
		if (!ready)
			rest(TURN_MS);
	}
	free(url);
	return ready;
}

static bool
start_postmaster(FfCluster *cluster)
{
	char *postgres[] = {"postgres", "-D", cluster->data, NULL};
	int	  null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	cluster->postmaster = spawn(cluster, postgres, "postgres.log", null);
	close(null);
	return cluster->postmaster > 0 && wait_until_ready(cluster);
}

/* Between our look at a port and the postmaster's start somebody else may take it, another
 * `flowforge dev` for one: then it ends, and is started on another port. */
bool
ff_cluster_start(FfCluster *cluster, const char *signing_key, const char *event_key)
{
	bool ready = false;
	bool again = true;

	if (!clean_up(cluster))
		return false;
	for (int tries = 0; again && tries < PORT_TRIES; tries++)
	{
		if (!find_port(cluster) || !configure(cluster, signing_key, event_key))
			return false;
		ready = start_postmaster(cluster);
		again = !ready && cluster->postmaster == 0 && !port_is_free(cluster->port);
	}
	if (!ready)
	{
		ff_complain(NULL, "PostgreSQL does not start");
		show_log(cluster, "postgres.log");
	}
	return ready;
}

void
ff_cluster_stop(FfCluster *cluster, bool (*hurry)(void))
{
	int64_t deadline = ff_steady_clock() + STOP_TIMEOUT_MS;
	bool	hurried = false;

	if (cluster->postmaster <= 0)
		return;
	kill(cluster->postmaster, SIGINT);
	while (waitpid(cluster->postmaster, NULL, WNOHANG) == 0)
	{
		if (ff_steady_clock() > deadline || (!hurried && hurry()))
		{
			hurried = true;
			kill(cluster->postmaster, SIGQUIT);
			deadline += STOP_TIMEOUT_MS;
		}
		rest(TURN_MS);
	}
	cluster->postmaster = 0;
}

char *
ff_cluster_url(const FfCluster *cluster)
{
	return ff_text("postgresql://" SERVER_USER "@127.0.0.1:%d/flowforge", cluster->port);
}

char *
ff_cluster_socket_url(const FfCluster *cluster, const char *role)
{
	char *url = ff_alloc(strlen(cluster->socket) * 2 + strlen(role) + 80);
	char *end = url + sprintf(url, "dbname=flowforge port=%d user=%s host='", cluster->port, role);

	for (const char *at = cluster->socket; *at != '\0'; at++)
	{
		if (*at == '\'' || *at == '\\')
			*end++ = '\\';
		*end++ = *at;
	}
	strcpy(end, "'");
	return url;
}
