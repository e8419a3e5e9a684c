/*
 * fair.c - who is served next (see fair.h).
 */
#include "postgres.h"

#include "team/team.h"
#include "worker/fair.h"

/* How far a tenant that could not be served, for lack of room of its own, may be behind: it does
 * not then take everything until it has caught up. */
#define LAG 1024.0

static int
compare(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	double left = pairingheap_const_container(FfTurn, node, a)->start;
	double right = pairingheap_const_container(FfTurn, node, b)->start;

	return left < right ? 1 : left > right ? -1 : 0;
}

void
ff_fair_init(FfFair *fair)
{
	memset(fair, 0, sizeof(*fair));
	fair->heap.ph_compare = compare;
}

void
ff_fair_join(FfFair *fair, FfTurn *turn, int32 tenant_id)
{
	memset(turn, 0, sizeof(*turn));
	turn->tenant_id = tenant_id;
	turn->weight = 1;
	fair->weights += turn->weight;
}

void
ff_fair_part(FfFair *fair, FfTurn *turn)
{
	ff_fair_leave(fair, turn);
	fair->weights -= turn->weight;
}

void
ff_fair_wait(FfFair *fair, FfTurn *turn)
{
	if (turn->waiting)
		return;
	turn->start = Max(turn->start, fair->now);
	ff_fair_return(fair, turn);
}

void
ff_fair_return(FfFair *fair, FfTurn *turn)
{
	turn->waiting = true;
	pairingheap_add(&fair->heap, &turn->node);
}

void
ff_fair_leave(FfFair *fair, FfTurn *turn)
{
	if (turn->waiting)
		pairingheap_remove(&fair->heap, &turn->node);
	turn->waiting = false;
}

FfTurn *
ff_fair_first(FfFair *fair)
{
	if (pairingheap_is_empty(&fair->heap))
		return NULL;
	return pairingheap_container(FfTurn, node, pairingheap_first(&fair->heap));
}

/* The tenant's weight, as far as it is known without a look at its row. */
static void
weigh(FfFair *fair, FfTurn *turn)
{
	const FfTenant *tenant = ff_tenant_cached(turn->tenant_id);
	int				weight = tenant == NULL ? 1 : tenant->weight;

	fair->weights += weight - turn->weight;
	turn->weight = weight;
}

int
ff_fair_own(const FfFair *fair, const FfTurn *turn, int places)
{
	return Max((int) (places * turn->weight / (2 * fair->weights)), 1);
}

void
ff_fair_charge(FfFair *fair, FfTurn *turn)
{
	bool waiting = turn->waiting;

	weigh(fair, turn);

	if (waiting)
		pairingheap_remove(&fair->heap, &turn->node);
	turn->start = Max(turn->start, waiting ? fair->now - LAG : fair->now);
	fair->now = Max(fair->now, turn->start);
	turn->start += 1.0 / turn->weight;
	if (waiting)
		pairingheap_add(&fair->heap, &turn->node);
}
