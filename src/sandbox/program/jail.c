/*
 * jail.c - what keeps code in (see jail.h): namespaces, an empty root, no capability, limits.
 *
 * Namespaces are a second wall: where the system grants none (a container that forbids them), the
 * filter of filter.c alone leaves no call by which to reach a file, the network or another process.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "filter.h"
#include "jail.h"

#define NOBODY 65534
#define NAMESPACES (CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS)

/* The engine reserves 4 GB for the shapes of objects, which no limit would count. */
#define RESERVATION ((size_t) 1 << 30)
#define KEPT ((size_t) 64 << 20)

static size_t own_size; /* bytes of address space every child begins with */

bool
jail_tie_to_parent(void)
{
	return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0;
}

/* --- the zygote --- */

static bool
write_file(const char *path, const char *text)
{
	int	 file = open(path, O_WRONLY | O_CLOEXEC);
	bool written;

	if (file < 0)
		return false;
	written = write(file, text, strlen(text)) == (ssize_t) strlen(text);
	close(file);
	return written;
}

static int
count_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	int	 count = 0;

	if (tasks == NULL)
		return 1; /* no /proc: the engine's settings have to be trusted */
	for (struct dirent *entry; (entry = readdir(tasks)) != NULL;)
		count += entry->d_name[0] != '.';
	closedir(tasks);
	return count;
}

/* The longest row of pages in a mapping that nobody has touched yet. Gives its bytes, 0 if they
 * cannot be told. */
static size_t
untouched(char *from, size_t size, char **start)
{
	size_t		   page = (size_t) sysconf(_SC_PAGESIZE);
	size_t		   count = size / page;
	unsigned char *touched = malloc(count);
	size_t		   longest = 0;
	size_t		   row = 0;

	if (touched == NULL || mincore(from, size, touched) != 0)
		count = 0;
	for (size_t i = 0; i < count; i++)
	{
		row = touched[i] & 1 ? 0 : row + 1;
		if (row > longest)
		{
			longest = row;
			*start = from + (i + 1 - row) * page;
		}
	}
	free(touched);
	return longest * page;
}

/* What no limit counts is cut: of a large reservation, which is used from its start, only the first
 * part stays reachable, so that who grows into the rest is out of memory. The kernel shows what
 * lies side by side as one mapping; so both ends are left alone. */
static void
cut_reservations(void)
{
	FILE		 *maps = fopen("/proc/self/maps", "r");
	char		  line[512];
	unsigned long from;
	unsigned long to;
	char		  access[8];
	char		 *start = NULL;

	while (maps != NULL && fgets(line, sizeof(line), maps) != NULL)
	{
		if (sscanf(line, "%lx-%lx %7s", &from, &to, access) == 3 && access[1] == 'w' &&
			to - from >= RESERVATION)
		{
			size_t size = untouched((char *) from, to - from, &start);

			if (size > RESERVATION / 2)
				mprotect(start + KEPT, size - 2 * KEPT, PROT_NONE);
		}
	}
	if (maps != NULL)
		fclose(maps);
}

static size_t
address_space(void)
{
	FILE *statm = fopen("/proc/self/statm", "r");
	long  pages = 0;

	if (statm != NULL && fscanf(statm, "%ld", &pages) != 1)
		pages = 0;
	if (statm != NULL)
		fclose(statm);
	return (size_t) pages * (size_t) sysconf(_SC_PAGESIZE);
}

/* Namespaces of its own; who is not root needs one of users for that, in which it is nobody. */
static bool
leave_namespaces(void)
{
	uid_t user = geteuid();
	gid_t group = getegid();
	char  map[64];

	if (user == 0)
		return unshare(NAMESPACES) == 0;
	if (unshare(CLONE_NEWUSER | NAMESPACES) != 0)
		return false;
	snprintf(map, sizeof(map), "%d %d 1", NOBODY, (int) user);
	if (!write_file("/proc/self/uid_map", map) || !write_file("/proc/self/setgroups", "deny"))
		return true; /* nobody all the same: whom no map names is shown as 65534 */
	snprintf(map, sizeof(map), "%d %d 1", NOBODY, (int) group);
	(void) write_file("/proc/self/gid_map", map);
	return true;
}

/* An empty directory, in which nothing can be made, as root. */
static bool
leave_files(void)
{
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
		   mount("none", "/tmp", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
				 "size=4k,mode=0555") == 0 &&
		   chdir("/tmp") == 0 && chroot(".") == 0 && chdir("/") == 0;
}

static bool
leave_capabilities(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct	none[2] = {{0, 0, 0}, {0, 0, 0}};

	if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
						   setresuid(NOBODY, NOBODY, NOBODY) != 0))
		return false;
	return syscall(SYS_capset, &header, none) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

const char *
jail_zygote(void)
{
	if (count_threads() != 1)
		return "the engine has made threads, which a fork would lose";
	cut_reservations();
	own_size = address_space();
	if (own_size == 0)
		return "/proc cannot be read";
	(void) write_file("/proc/self/oom_score_adj",
					  "1000"); /* the first to go when memory is short */
	if (leave_namespaces())
		(void) leave_files();
	if (!leave_capabilities())
		return "capabilities cannot be given up";
	if (!jail_tie_to_parent()) /* changing who one is has undone that */
		return "the death of the parent cannot be watched";
	return NULL;
}

/* --- a child --- */

static bool
limit(int what, rlim_t soft, rlim_t hard)
{
	struct rlimit bound = {soft, hard};

	return setrlimit(what, &bound) == 0;
}

bool
jail_child(size_t memory, unsigned seconds)
{
	alarm(seconds); /* whoever does not come to an end is killed by it */
	return limit(RLIMIT_AS, own_size + memory, own_size + memory) &&
		   limit(RLIMIT_CPU, seconds, seconds + 1) && limit(RLIMIT_CORE, 0, 0) &&
		   limit(RLIMIT_FSIZE, 0, 0) && limit(RLIMIT_NPROC, 0, 0) && limit(RLIMIT_NOFILE, 0, 0) &&
		   limit(RLIMIT_MEMLOCK, 0, 0) && limit(RLIMIT_MSGQUEUE, 0, 0) &&
		   prctl(PR_SET_DUMPABLE, 0) == 0 && filter_install();
}
