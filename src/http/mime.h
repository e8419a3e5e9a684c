/*
 * mime.h - mails: from what somebody asks for to the bytes of a message (RFC 5322, 2045, 2047).
 */
#ifndef FF_HTTP_MIME_H
#define FF_HTTP_MIME_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#define FF_MAIL_RECIPIENTS 100

typedef struct FfMailbox
{
	char *name; /* NULL: none */
	char *address;
} FfMailbox;

typedef struct FfMail
{
	FfMailbox  *from; /* NULL: flowforge.smtp_from */
	List	   *to;	  /* of FfMailbox */
	char	   *subject;
	char	   *text;
	char	   *html; /* NULL: there is only text */
	char	   *id;	  /* left of the @ of the Message-ID: letters, digits and _ */
	TimestampTz date;
} FfMail;

/* Reads one mailbox, `a@b.c` or `Name <a@b.c>`. NULL, with the fault as the rest of a sentence. */
extern FfMailbox *ff_mailbox_read(const char *text, const char **fault);

/* Reads {to, subject, body, html?, from?}; `to` is text, with commas between several, or a list.
 * Gives what is wrong as the rest of a sentence, or NULL. */
extern const char *ff_mail_read(FfMail *mail, Jsonb *options);

/* "<id@domain>" */
extern char *ff_mail_message_id(const FfMail *mail);

/* The message, with CRLF at the end of each line, none longer than 78 characters where it can be
 * broken. */
extern void ff_mail_write(const FfMail *mail, StringInfo out);

#endif
