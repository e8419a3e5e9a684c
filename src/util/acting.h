/*
 * acting.h - the engine's own statements in somebody else's session.
 *
 * Between the two calls statements run as `owner`, in a security-restricted operation and with a
 * search path of our own: what the session's role has put in its way cannot reach them. Nothing of
 * the role's may run in between. An error ends it with the transaction, or subtransaction.
 */
#ifndef FF_ACTING_H
#define FF_ACTING_H

#include "postgres.h"

typedef struct FfActing
{
	Oid user;
	int context;
	int settings;
} FfActing;

extern FfActing ff_act_as(Oid owner);
extern void		ff_act_end(const FfActing *before);

#endif
