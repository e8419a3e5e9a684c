/*
 * option.h - reading what a step type is given: the members of its resolved config.
 */
#ifndef FF_GRAPH_OPTION_H
#define FF_GRAPH_OPTION_H

#include "graph/graph.h"
#include "run/actor.h"

/* A member, NULL when it is absent or null. */
extern Jsonb *ff_option(Jsonb *config, const char *key);

/* A text that must be there and not be empty; raises FF503. */
extern char *ff_option_text(Jsonb *config, const char *key);

/* A duration in microseconds: a number of seconds, also as text, or "1h30m". False when it is
 * absent; raises FF503 when it is none, or longer than 366 days. */
extern bool ff_option_duration(Jsonb *config, const char *key, int64 *usec);

/* Raises FF503: "<key> <what is wrong with it>". */
extern void ff_option_wrong(const char *key, const char *wrong) pg_attribute_noreturn();

/* Whether an expression, in which {{ path }} may stand for a value, is truthy. Raises FF101 to
 * FF110. */
extern bool ff_expr_truth(const char *source, int length, const FfScope *scope);

/* An expression with the values that {{ path }} stands for written into it. Raises likewise. */
extern char *ff_expr_bound(const char *source, const FfScope *scope);

/* A step that fails, for good. */
extern void ff_op_fail(FfOp *op, const char *name, const char *message);

/* A step the server takes, of a kind (run/kind.h), with its options. */
extern void ff_op_step(FfOp *op, const char *kind, Jsonb *options, TimestampTz now);

/* The shorter of a member of the config, a duration, and the node's time limit; 0: neither. */
extern int64 ff_option_limit(const FfNodeStart *start, const char *key);

#endif
