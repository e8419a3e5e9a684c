/*
 * rank.h - the database role that the function of a route runs as.
 *
 * Whoever asks has a role in the tenant (principal.h), and the function that answers them runs as
 * the database role of that rank: flowforge_http_viewer, flowforge_http_member or
 * flowforge_http_admin; flowforge_http_sender for event keys, which may send and nothing else;
 * flowforge_http_nobody for requests that prove nothing. So a route reads and calls what its caller
 * may, and row-level security shows it the rows of its caller's tenant, whatever its statements
 * say.
 */
#ifndef FF_RANK_H
#define FF_RANK_H

#include "postgres.h"

#include "team/principal.h"

typedef struct FfRank
{
	Oid user;
	int context;
} FfRank;

/*
 * Takes the rank of a principal to call a function, and gives what was before. Raises FF643 when
 * there is no such database role, or none that policies bind, and FF600 when the rank may not call
 * the function. An error ends the rank with the subtransaction that it was taken in.
 */
extern FfRank ff_rank_take(const FfPrincipal *principal, Oid function);
extern void	  ff_rank_end(const FfRank *before);

#endif
