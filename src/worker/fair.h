/*
 * fair.h - who is served next, of those that wait for the same thing.
 *
 * Start-time fair queueing (Goyal, Vin, Cheng: "Start-time Fair Queueing: a Scheduling Algorithm
 * for Integrated Services Packet Switching Networks", SIGCOMM 1996). Each tenant has a
 * time of its own, at which what it wants next would start if it were served by its weight alone;
 * served is the one whose time is least, and being served moves its time on by 1 / weight. A tenant
 * that had nothing to do starts at the time of the one that is being served, so nobody saves up.
 * Choosing and charging cost O(log n) in the tenants that wait, and nothing in what waits behind
 * each.
 */
#ifndef FF_WORKER_FAIR_H
#define FF_WORKER_FAIR_H

#include "postgres.h"

#include "lib/pairingheap.h"

typedef struct FfTurn
{
	pairingheap_node node;
	int32			 tenant_id;
	int				 weight; /* as when it was served last */
	double			 start;
	bool			 waiting; /* in the heap */
} FfTurn;

typedef struct FfFair
{
	pairingheap heap;	 /* of those that wait, the least start first */
	double		now;	 /* the greatest start that has been served */
	double		weights; /* of all that have joined */
} FfFair;

extern void ff_fair_init(FfFair *fair);

/* A tenant takes part from now on; or no longer. */
extern void ff_fair_join(FfFair *fair, FfTurn *turn, int32 tenant_id);
extern void ff_fair_part(FfFair *fair, FfTurn *turn);

/* The tenant wants to be served, or no longer. */
extern void ff_fair_wait(FfFair *fair, FfTurn *turn);
extern void ff_fair_leave(FfFair *fair, FfTurn *turn);
/* It has only stood aside, and waits as before. */
extern void ff_fair_return(FfFair *fair, FfTurn *turn);

/* Who is next; NULL when nobody waits. */
extern FfTurn *ff_fair_first(FfFair *fair);

/* The tenant, waiting or not, has been served once. */
extern void ff_fair_charge(FfFair *fair, FfTurn *turn);

/* Half of the tenant's share, by its weight, of so many places, but one at least: for the rest it
 * takes turns. */
extern int ff_fair_own(const FfFair *fair, const FfTurn *turn, int places);

#endif
