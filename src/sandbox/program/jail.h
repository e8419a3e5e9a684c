/*
 * jail.h - what keeps code in: first of the zygote, then of each child.
 */
#ifndef FFS_JAIL_H
#define FFS_JAIL_H

#include <stdbool.h>
#include <stddef.h>

/* Dies with its parent, whoever that is now. False when the parent is gone already. */
extern bool jail_tie_to_parent(void);

/* Leaves the network, the files and every capability behind, as far as the system lets it; to be
 * called with the engine started and a single thread. NULL, or what went wrong. */
extern const char *jail_zygote(void);

/* Limits a child's resources and closes every door but its stream. False when that cannot be done.
 */
extern bool jail_child(size_t memory, unsigned seconds);

#endif
