/*
 * start.h - what the files share that decide which events start a run (start.c).
 *
 * The rules that are decided at once have keys, and rows by key. A call may bring thousands of
 * events: each rule takes the keys of all of them together, in the order of the keys, so that two
 * senders of one and the same keys wait for each other and do not deadlock.
 */
#ifndef FF_FLOW_START_H
#define FF_FLOW_START_H

#include "postgres.h"

#include "event/event.h"
#include "flow/flow.h"

typedef enum FfRule
{
	FF_RULE_ONCE,
	FF_RULE_SINGLE,
	FF_RULE_RATE,
	FF_RULES
} FfRule;

/* A run that is to start, if its rules let it. */
typedef struct FfStart
{
	FfNewRun   *run;
	const char *key[FF_RULES]; /* as rows have it; NULL: no such rule */
	FfRate		rate;
	bool		cancels; /* its singleton ends the run before */
	bool		refused; /* it does not start, because of this rule: */
	FfRule		rule;
	bool		has_by;
	pg_uuid_t	by; /* and because of this run */

	bool	  claimed;	/* the row of its singleton is new, or */
	bool	  replaces; /* is locked and says: */
	pg_uuid_t holder;
	bool	  holder_live;
} FfStart;

/* The runs with one key of a rule, in the order they came. */
typedef struct FfStartGroup
{
	FfStart **members;
	int		  count;
} FfStartGroup;

/* The value of a key as rows have it: a long one is known by its digest. */
extern const char *ff_start_key(const FfExpr *expression, Jsonb *event);

/* Those that have the rule and are not refused, by key, in the order of the keys; how many keys. */
extern int ff_start_groups(FfStart *starts, int count, FfRule rule, FfStartGroup **groups);

/* The group whose function and key are in these columns of the n-th row of SPI_tuptable. */
extern FfStartGroup *ff_start_group_of_row(FfStartGroup *groups, int count, FfRule rule, uint64 row,
										   int column);

/* Puts the tenant, the function and the key of a group into the first three values of a row. */
extern void ff_start_key_values(const FfStart *start, FfRule rule, Datum *values);

/* `by`: the run that it would be one too many beside, or NULL. */
extern void ff_start_refuse(FfStart *start, FfRule rule, const pg_uuid_t *by);

/* Whether the sender named the function: of a deferred run. It starts whatever came before. */
extern bool ff_start_is_named(const FfEvent *event);

/* once.c: refuses repetitions; afterwards, gives back the values of those that others refused. */
extern void ff_start_once(FfStart *starts, int count);
extern void ff_start_undo_once(FfStart *starts, int count);

/* single.c: refuses, or finds the run that is to be replaced; afterwards, replaces it. */
extern void ff_start_single(FfStart *starts, int count);
extern void ff_start_settle_single(FfStart *starts, int count);

/* rate.c: refuses what is too much, and dates what is not. */
extern void ff_start_rate(FfStart *starts, int count);

#endif
