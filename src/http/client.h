/*
 * client.h - HTTP calls through one libcurl multi handle whose epoll descriptor the executor waits
 * on.
 *
 * Nothing here blocks. A call is started, driven whenever the descriptor is readable or the
 * time-out passes, and handed back when it is over. Calls and answers live in memory contexts of
 * their own.
 */
#ifndef FF_HTTP_CLIENT_H
#define FF_HTTP_CLIENT_H

#include "postgres.h"

#include "lib/ilist.h"
#include "lib/stringinfo.h"

#include "http/guard.h"

/* The headers of an answer that are kept. */
typedef enum FfHttpHeader
{
	FF_HEADER_SDK,
	FF_HEADER_NO_RETRY,
	FF_HEADER_RETRY_AFTER,
	FF_HEADER_REQ_VERSION,
	FF_HEADER_SIGNATURE,
	FF_HEADER_CONTENT_TYPE,
	FF_HEADER_SDK_HANDLED,
	FF_HEADER_SYNC_KIND,
	FF_HEADER_COUNT
} FfHttpHeader;

struct FfMailCall;

typedef struct FfHttpCall
{
	MemoryContext	   context;
	void			  *owner;  /* the caller's */
	void			  *detail; /* the caller's */
	void			  *talker; /* the worker's, while those who follow the run are told of it */
	void			  *easy;   /* CURL * */
	void			  *sent;   /* struct curl_slist * */
	StringInfoData	   request;
	StringInfoData	   body;
	char			  *headers[FF_HEADER_COUNT];
	bool			   timed_out;
	FfReach			   reach;		 /* who has said where it goes */
	const char		  *method;		 /* NULL: POST */
	int				   timeout;		 /* ms for the whole call; 0: as long as any */
	int				   redirects;	 /* how many are followed */
	bool			   keep_headers; /* all of them, as lines "name: value" */
	StringInfoData	   all_headers;
	struct FfMailCall *mail;	/* of a call that sends one (smtp.h), or NULL */
	bool			   streams; /* the answer comes line by line: progress is told */
	bool			   eager;	/* progress is told of any answer, whatever its type */
	int				   kept;  /* bytes at the front of the body that whoever reads lines has left */
	bool			   grown; /* in the list of those that have */
	dlist_node		   grown_node;
	char			  *effective_url; /* where the answer came from */
	bool			   too_large;
	FfRefusal		   refusal; /* of the guard, while it is why there was no answer */
	bool			   refused;
	bool			   reached; /* false: no connection was made, so nothing was asked of the app */
	long			   status;	/* of HTTP; 0 when there was no answer */
	char			  *failure; /* why there was none, or NULL */
	char			   curl_error[256];
} FfHttpCall;

extern int	 ff_request_timeout;  /* ms for a whole call */
extern int	 ff_connect_timeout;  /* ms */
extern char *ff_ca_file;		  /* authorities to trust instead of the system's; empty: those */
extern int	 ff_outbound_timeout; /* ms for a whole call of FF_REACH_OUTSIDE */
extern int	 ff_response_limit;	  /* bytes of an answer's body */

/* Prepares libcurl; once per executor. Raises when it cannot. */
extern void ff_http_init(void);

/* The descriptor to wait on, and for how many milliseconds at most (-1: no bound). */
extern int	ff_http_descriptor(void);
extern long ff_http_timeout(void);

/* A call in a new context below `parent`; add headers ("name: value"), fill `request`, then start
 * it. */
extern FfHttpCall *ff_http_new(MemoryContext parent);
extern void		   ff_http_add_header(FfHttpCall *call, const char *header);
/* False, with `failure` set, when libcurl does not take it (a malformed URL) or the guard refuses
 * it. */
extern bool ff_http_start(FfHttpCall *call, const char *url);

/* Moves all calls on; `progress` is called for each whose streamed answer has grown, `done` for
 * each that is over. */
typedef void (*FfHttpDone)(FfHttpCall *call);
extern void ff_http_drive(FfHttpDone progress, FfHttpDone done);

/* Gives up a call under way, or frees a finished one. */
extern void ff_http_free(FfHttpCall *call);

#endif
