/*
 * filter.h - the system calls left to a child.
 */
#ifndef FFS_FILTER_H
#define FFS_FILTER_H

#include <stdbool.h>

/* For good. Needs no_new_privs. */
extern bool filter_install(void);

#endif
