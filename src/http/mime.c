/*
 * mime.c - mails (see mime.h).
 *
 * Nothing that somebody asks for can begin a line of the header: what has a line's end in it is
 * refused, and what is not plain ASCII is encoded. Bodies are quoted-printable, in which "=_" never
 * occurs, so that a boundary that begins with it is in no body.
 */
#include "postgres.h"

#include "common/base64.h"
#include "mb/pg_wchar.h"
#include "pgtime.h"

#include "http/mime.h"
#include "util/compat.h"
#include "util/json.h"

#define LINE_LENGTH 76
#define WORD_BYTES 42 /* of text in one encoded word, which is at most 75 characters long */
#define MAX_ADDRESS 254
#define MAX_LOCAL 64
#define MAX_LABEL 63
#define MAX_HEADER 2000

/* --- addresses --- */

static const char atext[] =
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~";
static const char label_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";

/* Words of these characters with single dots between them. */
static bool
is_dotted(const char *text, size_t length, const char *characters, size_t longest)
{
	size_t at = 0;

	for (;;)
	{
		size_t run = 0;

		while (at + run < length && strchr(characters, text[at + run]) != NULL)
			run++;
		if (run == 0 || run > longest)
			return false;
		at += run;
		if (at == length)
			return true;
		if (text[at++] != '.')
			return false;
	}
}

static bool
is_domain(const char *text)
{
	size_t length = strlen(text);

	if (!is_dotted(text, length, label_chars, MAX_LABEL))
		return false;
	for (size_t i = 0; i < length; i++)
	{
		bool first = i == 0 || text[i - 1] == '.';
		bool last = i + 1 == length || text[i + 1] == '.';

		if (text[i] == '-' && (first || last))
			return false;
	}
	return true;
}

static bool
is_address(const char *text)
{
	const char *at = strrchr(text, '@');

	return at != NULL && strlen(text) <= MAX_ADDRESS && at - text <= MAX_LOCAL &&
		   is_dotted(text, at - text, atext, MAX_LOCAL) && is_domain(at + 1);
}

static bool
has_control(const char *text)
{
	for (; *text != '\0'; text++)
	{
		if ((unsigned char) *text < 0x20 || *text == 0x7f)
			return true;
	}
	return false;
}

static char *
trim(const char *text, size_t length)
{
	while (length > 0 && isspace((unsigned char) *text))
	{
		text++;
		length--;
	}
	while (length > 0 && isspace((unsigned char) text[length - 1]))
		length--;
	return pnstrdup(text, length);
}

/* A name without the quotes around it. */
static char *
unquote(char *name)
{
	size_t length = strlen(name);
	char  *to = name;

	if (length < 2 || name[0] != '"' || name[length - 1] != '"')
		return name;
	for (size_t i = 1; i < length - 1; i++)
	{
		if (name[i] == '\\' && i + 1 < length - 1)
			i++;
		*to++ = name[i];
	}
	*to = '\0';
	return name;
}

FfMailbox *
ff_mailbox_read(const char *text, const char **fault)
{
	FfMailbox  *box = palloc0(sizeof(FfMailbox));
	char	   *whole = trim(text, strlen(text));
	const char *open = strrchr(whole, '<');
	size_t		length = strlen(whole);

	*fault = NULL;
	if (has_control(text))
		*fault = "has a line's end or another control character in an address";
	else if (open != NULL && whole[length - 1] == '>')
	{
		box->name = unquote(trim(whole, open - whole));
		box->address = pnstrdup(open + 1, length - (open - whole) - 2);
	}
	else
		box->address = whole;
	if (*fault == NULL && !is_address(box->address))
		*fault = psprintf("has an address that is none: \"%s\"", box->address);
	if (box->name != NULL && (*box->name == '\0' || strlen(box->name) > MAX_HEADER))
		box->name = NULL;
	return *fault ? NULL : box;
}

/* Where the mailbox ends that begins here: at a comma outside quotes, or at the end. */
static size_t
mailbox_length(const char *text)
{
	bool   quoted = false;
	size_t i;

	for (i = 0; text[i] != '\0' && (quoted || text[i] != ','); i++)
	{
		if (text[i] == '\\' && quoted && text[i + 1] != '\0')
			i++;
		else if (text[i] == '"')
			quoted = !quoted;
	}
	return i;
}

static const char *
add_recipients(FfMail *mail, const char *text)
{
	const char *fault;

	for (;;)
	{
		size_t	   length = mailbox_length(text);
		FfMailbox *box = ff_mailbox_read(pnstrdup(text, length), &fault);

		if (box == NULL)
			return fault;
		if (list_length(mail->to) == FF_MAIL_RECIPIENTS)
			return psprintf("has more than %d recipients", FF_MAIL_RECIPIENTS);
		mail->to = lappend(mail->to, box);
		if (text[length] == '\0')
			return NULL;
		text += length + 1;
	}
}

static const char *
read_recipients(FfMail *mail, Jsonb *options)
{
	Jsonb	   *list = ff_json_member(options, "to");
	char	   *text = ff_json_text(options, "to");
	const char *fault = NULL;

	if (text != NULL)
		return *text ? add_recipients(mail, text) : "has nobody in to";
	if (list == NULL || !ff_json_is_array(list) || JB_ROOT_COUNT(list) == 0)
		return "has nobody in to: an address, or a list of them";
	for (uint32 i = 0; fault == NULL && i < JB_ROOT_COUNT(list); i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(&list->root, i);

		if (element->type != jbvString)
			return "has something in to that is not text";
		fault = add_recipients(mail, pnstrdup(element->val.string.val, element->val.string.len));
	}
	return fault;
}

/* --- reading --- */

/* NULL when it is absent or null; a fault when it is no text. */
static const char *
read_text(Jsonb *options, const char *key, char **text)
{
	JsonbValue *value = ff_json_get(options, key);

	*text = NULL;
	if (value == NULL || value->type == jbvNull)
		return NULL;
	if (value->type != jbvString)
		return psprintf("has a %s that is not text", key);
	*text = pnstrdup(value->val.string.val, value->val.string.len);
	return NULL;
}

static const char *
read_sender(FfMail *mail, Jsonb *options)
{
	char	   *from;
	const char *fault = read_text(options, "from", &from);

	if (fault == NULL && from != NULL)
		mail->from = ff_mailbox_read(from, &fault);
	return fault;
}

const char *
ff_mail_read(FfMail *mail, Jsonb *options)
{
	const char *fault;

	if (options == NULL || !ff_json_is_object(options))
		return "has no options";
	fault = read_recipients(mail, options);
	if (fault == NULL)
		fault = read_text(options, "subject", &mail->subject);
	if (fault == NULL)
		fault = read_text(options, "body", &mail->text);
	if (fault == NULL)
		fault = read_text(options, "html", &mail->html);
	if (fault == NULL)
		fault = read_sender(mail, options);
	if (fault != NULL)
		return fault;
	if (mail->subject == NULL)
		return "has no subject";
	if (mail->text == NULL)
		return "has no body";
	if (has_control(mail->subject))
		return "has a line's end or another control character in its subject";
	return strlen(mail->subject) > MAX_HEADER ? "has a subject that is too long" : NULL;
}

/* --- writing the header --- */

static bool
is_plain(const char *text)
{
	if (strstr(text, "=?") != NULL)
		return false;
	for (; *text != '\0'; text++)
	{
		if ((unsigned char) *text < 0x20 || (unsigned char) *text > 0x7e)
			return false;
	}
	return true;
}

/* As many bytes as fit into an encoded word without breaking a character. */
static int
word_length(const char *text)
{
	int length = 0;

	while (text[length] != '\0')
	{
		int size = pg_utf_mblen((const unsigned char *) text + length);

		if (length + size > WORD_BYTES)
			break;
		length += size;
	}
	return length;
}

/* Text as encoded words of RFC 2047, each on a line of its own. */
static void
append_encoded(StringInfo out, const char *text)
{
	bool first = true;

	while (*text != '\0')
	{
		int	 length = word_length(text);
		char coded[WORD_BYTES * 2];
		int	 size = ff_b64_encode(text, length, coded, sizeof(coded));

		appendStringInfo(out, "%s=?utf-8?B?%.*s?=", first ? "" : "\r\n ", Max(size, 0), coded);
		text += length;
		first = false;
	}
}

/* Of ASCII, broken at blanks. `column` is what stands on the line already. */
static void
append_folded(StringInfo out, const char *text, int column)
{
	while (*text != '\0')
	{
		int length = (int) strcspn(text + 1, " ") + 1;

		if (column + length > LINE_LENGTH && *text == ' ' && text[1] != '\0' && text[1] != ' ')
		{
			appendStringInfoString(out, "\r\n");
			column = 0;
		}
		appendBinaryStringInfo(out, text, length);
		column += length;
		text += length;
	}
}

static void
append_subject(StringInfo out, const char *subject)
{
	appendStringInfoString(out, "Subject: ");
	if (is_plain(subject))
		append_folded(out, subject, 9);
	else
		append_encoded(out, subject);
	appendStringInfoString(out, "\r\n");
}

static void
append_mailbox(StringInfo out, const FfMailbox *box)
{
	if (box->name == NULL)
	{
		appendStringInfoString(out, box->address);
		return;
	}
	if (is_plain(box->name))
	{
		appendStringInfoChar(out, '"');
		for (const char *at = box->name; *at != '\0'; at++)
			appendStringInfo(out, *at == '"' || *at == '\\' ? "\\%c" : "%c", *at);
		appendStringInfoChar(out, '"');
	}
	else
		append_encoded(out, box->name);
	appendStringInfo(out, "%s<%s>", strlen(box->name) > 20 ? "\r\n " : " ", box->address);
}

static void
append_date(StringInfo out, TimestampTz date)
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
										 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	pg_time_t				 seconds = timestamptz_to_time_t(date);
	struct pg_tm			*tm = pg_gmtime(&seconds);

	appendStringInfo(out, "Date: %s, %d %s %d %02d:%02d:%02d +0000\r\n", days[tm->tm_wday],
					 tm->tm_mday, months[tm->tm_mon], tm->tm_year + 1900, tm->tm_hour, tm->tm_min,
					 tm->tm_sec);
}

char *
ff_mail_message_id(const FfMail *mail)
{
	return psprintf("<%s@%s>", mail->id, strrchr(mail->from->address, '@') + 1);
}

static void
append_header(StringInfo out, const FfMail *mail)
{
	ListCell *cell;

	append_date(out, mail->date);
	appendStringInfoString(out, "From: ");
	append_mailbox(out, mail->from);
	appendStringInfoString(out, "\r\nTo: ");
	foreach (cell, mail->to)
	{
		append_mailbox(out, lfirst(cell));
		appendStringInfoString(out, lnext(mail->to, cell) != NULL ? ",\r\n " : "\r\n");
	}
	append_subject(out, mail->subject);
	appendStringInfo(out, "Message-ID: %s\r\nMIME-Version: 1.0\r\n", ff_mail_message_id(mail));
}

/* --- writing the body --- */

/* One byte as quoted-printable has it; a blank at the end of a line is written out. */
static int
quote_byte(char out[4], unsigned char byte, bool at_end)
{
	static const char hex[] = "0123456789ABCDEF";

	if (((byte == ' ' || byte == '\t') && !at_end) || (byte > 0x20 && byte < 0x7f && byte != '='))
	{
		out[0] = (char) byte;
		return 1;
	}
	out[0] = '=';
	out[1] = hex[byte >> 4];
	out[2] = hex[byte & 15];
	return 3;
}

/* Length of a line's end here: \r\n, \n or \r. */
static int
line_end(const char *text)
{
	if (text[0] == '\r')
		return text[1] == '\n' ? 2 : 1;
	return text[0] == '\n' ? 1 : 0;
}

static void
append_quoted(StringInfo out, const char *text)
{
	int column = 0;

	while (*text != '\0')
	{
		int	 end = line_end(text);
		char quoted[4];
		int	 length;

		if (end > 0)
		{
			appendStringInfoString(out, "\r\n");
			column = 0;
			text += end;
			continue;
		}
		length =
			quote_byte(quoted, (unsigned char) *text, line_end(text + 1) > 0 || text[1] == '\0');
		if (column + length > LINE_LENGTH - 1)
		{
			appendStringInfoString(out, "=\r\n");
			column = 0;
		}
		appendBinaryStringInfo(out, quoted, length);
		column += length;
		text++;
	}
	if (column > 0)
		appendStringInfoString(out, "\r\n");
}

static void
append_part(StringInfo out, const char *subtype, const char *text)
{
	appendStringInfo(out,
					 "Content-Type: text/%s; charset=utf-8\r\n"
					 "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
					 subtype);
	append_quoted(out, text);
}

void
ff_mail_write(const FfMail *mail, StringInfo out)
{
	char *boundary = psprintf("=_%s", mail->id);

	append_header(out, mail);
	if (mail->html == NULL)
	{
		append_part(out, "plain", mail->text);
		return;
	}
	appendStringInfo(out,
					 "Content-Type: multipart/alternative;\r\n boundary=\"%s\"\r\n\r\n--%s\r\n",
					 boundary, boundary);
	append_part(out, "plain", mail->text);
	appendStringInfo(out, "--%s\r\n", boundary);
	append_part(out, "html", mail->html);
	appendStringInfo(out, "--%s--\r\n", boundary);
}
