/*
 * The command line as an HTTP client: of the gateway's API and of apps.
 */
#ifndef FF_CLI_HTTP_H
#define FF_CLI_HTTP_H

#include <curl/curl.h>
#include <jansson.h>

#include "cli/cli.h"

/* One request. Fields left zero take the default: GET, no body, no headers, 10 s, a connection of
 * its own. */
typedef struct FfRequest
{
	const char *method;
	const char *url;
	const char *body;
	const char *headers[8]; /* "name: value", NULL ends them */
	long		timeout_ms;
	CURL	   *connection; /* kept alive between requests */
} FfRequest;

/* What came back. failure is NULL when the server answered, else why it did not. Free with
 * ff_reply_free. */
typedef struct FfReply
{
	long	status;
	char   *body;
	size_t	length;
	int64_t date;		 /* the Date header in milliseconds since 1970, 0 when there is none */
	bool	is_sdk;		 /* it came from an SDK */
	bool	reconnected; /* a new connection had to be made */
	char   *failure;
} FfReply;

/* Sends a request and waits for the whole answer. True when there is one, whatever its status. */
extern bool ff_http(const FfRequest *request, FfReply *reply);
extern void ff_reply_free(FfReply *reply);

/*
 * A call of the gateway's API: path begins with "/", body may be NULL (it is not consumed). Gives
 * the JSON of a 2xx answer, to be released by the caller; else NULL, with what went wrong told to
 * the user and *result set.
 */
extern json_t *ff_api(const FfServer *server, const char *method, const char *path, json_t *body,
					  FfExit *result);

/*
 * The same without a word to the user: what came back is left in *reply, which is to be freed. When
 * there is no JSON, ff_api_tell says why and gives the exit code.
 */
extern json_t *ff_api_ask(const FfServer *server, const char *method, const char *path,
						  json_t *body, FfReply *reply);
extern FfExit  ff_api_tell(const FfServer *server, const char *path, const FfReply *reply);

/* Tells the user about an answer that is no success: its problem+json title, detail and hint. */
extern FfExit ff_api_complain(const char *what, const FfReply *reply);

/* Tells the user that nothing answers at the server's URL. Always FF_EXIT_UNREACHABLE. */
extern FfExit ff_api_unreachable(const FfServer *server, const char *failure);

/* A request as the server makes it to an app, without headers: signed when there is a key. */
extern bool ff_app_http(const FfServer *server, const FfRequest *request, FfReply *reply);

/* Percent-encodes one path segment or query value. To be freed. */
extern char *ff_url_escape(const char *text);

/* The text at a key of an object, or NULL when it is absent or no text. Belongs to the object. */
extern const char *ff_json_text(const json_t *object, const char *key);

/* The value as compact JSON. To be freed. */
extern char *ff_json_dump(const json_t *value);

/* Prints a value as one line of JSON on standard output. */
extern void ff_json_print(const json_t *value);

/* A JSON time (ISO 8601 text, or a number of milliseconds since 1970) in milliseconds since 1970; 0
 * when it is none. */
extern int64_t ff_json_time(const json_t *value);

#endif
