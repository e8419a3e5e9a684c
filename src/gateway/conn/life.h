/*
 * One client's connection: what it is doing, what it has asked, and its end.
 *
 * Everything that is to be written is gathered in `out` and written once at the end of the turn
 * (bytes.h). A connection that ended is kept until then too, because events already fetched may
 * still name it. Only the files of this folder know this header; others know conn.h.
 */
#ifndef FF_CONN_LIFE_H
#define FF_CONN_LIFE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/config.h"
#include "base/loop.h"
#include "conn/metrics.h"
#include "database/pg.h"
#include "live/live.h"
#include "live/pass.h"
#include "live/talk.h"
#include "reply/reply.h"
#include "wire/http.h"
#include "wire/socket.h"
#include "wire/tls.h"

typedef enum FfConnState
{
	FF_CONN_IDLE, /* between requests */
	FF_CONN_HEAD,
	FF_CONN_BODY,
	FF_CONN_CALL, /* the database works */
	FF_CONN_STREAM,
	FF_CONN_CLOSING, /* the last answer is being written */
	FF_CONN_LINGER,	 /* it is written; what the client still sends is dropped, so that a reset does
						not overtake it */
	FF_CONN_DEAD
} FfConnState;

typedef struct FfConn FfConn;
struct FfConn
{
	FfWatch		 watch; /* first */
	FfSubscriber subscriber;
	FfConn		*next;
	FfConn		*previous;
	FfConn		*next_unflushed;
	bool		 is_unflushed;
	FfConnState	 state;
	int64_t		 since; /* the state's clock */
	int64_t		 written_at;
	size_t		 unsent_limit; /* of a stream */
	bool		 is_deaf;	   /* it has more unread than that */
	int			 end_code;	   /* of a WebSocket that is to be ended; 0: none */
	FfSocket	*socket;	   /* NULL: plain HTTP */
	FfTalk		*talk;		   /* what is said over it; NULL: nothing */
	FfPass		*pass;		   /* whose stream it is; NULL: anybody's */
	FfBuffer	 in;
	FfBuffer	 out;
	size_t		 seen; /* of the head */
	FfTls		*tls;  /* NULL: plain */
	char		 remote[64];
	/* the request */
	FfCall		*call; /* ours in BODY; the database's in CALL */
	FfHttpChunks chunks;
	bool		 chunked;
	int64_t		 body_left;
	int64_t		 began;		  /* microseconds */
	int			 series;	  /* what it counts for */
	bool		 is_metrics;  /* its answer is completed by us */
	FfMetricsKey metrics_key; /* if so */
	char		 request_id[65];
	char		 method[33];
	char		*path;
	FfReplyTo	 to;
};

/* All that live, and what goes for all of them. */
typedef struct FfConns
{
	FfConn	   *first;
	FfConn	   *unflushed; /* `out` is to be written at the end of the turn */
	int			count;
	bool		is_quiet;
	bool		is_draining;
	FfDeadlines deadlines;
} FfConns;

extern FfConns ff_conns;

/* A new one joins them. */
extern void ff_conn_add(FfConn *conn);

extern void ff_conn_enter(FfConn *conn, FfConnState state);

/* Waits for what its state and what is unwritten ask for. */
extern void ff_conn_watch(FfConn *conn);

/* Has `out` written at the end of the turn. */
extern void ff_conn_to_be_flushed(FfConn *conn);

/* Whether the client of a WebSocket is listened to: its last message is answered, and it reads. */
extern bool ff_conn_may_hear(const FfConn *conn);

/* Ends what its request, or its stream, holds. */
extern void ff_conn_forget_request(FfConn *conn);
extern void ff_conn_stop_following(FfConn *conn);

/* Ends it at once. It is freed at the end of the turn, by the second. */
extern void ff_conn_bury(FfConn *conn);
extern void ff_conn_free_graves(void);

#endif
