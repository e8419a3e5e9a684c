/*
 * mail.c - the step Mail: a mail is handed to the mail server of the settings (http/smtp.h).
 *
 * Its Message-ID is made of the run and the step, so a mail that is handed over again, after an
 * attempt that failed or a crash, can be known for what it is.
 */
#include "postgres.h"

#include "http/smtp.h"
#include "run/actor.h"
#include "step/outgoing.h"
#include "step/step.h"
#include "util/errors.h"
#include "util/json.h"

static const char *
read_options(FfOp *op, Jsonb *options, TimestampTz now)
{
	FfMail mail = {0};

	op->options = options;
	return ff_mail_read(&mail, options);
}

static char *
callee(const FfItem *item)
{
	return pstrdup("mail");
}

static Jsonb *
make_error(const char *message, long status)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, "name");
	ff_jb_text(&builder, "MailError");
	ff_jb_key(&builder, "message");
	ff_jb_text(&builder, message);
	ff_jb_key(&builder, "code");
	ff_jb_text(&builder, unpack_sql_state(FF_ERR_MAIL));
	if (status > 0)
	{
		ff_jb_key(&builder, "status");
		ff_jb_int(&builder, status);
	}
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static char *
request(FfHttpCall *call, const FfRun *run, const FfItem *item, void *found, Jsonb **error)
{
	FfMail		mail = {0};
	const char *reason = ff_mail_read(&mail, item->options);
	char	   *url;

	mail.id = ff_outgoing_key(run, item);
	mail.date = item->created;
	url = reason == NULL ? ff_smtp_request(call, &mail, &reason) : NULL;
	if (url == NULL)
		*error = make_error(reason, 0);
	else
		call->mail->message_id = ff_mail_message_id(&mail);
	return url;
}

static Jsonb *
result(const FfHttpCall *call, const FfItem *item)
{
	FfJsonBuilder builder = {0};
	FfMail		  mail = {0};
	ListCell	 *cell;

	(void) ff_mail_read(&mail, item->options);
	ff_jb_object(&builder);
	ff_jb_key(&builder, "sent_to");
	ff_jb_array(&builder);
	foreach (cell, mail.to)
		ff_jb_text(&builder, ((FfMailbox *) lfirst(cell))->address);
	ff_jb_end(&builder);
	ff_jb_key(&builder, "subject");
	ff_jb_text(&builder, mail.subject);
	ff_jb_key(&builder, "message_id");
	ff_jb_text(&builder, call->mail->message_id);
	ff_jb_key(&builder, "status");
	ff_jb_text(&builder, "sent");
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

/* A server that says 5xx will say so again; 4xx, or nothing, is of the moment. */
static void
answer(FfAnswer *answer, FfOp *op, const FfHttpCall *call, const FfItem *item, void *found,
	   TimestampTz now)
{
	if (call->failure == NULL)
	{
		op->data = result(call, item);
		return;
	}
	answer->retry = call->status < 500 || call->status > 599;
	if (call->status >= 400)
		op->error =
			make_error(psprintf("the mail server answered %s", ff_smtp_reply(call)), call->status);
	else
		op->error = make_error(psprintf("the mail could not be sent: %s", call->failure), 0);
}

const FfStepKind ff_step_mail = {.op = "Mail",
								 .name = "mail",
								 .place = FF_STEP_CALL,
								 .read = read_options,
								 .begin = ff_kind_begin,
								 .callee = callee,
								 .request = request,
								 .answer = answer};
