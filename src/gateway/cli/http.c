/*
 * The command line as an HTTP client: see http.h.
 *
 * Requests block, on one connection each unless the caller keeps one. No proxy is taken from the
 * environment: what is asked is this machine or the user's own.
 */
#define _GNU_SOURCE
#include "cli/http.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "cli/signature.h"
#include "cli/term.h"

#define DEFAULT_TIMEOUT_MS 10000
#define REPLY_LIMIT (64 * 1024 * 1024)

static size_t
take_body(char *bytes, size_t size, size_t count, void *context)
{
	FfReply *reply = context;
	size_t	 length = size * count;

	if (reply->length + length > REPLY_LIMIT)
		return 0;
	reply->body = realloc(reply->body, reply->length + length + 1);
	if (reply->body == NULL)
		abort();
	memcpy(reply->body + reply->length, bytes, length);
	reply->length += length;
	reply->body[reply->length] = '\0';
	return length;
}

static size_t
take_header(char *bytes, size_t size, size_t count, void *context)
{
	FfReply *reply = context;
	size_t	 length = size * count;
	char	 line[256];

	snprintf(line, sizeof(line), "%.*s", (int) (length < 255 ? length : 255), bytes);
	if (strncasecmp(line, "date:", 5) == 0)
	{
		time_t date = curl_getdate(line + 5, NULL);

		reply->date = date > 0 ? (int64_t) date * 1000 : 0;
	}
	else if (strncasecmp(line, "x-inngest-sdk:", 14) == 0 ||
			 strncasecmp(line, "x-inngest-sdk-handled:", 22) == 0)
		reply->is_sdk = true;
	return length;
}

static struct curl_slist *
request_headers(const FfRequest *request)
{
	struct curl_slist *list = curl_slist_append(NULL, "expect:");

	for (int at = 0; at < 8 && request->headers[at] != NULL; at++)
		list = curl_slist_append(list, request->headers[at]);
	if (request->body != NULL)
		list = curl_slist_append(list, "content-type: application/json");
	return list;
}

static void
prepare(CURL *curl, const FfRequest *request, struct curl_slist *headers, FfReply *reply,
		char *error)
{
	curl_easy_setopt(curl, CURLOPT_URL, request->url);
	if (request->body != NULL)
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
	else
		curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST,
					 request->method != NULL ? request->method : "GET");
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS,
					 request->timeout_ms > 0 ? request->timeout_ms : DEFAULT_TIMEOUT_MS);
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "flowforge/" FF_VERSION);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, reply);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, reply);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
}

bool
ff_http(const FfRequest *request, FfReply *reply)
{
	CURL			  *curl = request->connection != NULL ? request->connection : curl_easy_init();
	struct curl_slist *headers = request_headers(request);
	char			   error[CURL_ERROR_SIZE] = "";
	long			   connects = 0;
	CURLcode		   code;

	memset(reply, 0, sizeof(*reply));
	prepare(curl, request, headers, reply, error);
	code = curl_easy_perform(curl);
	if (code == CURLE_OK)
	{
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply->status);
		curl_easy_getinfo(curl, CURLINFO_NUM_CONNECTS, &connects);
		reply->reconnected = connects > 0;
	}
	else
		reply->failure = ff_copy(error[0] != '\0' ? error : curl_easy_strerror(code));
	if (reply->body == NULL)
		reply->body = ff_copy("");

	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(headers);
	if (request->connection == NULL)
		curl_easy_cleanup(curl);
	return reply->failure == NULL;
}

void
ff_reply_free(FfReply *reply)
{
	free(reply->body);
	free(reply->failure);
	memset(reply, 0, sizeof(*reply));
}

FfExit
ff_api_unreachable(const FfServer *server, const char *failure)
{
	ff_complain("`flowforge dev` starts one; FLOWFORGE_URL or --url names another",
				"cannot reach the server at %s: %s", server->url, failure);
	return FF_EXIT_UNREACHABLE;
}

/* What is wrong with a workflow or an input, a line each; other errors say it in the detail. */
static void
tell_findings(const json_t *errors)
{
	for (size_t at = 0; at < json_array_size(errors); at++)
	{
		const json_t *finding = json_array_get(errors, at);
		const char	 *place = ff_json_text(finding, "node_id");
		char		 *text;

		if (ff_json_text(finding, "message") == NULL)
			continue;
		if (place == NULL)
			place = ff_json_text(finding, "path");
		text = ff_term_clean(ff_json_text(finding, "message"), 0);
		fprintf(stderr, "  · %s%s%s\n", place != NULL ? place : "",
				place != NULL && place[0] != '\0' ? ": " : "", text);
		free(text);
	}
}

FfExit
ff_api_complain(const char *what, const FfReply *reply)
{
	json_t	   *problem = json_loads(reply->body, 0, NULL);
	const char *title = ff_json_text(problem, "title");
	const char *detail = ff_json_text(problem, "detail");
	const char *hint = ff_json_text(problem, "hint");
	char	   *text;

	if (title == NULL)
		title = ff_json_text(problem, "error");
	text = ff_term_clean(title != NULL ? title : reply->body, 200);
	ff_complain(NULL, "%s: %s (%ld)", what, text[0] != '\0' ? text : "no explanation",
				reply->status);
	free(text);
	for (int at = 0; at < 2; at++)
	{
		const char *more = at == 0 ? detail : hint;

		if (more == NULL || more[0] == '\0' || (title != NULL && strcmp(more, title) == 0))
			continue;
		text = ff_term_clean(more, 0);
		fprintf(stderr, "  %s%s\n", at == 0 ? "" : "→ ", text);
		free(text);
	}
	tell_findings(json_object_get(problem, "errors"));
	json_decref(problem);
	return FF_EXIT_FAILED;
}

json_t *
ff_api_ask(const FfServer *server, const char *method, const char *path, json_t *body,
		   FfReply *reply)
{
	char	 *url = ff_text("%s%s", server->url, path);
	char	 *text = body != NULL ? ff_json_dump(body) : NULL;
	char	 *authorization = ff_api_authorization(server);
	FfRequest request = {.method = method, .url = url, .body = text, .headers = {authorization}};
	json_t	 *answer = NULL;

	if (ff_http(&request, reply) && reply->status >= 200 && reply->status <= 299)
		answer = json_loads(reply->body, JSON_DECODE_ANY, NULL);
	free(authorization);
	free(text);
	free(url);
	return answer;
}

FfExit
ff_api_tell(const FfServer *server, const char *path, const FfReply *reply)
{
	if (reply->failure != NULL)
		return ff_api_unreachable(server, reply->failure);
	if (reply->status < 200 || reply->status > 299)
		return ff_api_complain(path, reply);
	ff_complain("is FLOWFORGE_URL the address of a FlowForge gateway?",
				"%s%s did not answer with JSON", server->url, path);
	return FF_EXIT_FAILED;
}

json_t *
ff_api(const FfServer *server, const char *method, const char *path, json_t *body, FfExit *result)
{
	FfReply reply;
	json_t *answer = ff_api_ask(server, method, path, body, &reply);

	if (answer == NULL)
		*result = ff_api_tell(server, path, &reply);
	ff_reply_free(&reply);
	return answer;
}

bool
ff_app_http(const FfServer *server, const FfRequest *request, FfReply *reply)
{
	const char *key = server->signing_key;
	const char *body = request->body != NULL ? request->body : "";
	char	   *signature = ff_app_signature(key, body, ff_wall_clock() / 1000);
	FfRequest	signed_request = *request;
	bool		answered;

	signed_request.headers[0] = signature;
	signed_request.headers[1] =
		key != NULL ? "x-inngest-server-kind: cloud" : "x-inngest-server-kind: dev";
	answered = ff_http(&signed_request, reply);
	free(signature);
	return answered;
}

char *
ff_url_escape(const char *text)
{
	char *escaped = curl_easy_escape(NULL, text, 0);
	char *copy = ff_copy(escaped);

	curl_free(escaped);
	return copy;
}

const char *
ff_json_text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

char *
ff_json_dump(const json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

	return text != NULL ? text : ff_text("null");
}

void
ff_json_print(const json_t *value)
{
	char *text = ff_json_dump(value);

	puts(text);
	ff_flush();
	free(text);
}

int64_t
ff_json_time(const json_t *value)
{
	const char *text = json_string_value(value);
	struct tm	parts = {0};
	double		fraction = 0;
	int			hours = 0;
	int			minutes = 0;
	char		sign = '+';
	const char *rest;

	if (json_is_number(value))
		return (int64_t) json_number_value(value);
	if (text == NULL || (rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts)) == NULL)
		return 0;
	if (*rest == '.')
		fraction = strtod(rest, (char **) &rest);
	if (sscanf(rest, "%c%2d:%2d", &sign, &hours, &minutes) < 2)
		hours = minutes = 0;
	return (int64_t) timegm(&parts) * 1000 + (int64_t) (fraction * 1000) -
		   (sign == '-' ? -1 : 1) * (int64_t) (hours * 60 + minutes) * 60000;
}
