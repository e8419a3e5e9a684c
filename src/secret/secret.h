/*
 * secret.h - secrets of tenants where steps use them.
 *
 * A config says {{ secret.NAME }}. What is made of it, stored and shown has no value: a stand-in,
 * {{secret.NAME.MARK}}, whose mark is 128 random bits of this attempt, so that no data can look
 * like one. Values take the place of stand-ins in the copy of the options that a call is made of,
 * and nowhere else.
 */
#ifndef FF_SECRET_H
#define FF_SECRET_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#define FF_SECRET_NAME_SIZE 65

extern bool ff_secret_is_name(const char *name);

/* A new mark, palloc'ed. */
extern char *ff_secret_mark(void);

/* {NAME: stand-in} for names (of char *). */
extern Jsonb *ff_secret_stand_ins(const List *names, const char *mark);

/* A document with its stand-ins as people know them: {{secret.NAME}}. */
extern Jsonb *ff_secret_shown(Jsonb *document, const char *mark);

/*
 * The document with the values of the tenant's secrets in the place of their stand-ins. What no
 * answer may show of them is appended to `hidden` (of char *). Both are made in the current
 * context, which is not SPI's. Connected to SPI, in a transaction that commits. Raises FF6B1 for a
 * secret there is not, FF410 and FF411 when one cannot be opened.
 */
extern Jsonb *ff_secret_open(int32 tenant_id, Jsonb *document, const char *mark, List **hidden);

#endif
