/*
 * validate.h - what the checks of a definition share.
 */
#ifndef FF_GRAPH_VALIDATE_H
#define FF_GRAPH_VALIDATE_H

#include "graph/graph.h"
#include "graph/live.h"
#include "graph/reach.h"

typedef struct FfCheck
{
	FfGraph *graph;
	Jsonb  **schemas;	/* of configs, in the order of the types; NULL where there is none */
	FfReach *ancestors; /* NULL while there is a cycle; so is live */
	FfLive	*live;
	const char *const *taken;		 /* by a condition's index, the only label it takes, or NULL */
	bool			  *used;		 /* by index: some node names the output */
	int				   nearest_left; /* how often another name may still be looked for */
} FfCheck;

/* Notes what is wrong with a node, at a place in its config. */
extern void ff_check_fault(FfCheck *check, const FfNode *node, FfFaultCode code, const char *path,
						   const char *message, const char *hint);

/* texts.c: the templates and expressions of a node's config, and what they refer to. */
extern void ff_check_texts(FfCheck *check, const FfNode *node);

/* texts.c: the only label a condition takes, or NULL. */
extern const char *ff_condition_taken(const FfNode *node);

/* config.c: a node's config by the schema of its type, and the items of a for_each. */
extern void ff_check_config(FfCheck *check, const FfNode *node);

/* secret.c: texts of a node's config that look like secrets. */
extern void ff_check_secrets(FfCheck *check, const FfNode *node);

#endif
