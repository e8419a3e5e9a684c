/*
 * claim.c - making claims (see claim.h).
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "flow/claim.h"
#include "team/team.h"

bool
ff_claim_make(FfClaim *claim, const FfFlow *flow, int32 tenant_id, int32 function_id,
			  const FfEvent *event, TimestampTz created, bool started)
{
	bool   tenant_limited = ff_tenant_get(tenant_id)->max_running > 0;
	Jsonb *json;

	if (!tenant_limited && (flow == NULL || (flow->limits == 0 && flow->throttle.limit == 0)))
		return false;
	json = ff_event_json(event);
	claim->keys = ff_flow_keys(flow, tenant_id, function_id, json, started, tenant_limited);
	claim->queue = ff_flow_queue(function_id, &claim->keys);
	claim->rank = ff_flow_rank(flow, json, created);
	return true;
}

void
ff_claim_started(FfClaim *claim, int32 function_id)
{
	if (claim->keys.key[FF_KEY_THROTTLE] == 0)
		return;
	claim->keys.key[FF_KEY_THROTTLE] = 0;
	claim->queue = ff_flow_queue(function_id, &claim->keys);
}

char *
ff_claim_keys_text(const FfKeys *keys)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int place = 0; place < FF_KEYS; place++)
		appendStringInfo(&text, "%c" INT64_FORMAT, place == 0 ? '{' : ',', keys->key[place]);
	appendStringInfoChar(&text, '}');
	return text.data;
}
