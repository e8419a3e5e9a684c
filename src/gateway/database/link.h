/*
 * A link: one connection to the database in libpq's pipeline mode, made and remade without
 * blocking.
 *
 * A link is down, connecting, setting up (settings and prepared statements, one group), idle or
 * busy. It carries one group of statements at a time, which is one transaction, and tells the
 * outcome only when the group's Sync has come back: a result before that may still be rolled back.
 */
#ifndef FF_LINK_H
#define FF_LINK_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"

/* The server's own time-out should come first: an answer that is later than it by this much will
 * not come. */
#define FF_LINK_GRACE_MS 5000

#define FF_GROUP_SIZE 32

typedef enum FfLinkState
{
	FF_LINK_DOWN,
	FF_LINK_CONNECTING,
	FF_LINK_SETUP,
	FF_LINK_IDLE,
	FF_LINK_BUSY
} FfLinkState;

/* How a group ended. */
typedef enum FfOutcome
{
	FF_DONE,   /* committed; result[] holds one result per statement */
	FF_FAILED, /* rolled back, nothing of it happened; sqlstate and message say why */
	FF_LOST	   /* the connection went away before the Sync: it may have happened or not */
} FfOutcome;

/* One statement to prepare on every new connection. */
typedef struct FfStatement
{
	const char *name;
	const char *sql;
	const Oid  *types;
	int			type_count;
} FfStatement;

typedef struct FfLink FfLink;

/* What the owner of a link gives it. All are called from the loop. */
typedef struct FfLinkOwner
{
	const FfStatement *statements; /* name NULL ends them */
	void (*idle)(FfLink *link);	   /* may begin a group; called after set-up and after each group */
	void (*ended)(FfLink   *link,
				  FfOutcome outcome); /* a group ended: take its results, send nothing */
	void (*down)(FfLink *link);		  /* the connection, or the attempt to make one, failed */
	void (*notified)(FfLink *link, const char *channel, const char *payload); /* may be NULL */
} FfLinkOwner;

struct FfLink
{
	FfWatch			   watch; /* first: the loop hands it back */
	const FfLinkOwner *owner;
	const char		  *database_url;
	int				   statement_ms; /* how long a statement may take */
	PGconn			  *connection;
	FfLinkState		   state;
	int64_t			   since;	 /* when it came into this state */
	int64_t			   retry_at; /* when a link that is down may try again */
	int				   backoff;	 /* milliseconds until the next attempt after a failure */
	int64_t			   told_at;	 /* when a failure was last logged */
	int				   sent;	 /* statements in the group */
	int				   answered; /* of these, results read so far */
	PGresult		  *result[FF_GROUP_SIZE];
	bool			   useless; /* set by the owner in `ended`: connect anew */
	char			   sqlstate[6];
	char			   message[256];
};

/* Begins to connect. The link must be down. */
extern void ff_link_open(FfLink *link);

/* Ends the connection without telling the owner. */
extern void ff_link_close(FfLink *link);

/* Adds a statement to the group being built on an idle link; false when libpq refuses, and the link
 * is then to be dropped. */
extern bool ff_link_send(FfLink *link, const char *statement, int count, const char *const *values,
						 const int *lengths, const int *formats, int result_format);
extern bool ff_link_send_text(FfLink *link, const char *sql);

/* Ends the group; the link is busy until owner->ended. */
extern void ff_link_sync(FfLink *link);

/* Gives up a connection that is broken or too slow: tells the owner. */
extern void ff_link_drop(FfLink *link, const char *reason);

#endif
