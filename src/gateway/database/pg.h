/*
 * The way to the database: calls of flowforge.serve() in two lanes.
 *
 * The ingest lane carries calls that are known to be quick: up to 32 of them are one transaction.
 * When it fails each of them runs again alone. The call lane carries the others, one call a
 * connection, on as many connections as it takes up to 16.
 */
#ifndef FF_PG_H
#define FF_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

typedef enum FfLane
{
	FF_LANE_INGEST,
	FF_LANE_CALL
} FfLane;

#define FF_LANE_COUNT 2

/* How a call ended. */
typedef enum FfCallEnd
{
	FF_CALL_ANSWERED,
	FF_CALL_REFUSED, /* the database is away or too busy; nothing was done */
	FF_CALL_UNKNOWN, /* the connection was lost meanwhile; it may have been done or not */
	FF_CALL_TIMEOUT, /* it took too long and was undone */
	FF_CALL_BROKEN	 /* the database failed; nothing was done */
} FfCallEnd;

/* What serve() answered. The texts are only valid during the call of `ended`. */
typedef struct FfAnswer
{
	int			status;
	const char *headers; /* lines "name: value\n" */
	size_t		headers_length;
	const char *body;
	size_t		body_length;
} FfAnswer;

/* One call. Made by the caller, who hands it over; it is freed after `ended`. */
typedef struct FfCall FfCall;
struct FfCall
{
	char	*method;
	char	*path;
	char	*query;
	FfBuffer headers; /* a JSON object, NUL at its end */
	FfBuffer body;
	FfLane	 lane;
	int		 series; /* what it counts for: see base/series.h */
	void (*ended)(FfCall *call, FfCallEnd end, const FfAnswer *answer);
	void *argument; /* of `ended`; NULL when nobody waits any more */
	/* private to pg.c */
	FfCall *next;
	int64_t queued_at;
	bool	alone; /* its group failed */
};

extern void ff_pg_open(const char *database_url, int statement_ms);
extern void ff_pg_close(void);

/* Hands a call over. `ended` may be called before this returns. */
extern void ff_pg_call(FfCall *call);

/* Nobody waits for a call any more: it is forgotten if it is still queued, else its answer is
 * dropped. */
extern void ff_pg_abandon(FfCall *call);

/* Sends what was queued in this turn. To be called once at the end of each turn. */
extern void ff_pg_flush(void);

/* Remakes connections, ends what took too long. Gives the milliseconds until it wants to be called
 * again. */
extern int ff_pg_tick(void);

/* What a lane has and has done. */
typedef struct FfLaneFigures
{
	int		 idle; /* connections */
	int		 busy;
	int		 queued; /* calls */
	uint64_t transactions;
	uint64_t calls; /* in them */
} FfLaneFigures;

extern void ff_pg_figures(FfLane lane, FfLaneFigures *figures);

/* True when each lane has a connection. */
extern bool ff_pg_is_ready(void);

#endif
