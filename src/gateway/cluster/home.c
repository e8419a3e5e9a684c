/*
 * The user and the directory of a private cluster (see home.h).
 *
 * PostgreSQL does not run as root, and the user who runs it instead may not be able to enter the
 * directory that was named: the cluster is then elsewhere, behind a symbolic link.
 */
#define _GNU_SOURCE
#include "cluster/home.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"

#define SHARED_HOME "/var/lib/flowforge"

static bool
find_user(FfCluster *cluster)
{
	const struct passwd *user = geteuid() == 0 ? getpwnam(FF_CLUSTER_USER) : getpwuid(geteuid());

	if (user == NULL)
	{
		ff_complain("the package postgresql-common makes it",
					"there is no user %s, and PostgreSQL does not run as root", FF_CLUSTER_USER);
		return false;
	}
	snprintf(cluster->user, sizeof(cluster->user), "%s", user->pw_name);
	cluster->uid = user->pw_uid;
	cluster->gid = user->pw_gid;
	return true;
}

void
ff_home_become_user(const FfCluster *cluster)
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
		ff_home_become_user(cluster);
		_exit(access(directory, X_OK) == 0 ? 0 : 1);
	}
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
		   WEXITSTATUS(status) == 0;
}

/* Makes a directory and those above it. */
static bool
make_directories(const char *path, mode_t mode)
{
	char *copy = ff_copy(path);

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

bool
ff_home_directory(const FfCluster *cluster, const char *path, mode_t mode)
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
	char *above = ff_copy(cluster->shown);
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
	cluster->home = ff_copy(full);
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
	if (!ff_home_directory(cluster, cluster->socket, 0755))
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
ff_home_take(FfCluster *cluster)
{
	if (!find_user(cluster) || !find_home(cluster) || !take_lock(cluster))
		return false;
	ignore_home(cluster);
	return find_socket(cluster) && ff_home_directory(cluster, cluster->log, 0755);
}
