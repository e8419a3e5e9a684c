/*
 * policy.h - how long a function may take, and how its failures are spaced.
 *
 * A version's configuration says it as {"timeouts": {"start", "finish", "step"}, "steps": {"step":
 * {"retries": {...}}}}; a step may bring retries and a timeout of its own. The configuration was
 * checked when it was registered: here, what cannot be read is as if it were not there.
 */
#ifndef FF_FUNCTION_POLICY_H
#define FF_FUNCTION_POLICY_H

#include "postgres.h"

#include "utils/jsonb.h"

#define FF_MAX_DELAYS 20
#define FF_MAX_RETRIES 20

typedef enum FfBackoffKind
{
	FF_BACKOFF_UNSAID,
	FF_BACKOFF_FIXED,
	FF_BACKOFF_LINEAR,
	FF_BACKOFF_EXPONENTIAL,
	FF_BACKOFF_POWER, /* of graphs: in seconds, base^(n + 1) */
	FF_BACKOFF_LIST
} FfBackoffKind;

/* The delay after attempt n (from 0), in microseconds: fixed base, linear base * (n + 1),
 * exponential base * 2^n, list the n-th of delays (the last one for ever); spread by a random
 * factor between 1 - jitter and 1 + jitter, never above cap. */
typedef struct FfBackoff
{
	FfBackoffKind kind;
	int64		  base;
	int64		  cap;
	double		  jitter;
	int			  count;
	int64		  delays[FF_MAX_DELAYS];
} FfBackoff;

/* Times in microseconds; 0: none. */
typedef struct FfPolicy
{
	int64	  start_timeout;  /* from when a run is enqueued to its first call */
	int64	  finish_timeout; /* from its first call to its end */
	int64	  step_timeout;	  /* of each call */
	int		  cancels;		  /* events that cancel a run */
	FfBackoff backoff;
} FfPolicy;

/* Reads a version's configuration. */
extern void ff_policy_read(FfPolicy *policy, Jsonb *config);

/* Reads {"backoff": fixed | linear | exponential | [delays], "base", "cap", "jitter"}; what is not
 * said is as usual. Gives what is wrong with it, or NULL. */
extern const char *ff_backoff_read(FfBackoff *backoff, Jsonb *retries);

/* What is wrong with the options of a step ({"timeout": duration, "retries": number | object}), or
 * NULL. */
extern const char *ff_step_options_check(Jsonb *options);

/* The step's own number of attempts, or `otherwise`. */
extern int ff_step_attempts(Jsonb *options, int otherwise);

/* The step's own timeout, or `otherwise`. */
extern int64 ff_step_timeout(Jsonb *options, int64 otherwise);

/* The step's own backoff, or `otherwise`. */
extern FfBackoff ff_step_backoff(Jsonb *options, const FfBackoff *otherwise);

/* The delay after an attempt, drawn anew each time. */
extern int64 ff_backoff_delay(const FfBackoff *backoff, int attempt);

extern int ff_retry_interval; /* ms: the delay when nobody says otherwise; 0: exponential */

#endif
