/*
 * form.h - forms as events, which webhooks and HTML forms send to POST /e/{key}, and as objects.
 */
#ifndef FF_FORM_H
#define FF_FORM_H

#include "postgres.h"

#include "utils/jsonb.h"

/* Whether a body of this content type and beginning is a form (curl -d says so of JSON too). */
extern bool ff_form_is(const char *type, const char *body, int length);

/*
 * The event a form is. With ?name=... in the query string the whole form is its data; without it,
 * the fields name, id, ts, v and data (JSON) are the event's own and all others members of its
 * data. A field that comes twice is a list; a file is {filename, type, size, text | base64}. Raises
 * FF203 for what is no form and FF204 for a bad query string.
 */
extern Jsonb *ff_form_event(const char *type, const char *query, const char *body, int length);

/* An object of the fields of a form, each as it is in an event's data. Raises FF203. */
extern Jsonb *ff_form_fields(const char *type, const char *body, int length);

#endif
