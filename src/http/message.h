/*
 * message.h - what HTTP messages are made of: names and values that may stand in one, and what an
 * answer says as text and JSON.
 */
#ifndef FF_HTTP_MESSAGE_H
#define FF_HTTP_MESSAGE_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "http/client.h"
#include "util/json.h"

/* Whether a text may be a method or a header's name. */
extern bool ff_http_is_token(const char *text);
/* Whether it may be a header's value: nothing that would begin another line. */
extern bool ff_http_is_value(const char *text);

/* Bytes as text that jsonb can hold: what is no UTF-8, and NUL, becomes U+FFFD. */
extern char *ff_http_text(const char *bytes, int length);

/* The headers of an answer as an object of lower-case names; of one that came twice the last. Those
 * that tell how the body was packed are left out, because it is unpacked. */
extern void ff_http_put_headers(FfJsonBuilder *builder, const FfHttpCall *call, List *secrets);

#endif
