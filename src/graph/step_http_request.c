/*
 * step_http_request.c - the step type http_request: a request to anybody (src/step/http.c).
 */
#include "postgres.h"

#include "graph/option.h"
#include "graph/type.h"
#include "run/kind.h"

static const char *const takes_secrets[] = {"url", "headers", "params", "body", "auth", NULL};

static void
start(const FfNodeStart *start, FfOp *op)
{
	ff_op_step(op, "Http", start->config, start->now);
}

static Jsonb *
shown(Jsonb *config)
{
	return ff_kind_by_op("Http")->shown(config);
}

const FfNodeType ff_node_http_request = {.name = "http_request",
										 .place = FF_NODE_WORKS,
										 .takes_secrets = takes_secrets,
										 .shown = shown,
										 .start = start};
