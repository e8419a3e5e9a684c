/*
 * The keys of a private cluster (see keys.h).
 */
#define _GNU_SOURCE
#include "cluster/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

#define KEY_BYTES 32
#define KEY_TEXT (2 * KEY_BYTES + 1)

static bool
give_to_server(int fd, const FfCluster *cluster)
{
	return geteuid() != 0 || fchown(fd, cluster->uid, cluster->gid) == 0;
}

static bool
make_text(char text[KEY_TEXT])
{
	unsigned char bytes[KEY_BYTES];

	if (getrandom(bytes, sizeof(bytes), 0) != KEY_BYTES)
		return false;
	for (int at = 0; at < KEY_BYTES; at++)
		snprintf(text + 2 * at, 3, "%02x", bytes[at]);
	return true;
}

/* Writes a new key beside its place and moves it there: a key is whole or not there at all. */
static bool
make_key(const FfCluster *cluster, const char *path)
{
	char *unfinished = ff_text("%s.new", path);
	char  text[KEY_TEXT];
	int	  fd = make_text(text)
				   ? open(unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)
				   : -1;
	bool  made =
		fd >= 0 && give_to_server(fd, cluster) && write(fd, text, KEY_TEXT - 1) == KEY_TEXT - 1;

	made = (fd < 0 || close(fd) == 0) && made && rename(unfinished, path) == 0;
	free(unfinished);
	return made;
}

/* The path of a key that is there now, or NULL. */
static char *
find_key(const FfCluster *cluster, const char *directory, const char *name)
{
	char *path = ff_text("%s/%s", directory, name);

	if (access(path, F_OK) == 0 || make_key(cluster, path))
		return path;
	free(path);
	return NULL;
}

static bool
make_directory(const FfCluster *cluster, const char *directory)
{
	int	 fd;
	bool made;

	if (mkdir(directory, 0700) != 0)
		return errno == EEXIST;
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	made = fd >= 0 && give_to_server(fd, cluster);
	if (fd >= 0)
		close(fd);
	return made;
}

bool
ff_cluster_keys(const FfCluster *cluster, FfClusterKeys *keys)
{
	char *directory = ff_text("%s/keys", cluster->home);
	char *jwt = NULL;

	*keys = (FfClusterKeys){0};
	if (make_directory(cluster, directory))
	{
		jwt = find_key(cluster, directory, "jwt");
		keys->jwt = jwt != NULL ? ff_read_file(jwt, KEY_TEXT) : NULL;
		keys->secret = find_key(cluster, directory, "secret");
		keys->audit = find_key(cluster, directory, "audit");
	}
	free(jwt);
	free(directory);
	return keys->jwt != NULL && keys->secret != NULL && keys->audit != NULL;
}

void
ff_cluster_keys_free(FfClusterKeys *keys)
{
	free(keys->jwt);
	free(keys->secret);
	free(keys->audit);
}
