/*
 * smtp.c - mails on their way (see smtp.h).
 *
 * The server is the one the settings name, so the guard lets it be wherever it is. A connection
 * sends one mail. libcurl waits for the answer to QUIT, which would hold up everything else: so
 * when it has said QUIT we hang up, as a server must expect.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/smtp.h"
#include "util/errors.h"

#define MAX_PASSWORD 1024
#define MAX_REPLY 300
#define REPLY_SECONDS 60L /* a server may take for one answer */

char *ff_smtp_url = NULL;
char *ff_smtp_from = NULL;
char *ff_smtp_user = NULL;
char *ff_smtp_password_file = NULL;
int	  ff_smtp_tls = FF_SMTP_TLS_REQUIRED;

/* --- settings --- */

static bool
is_smtp(const char *url)
{
	return strncmp(url, "smtp://", 7) == 0 || strncmp(url, "smtps://", 8) == 0;
}

bool
ff_smtp_check_url(char **value, void **extra, GucSource source)
{
	char host[256];

	if (**value == '\0' || (is_smtp(*value) && strchr(*value, '@') == NULL &&
							ff_guard_host(*value, host, sizeof(host))))
		return true;
	GUC_check_errdetail("It is not the address of a mail server.");
	GUC_check_errhint("Write it like smtp://mail.example.com:587 or smtps://mail.example.com; the "
					  "user is flowforge.smtp_user.");
	return false;
}

bool
ff_smtp_check_from(char **value, void **extra, GucSource source)
{
	const char *fault = NULL;

	if (**value == '\0' || ff_mailbox_read(*value, &fault) != NULL)
		return true;
	GUC_check_errdetail("It %s.", fault);
	GUC_check_errhint("Write it like flows@example.com or FlowForge <flows@example.com>.");
	return false;
}

/* The first line of the file. */
static char *
read_password(const char **reason)
{
	char text[MAX_PASSWORD + 1];
	int	 file = open(ff_smtp_password_file, O_RDONLY | O_CLOEXEC);
	int	 length = file < 0 ? -1 : (int) read(file, text, MAX_PASSWORD);

	if (file >= 0)
		close(file);
	if (length <= 0)
	{
		*reason = "flowforge.smtp_password_file cannot be read";
		return NULL;
	}
	text[length] = '\0';
	text[strcspn(text, "\r\n")] = '\0';
	return pstrdup(text);
}

static bool
is_here(const char *url)
{
	char	  host[256];
	FfAddress address;
	FfNet	  loopback;

	if (!ff_guard_host(url, host, sizeof(host)))
		return false;
	if (pg_strcasecmp(host, "localhost") == 0)
		return true;
	return ff_address_parse(host, &address) &&
		   ff_net_parse(address.family == AF_INET ? "127.0.0.0/8" : "::1", &loopback) &&
		   ff_net_contains(&loopback, &address);
}

static int
tls_level(void)
{
	switch ((FfSmtpTls) ff_smtp_tls)
	{
		case FF_SMTP_TLS_REQUIRED:
			return is_here(ff_smtp_url) ? CURLUSESSL_TRY : CURLUSESSL_ALL;
		case FF_SMTP_TLS_OFFERED:
			return CURLUSESSL_TRY;
		case FF_SMTP_TLS_NEVER:
			break;
	}
	return CURLUSESSL_NONE;
}

/* --- the call --- */

static void
add_recipient(struct FfMailCall *send, const char *address)
{
	struct curl_slist *longer = curl_slist_append(send->to, psprintf("<%s>", address));

	if (longer == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	send->to = longer;
}

static bool
find_sender(FfMail *mail, const char **reason)
{
	if (mail->from == NULL && *ff_smtp_from != '\0')
		mail->from = ff_mailbox_read(ff_smtp_from, reason);
	if (mail->from == NULL)
		*reason = "the mail has no from, and flowforge.smtp_from is not set";
	return mail->from != NULL;
}

char *
ff_smtp_request(FfHttpCall *call, FfMail *mail, const char **reason)
{
	struct FfMailCall *send = MemoryContextAllocZero(call->context, sizeof(struct FfMailCall));
	ListCell		  *cell;

	send->socket = -1;
	if (ff_smtp_url == NULL || *ff_smtp_url == '\0')
	{
		*reason = "there is no mail server: flowforge.smtp_url is not set";
		return NULL;
	}
	if (!find_sender(mail, reason))
		return NULL;
	if (*ff_smtp_user != '\0')
	{
		send->user = pstrdup(ff_smtp_user);
		send->password = *ff_smtp_password_file ? read_password(reason) : pstrdup("");
		if (send->password == NULL)
			return NULL;
	}
	call->mail = send;
	call->reach = FF_REACH_SETTING;
	call->keep_headers = true;
	send->from = psprintf("<%s>", mail->from->address);
	send->tls = tls_level();
	foreach (cell, mail->to)
		add_recipient(send, ((FfMailbox *) lfirst(cell))->address);
	ff_mail_write(mail, &call->request);
	return pstrdup(ff_smtp_url);
}

/* --- inside libcurl: nothing here may raise --- */

static size_t
give_message(char *to, size_t size, size_t count, void *user)
{
	FfHttpCall *call = user;
	int			left = call->request.len - call->mail->at;
	int			length = (int) Min(size * count, (size_t) left);

	memcpy(to, call->request.data + call->mail->at, length);
	call->mail->at += length;
	return length;
}

static int
on_debug(CURL *easy, curl_infotype type, char *data, size_t length, void *user)
{
	FfHttpCall *call = user;

	if (type == CURLINFO_HEADER_OUT && length >= 4 && pg_strncasecmp(data, "QUIT", 4) == 0 &&
		call->mail->socket >= 0)
		(void) shutdown(call->mail->socket, SHUT_RDWR);
	return 0;
}

#define SET(option, value)                                      \
	do                                                          \
	{                                                           \
		CURLcode code_ = curl_easy_setopt(easy, option, value); \
		if (code_ != CURLE_OK)                                  \
			return (int) code_;                                 \
	} while (0)

int
ff_smtp_set_options(FfHttpCall *call)
{
	CURL			  *easy = call->easy;
	struct FfMailCall *send = call->mail;

	SET(CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	SET(CURLOPT_USE_SSL, (long) send->tls);
	SET(CURLOPT_MAIL_FROM, send->from);
	SET(CURLOPT_MAIL_RCPT, (struct curl_slist *) send->to);
	SET(CURLOPT_UPLOAD, 1L);
	SET(CURLOPT_READFUNCTION, give_message);
	SET(CURLOPT_READDATA, call);
	SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t) call->request.len);
	SET(CURLOPT_FRESH_CONNECT, 1L);
	SET(CURLOPT_FORBID_REUSE, 1L);
	SET(CURLOPT_SERVER_RESPONSE_TIMEOUT, REPLY_SECONDS);
	SET(CURLOPT_DEBUGFUNCTION, on_debug);
	SET(CURLOPT_DEBUGDATA, call);
	SET(CURLOPT_VERBOSE, 1L);
	if (send->user != NULL)
	{
		SET(CURLOPT_USERNAME, send->user);
		SET(CURLOPT_PASSWORD, send->password);
	}
	return CURLE_OK;
}

/* --- what came back --- */

/* The last line that begins with the code that counts; the server may have said good-bye since. */
char *
ff_smtp_reply(const FfHttpCall *call)
{
	char *text = pstrdup(call->all_headers.data);
	char *code = psprintf("%03ld", call->status);
	char *found = code;
	char *line;

	while ((line = strsep(&text, "\n")) != NULL)
	{
		if (strncmp(line, code, 3) == 0)
			found = line;
	}
	found[strcspn(found, "\r")] = '\0';
	found = pnstrdup(found, MAX_REPLY);
	for (char *at = found; *at != '\0'; at++)
	{
		if ((unsigned char) *at < 0x20 || (unsigned char) *at > 0x7e)
			*at = '?';
	}
	return found;
}
