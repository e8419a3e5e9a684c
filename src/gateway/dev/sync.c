/*
 * Keeps apps registered: see sync.h.
 *
 * An app registers when its URL gets a PUT (the protocol's sync). It needs another one when its
 * code changed, and code changes by a restart. So each app is asked for its introspection (GET)
 * every four seconds on a connection that is kept: a new connection or another answer means a new
 * process, and only then it is told to register. (Node keeps an idle connection for five seconds.)
 */
#define _GNU_SOURCE
#include "dev/sync.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/http.h"
#include "cli/term.h"

#define EAGER_MS 200
#define AGAIN_MS 1000
#define CALM_MS 4000
#define SILENCE_MS 8000
#define REQUEST_MS 3000

typedef enum AppState
{
	APP_AWAITED, /* has not answered yet */
	APP_REGISTERED,
	APP_REFUSED, /* answers, but did not register */
	APP_GONE	 /* was registered, does not answer now */
} AppState;

typedef struct App
{
	const char *url;
	CURL	   *connection;
	AppState	state;
	char	   *seen;	   /* its introspection when it was last told to register */
	char	   *complaint; /* why it did not register, as last printed */
	int64_t		since;	   /* when it was first asked, steady clock */
	bool		silence_told;
} App;

static bool
ask_app(const FfServer *server, App *app, const char *method, const char *body, FfReply *reply)
{
	FfRequest request = {
		.method = method,
		.url = app->url,
		.body = body,
		.timeout_ms = body != NULL ? 3 * REQUEST_MS : REQUEST_MS,
		.connection = app->connection,
	};

	return ff_app_http(server, &request, reply);
}

static void
complain(App *app, const char *why)
{
	if (app->complaint == NULL || strcmp(app->complaint, why) != 0)
	{
		char *detail = ff_term_clean(why, 0);

		ff_term_bad(app->url, NULL);
		printf("    %s\n", detail);
		fflush(stdout);
		free(detail);
	}
	free(app->complaint);
	app->complaint = ff_copy(why);
	app->state = APP_REFUSED;
}

static void
registered(App *app, const char *introspection, bool modified)
{
	json_t		 *facts = json_loads(introspection, 0, NULL);
	const json_t *count = json_object_get(facts, "function_count");
	char		 *detail = json_is_integer(count)
							   ? ff_text("%s · %d function%s", app->url, (int) json_integer_value(count),
								 json_integer_value(count) == 1 ? "" : "s")
							   : ff_copy(app->url);

	if (app->state != APP_REGISTERED || modified)
		ff_term_done("app", detail);
	app->state = APP_REGISTERED;
	free(app->complaint);
	app->complaint = NULL;
	free(detail);
	json_decref(facts);
}

/* Tells an app to register. */
static void
sync_app(const FfServer *server, App *app, const char *introspection)
{
	FfReply		reply;
	json_t	   *answer;
	const char *message;

	if (!ask_app(server, app, "PUT", "{}", &reply))
	{
		complain(app, reply.failure);
		ff_reply_free(&reply);
		return;
	}
	answer = json_loads(reply.body, 0, NULL);
	message = ff_json_text(answer, "message");
	if (message == NULL)
		message = ff_json_text(answer, "error");
	/* The Python SDK passes our refusal on with status 200. */
	if (reply.status == 200 && ff_json_text(answer, "error") == NULL)
		registered(app, introspection, json_is_true(json_object_get(answer, "modified")));
	else
	{
		char *why = ff_text("did not register: %s (%ld)",
							message != NULL ? message : "no reason given", reply.status);

		complain(app, why);
		free(why);
	}
	json_decref(answer);
	ff_reply_free(&reply);
}

static void
missed(App *app)
{
	if (app->state == APP_REGISTERED)
	{
		ff_term_warn("app", "does not answer; its runs wait and go on when it is back");
		app->state = APP_GONE;
	}
	if (app->state == APP_AWAITED && !app->silence_told &&
		ff_steady_clock() - app->since > SILENCE_MS)
	{
		char *what = ff_text("nothing answers at %s yet", app->url);

		ff_term_warn("app", what);
		free(what);
		app->silence_told = true;
	}
}

static void
look_at_app(const FfServer *server, App *app)
{
	FfReply reply;

	if (!ask_app(server, app, "GET", NULL, &reply))
		missed(app);
	else if (reply.status != 200 && !reply.is_sdk)
	{
		char *why = ff_text("answers %ld: no app is served at this address", reply.status);

		complain(app, why);
		free(why);
	}
	else if (app->state != APP_REGISTERED || reply.reconnected || app->seen == NULL ||
			 strcmp(app->seen, reply.body) != 0)
	{
		sync_app(server, app, reply.body);
		free(app->seen);
		app->seen = ff_copy(reply.body);
	}
	ff_reply_free(&reply);
}

/* How long to rest: little while an app is awaited, for someone is watching. */
static int
pause_for(const App *apps, int count)
{
	int pause = CALM_MS;

	for (int at = 0; at < count; at++)
	{
		int wish = apps[at].state == APP_REGISTERED							 ? CALM_MS
				   : apps[at].state == APP_AWAITED && !apps[at].silence_told ? EAGER_MS
																			 : AGAIN_MS;

		pause = wish < pause ? wish : pause;
	}
	return pause;
}

void
ff_sync_apps(const FfServer *server, const FfList *urls, int told)
{
	App *apps = ff_alloc(sizeof(App) * (size_t) urls->count);
	bool all_before = false;

	for (int at = 0; at < urls->count; at++)
	{
		apps[at].url = urls->item[at];
		apps[at].connection = curl_easy_init();
		apps[at].since = ff_steady_clock();
	}
	for (;;)
	{
		bool			all = true;
		int				pause;
		struct timespec time;

		for (int at = 0; at < urls->count; at++)
		{
			look_at_app(server, &apps[at]);
			all = all && apps[at].state == APP_REGISTERED;
		}
		if (all && !all_before && write(told, "!", 1) == 1)
			all_before = true;
		pause = pause_for(apps, urls->count);
		time = (struct timespec){pause / 1000, (pause % 1000) * 1000000L};
		nanosleep(&time, NULL);
	}
}
