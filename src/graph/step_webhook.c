/*
 * step_webhook.c - the step type webhook: a payload sent to a URL, signed by Standard Webhooks
 * (src/step/webhook.c).
 */
#include "postgres.h"

#include "graph/option.h"
#include "graph/type.h"
#include "run/kind.h"

static const char *const takes_secrets[] = {"url", "payload", "secret", NULL};

static void
start(const FfNodeStart *start, FfOp *op)
{
	ff_op_step(op, "Webhook", start->config, start->now);
}

static Jsonb *
shown(Jsonb *config)
{
	return ff_kind_by_op("Webhook")->shown(config);
}

const FfNodeType ff_node_webhook = {.name = "webhook",
									.place = FF_NODE_WORKS,
									.takes_secrets = takes_secrets,
									.shown = shown,
									.start = start};
