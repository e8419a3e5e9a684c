/*
 * Whom streams are for.
 *
 * The database names whoever it answers with a stream by a text, a pass, which says nothing to us.
 * Who has the same one shares it here. Whether it still counts is asked of the database again when
 * somebody new comes with it, when a key or a user has changed (the channel flowforge_access), and
 * with every bell of last resort; it also ends by itself, when its token or key expires. Used by
 * live.c, whose connection it asks by.
 */
#ifndef FF_GATEWAY_PASS_H
#define FF_GATEWAY_PASS_H

#include <stdbool.h>
#include <stdint.h>

#include "database/link.h"

typedef struct FfPass FfPass;

/* Takes a pass that counts for so many milliseconds, -1: without end. To be given back. */
extern FfPass *ff_pass_take(const char *text, int64_t lifetime);
extern void	   ff_pass_drop(FfPass *pass); /* may be NULL */

extern const char *ff_pass_text(const FfPass *pass);

/* Whether it counts no more. NULL always does. */
extern bool ff_pass_is_spent(const FfPass *pass);

/* Any may have ended. */
extern void ff_pass_ring(void);
extern bool ff_pass_is_dirty(void);

/* Asks about those that may have ended, by the statement "passes"; takes what comes back, or NULL
 * when it failed. */
extern bool ff_pass_send(FfLink *link);
extern void ff_pass_answered(const PGresult *result);

/* Whether one has ended since this was last asked. */
extern bool ff_pass_has_ended(void);

#endif
