/*
 * smtp.h - mails on their way: by the client like any call, to the server the settings name.
 */
#ifndef FF_HTTP_SMTP_H
#define FF_HTTP_SMTP_H

#include "postgres.h"

#include "http/client.h"
#include "http/mime.h"

/* flowforge.smtp_tls */
typedef enum FfSmtpTls
{
	FF_SMTP_TLS_REQUIRED, /* but for a server on this machine, where it is used when offered */
	FF_SMTP_TLS_OFFERED,
	FF_SMTP_TLS_NEVER
} FfSmtpTls;

extern char *ff_smtp_url;
extern char *ff_smtp_from;
extern char *ff_smtp_user;
extern char *ff_smtp_password_file;
extern int	 ff_smtp_tls;

extern bool ff_smtp_check_url(char **value, void **extra, GucSource source);
extern bool ff_smtp_check_from(char **value, void **extra, GucSource source);

/* What a call that sends a mail has beside any other (FfHttpCall.mail). */
struct FfMailCall
{
	char *from; /* as the envelope has it */
	void *to;	/* struct curl_slist *, freed with the call */
	char *user; /* NULL: none */
	char *password;
	int	  tls;
	int	  at;	  /* bytes of the message that have been sent */
	int	  socket; /* -1: none */
	char *message_id;
};

/* Makes the call that sends a mail, whose sender is set if it had none, and gives its address.
 * NULL, with the reason as a sentence, when the settings do not allow it. */
extern char *ff_smtp_request(FfHttpCall *call, FfMail *mail, const char **reason);

/* Sets libcurl's options; a CURLcode. */
extern int ff_smtp_set_options(FfHttpCall *call);

/* What the server has said with the code that the call ended with. */
extern char *ff_smtp_reply(const FfHttpCall *call);

#endif
