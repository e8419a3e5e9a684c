/*
 * form.c - forms as events and objects (see form.h): application/x-www-form-urlencoded and
 * multipart/form-data (RFC 7578), read strictly.
 */
#include "postgres.h"

#include <ctype.h>

#include "common/base64.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "api/form.h"
#include "api/url.h"
#include "util/errors.h"
#include "util/json.h"

#define URLENCODED "application/x-www-form-urlencoded"
#define MULTIPART "multipart/form-data"
#define MAX_FIELDS 1000
#define MAX_BOUNDARY 70

/* A field of a form. */
typedef struct Field
{
	char	   *name;
	char	   *text;	  /* NULL for a file */
	char	   *filename; /* NULL unless a file */
	char	   *type;
	const char *bytes;
	int			length;
} Field;

typedef struct Form
{
	Field *fields;
	int	   count;
	int	   capacity;
} Form;

static pg_attribute_noreturn() void refuse(const char *problem)
{
	ereport(ERROR, (errcode(FF_ERR_BAD_JSON), errmsg("the form cannot be read: %s", problem),
					errhint("Send multipart/form-data as RFC 7578 has it, or JSON.")));
}

static bool
is_type(const char *type, const char *wanted)
{
	size_t length = strlen(wanted);

	return type != NULL && pg_strncasecmp(type, wanted, length) == 0 &&
		   (type[length] == '\0' || type[length] == ';' || type[length] == ' ');
}

bool
ff_form_is(const char *type, const char *body, int length)
{
	int at = 0;

	if (is_type(type, MULTIPART))
		return true;
	if (!is_type(type, URLENCODED))
		return false;
	while (at < length && isspace((unsigned char) body[at]))
		at++;
	return at < length && body[at] != '{' && body[at] != '[';
}

static Field *
add_field(Form *form)
{
	Field *field;

	if (form->count == MAX_FIELDS)
		refuse(psprintf("it has more than %d fields", MAX_FIELDS));
	if (form->count == form->capacity)
	{
		form->capacity = form->capacity * 2 + 8;
		form->fields = form->fields == NULL
						   ? palloc(sizeof(Field) * form->capacity)
						   : repalloc(form->fields, sizeof(Field) * form->capacity);
	}
	field = &form->fields[form->count++];
	memset(field, 0, sizeof(*field));
	return field;
}

static bool
is_text(const char *bytes, int length)
{
	return memchr(bytes, '\0', length) == NULL && pg_verify_mbstr(PG_UTF8, bytes, length, true);
}

/* --- multipart --- */

/* Reads a parameter's value at *at, quoted (\" stands for a quote) or not, and moves behind it. */
static char *
read_value(const char **at)
{
	StringInfoData value;
	const char	  *next = *at;

	initStringInfo(&value);
	if (*next != '"')
	{
		appendBinaryStringInfo(&value, next, (int) strcspn(next, "; \t"));
		next += value.len;
	}
	else
	{
		for (next++; *next != '\0' && *next != '"'; next++)
		{
			next += next[0] == '\\' && next[1] == '"';
			appendStringInfoChar(&value, *next);
		}
	}
	*at = next + strcspn(next, ";");
	return value.data;
}

/* A parameter of a header's value, "x" of multipart/form-data; boundary=x, or NULL. */
static char *
parameter(const char *header, const char *name)
{
	const char *at = header + strcspn(header, ";");

	while (*at == ';')
	{
		size_t length;
		bool   wanted;
		char  *value;

		at += 1 + strspn(at + 1, " \t");
		length = strcspn(at, "=; \t");
		if (at[length] != '=')
		{
			at += strcspn(at, ";");
			continue;
		}
		wanted = length == strlen(name) && pg_strncasecmp(at, name, length) == 0;
		at += length + 1;
		value = read_value(&at);
		if (wanted)
			return value;
	}
	return NULL;
}

/* A copy of the value of a header of a part, "" when it has none. */
static char *
part_header(const char *head, int length, const char *name)
{
	const char *end = head + length;
	size_t		name_length = strlen(name);

	for (const char *line = head; line < end;)
	{
		const char *stop = memmem(line, end - line, "\r\n", 2);
		size_t		size = (stop != NULL ? stop : end) - line;

		if (size > name_length && line[name_length] == ':' &&
			pg_strncasecmp(line, name, name_length) == 0)
		{
			const char *value = line + name_length + 1;

			while (value < line + size && (*value == ' ' || *value == '\t'))
				value++;
			return pnstrdup(value, line + size - value);
		}
		line += size + 2;
	}
	return pstrdup("");
}

static void
read_part(Form *form, const char *part, int length)
{
	Field	   *field = add_field(form);
	const char *blank = memmem(part, length, "\r\n\r\n", 4);
	char	   *disposition;

	if (blank == NULL)
		refuse("a part has no empty line after its head");
	if (!is_text(part, (int) (blank - part)))
		refuse("the head of a part is not UTF-8 text");
	disposition = part_header(part, (int) (blank - part), "content-disposition");
	field->name = parameter(disposition, "name");
	field->filename = parameter(disposition, "filename");
	field->type = part_header(part, (int) (blank - part), "content-type");
	field->bytes = blank + 4;
	field->length = (int) (part + length - field->bytes);
	if (pg_strncasecmp(disposition, "form-data", 9) != 0 || field->name == NULL)
		refuse("a part has no content-disposition: form-data with a name");
	if (field->filename != NULL)
		return;
	if (!is_text(field->bytes, field->length))
		refuse(psprintf("the field \"%s\" is not UTF-8 text", field->name));
	field->text = pnstrdup(field->bytes, field->length);
}

/* The delimiter "CRLF--boundary" from `at` on, or NULL. */
static const char *
find_delimiter(const char *at, const char *end, const char *delimiter)
{
	return memmem(at, end - at, delimiter, strlen(delimiter));
}

static void
read_multipart(Form *form, const char *type, const char *body, int length)
{
	const char *end = body + length;
	char	   *boundary = parameter(type, "boundary");
	char	   *delimiter;
	const char *at = body;

	if (boundary == NULL || boundary[0] == '\0' || strlen(boundary) > MAX_BOUNDARY)
		refuse("content-type has no boundary of 1 to 70 characters");
	delimiter = psprintf("\r\n--%s", boundary);
	/* The first one may stand at the very beginning, without the line before it. */
	if (length < (int) strlen(delimiter) - 2 ||
		memcmp(body, delimiter + 2, strlen(delimiter) - 2) != 0)
	{
		at = find_delimiter(body, end, delimiter);
		at = at != NULL ? at + 2 : NULL;
	}
	while (at != NULL)
	{
		const char *next;

		CHECK_FOR_INTERRUPTS();
		at += strlen(delimiter) - 2;
		if (end - at >= 2 && memcmp(at, "--", 2) == 0)
			return;
		while (at < end && (*at == ' ' || *at == '\t'))
			at++;
		if (end - at < 2 || memcmp(at, "\r\n", 2) != 0)
			break;
		next = find_delimiter(at, end, delimiter);
		if (next == NULL)
			break;
		read_part(form, at + 2, (int) Max(next - at - 2, 0));
		at = next + 2;
	}
	refuse("its last part does not end with its boundary");
}

static void
read_urlencoded(Form *form, const char *body, int length)
{
	FfPairs pairs;

	ff_url_form(body, length, MAX_FIELDS, &pairs);
	for (int i = 0; i < pairs.count; i++)
	{
		Field *field = add_field(form);

		field->name = pairs.names[i];
		field->text = pairs.values[i];
	}
}

/* --- as an event --- */

static void
put_file(FfJsonBuilder *builder, const Field *field)
{
	ff_jb_object(builder);
	ff_jb_key(builder, "filename");
	ff_jb_text(builder, field->filename);
	ff_jb_key(builder, "type");
	ff_jb_text(builder, field->type);
	ff_jb_key(builder, "size");
	ff_jb_int(builder, field->length);
	if (is_text(field->bytes, field->length))
	{
		ff_jb_key(builder, "text");
		ff_jb_text(builder, pnstrdup(field->bytes, field->length));
	}
	else
	{
		int	  size = pg_b64_enc_len(field->length);
		char *base64 = palloc(size + 1);

		size = pg_b64_encode(field->bytes, field->length, base64, size);
		base64[Max(size, 0)] = '\0';
		ff_jb_key(builder, "base64");
		ff_jb_text(builder, base64);
	}
	ff_jb_end(builder);
}

static void
put_value(FfJsonBuilder *builder, const Field *field)
{
	if (field->text != NULL)
		ff_jb_text(builder, field->text);
	else
		put_file(builder, field);
}

static int
count_of(const Form *form, const char *name, int from)
{
	int count = 0;

	for (int i = from; i < form->count; i++)
		count += strcmp(form->fields[i].name, name) == 0;
	return count;
}

/* A field under its name, as a list when there are more of that name; nothing when an earlier one
 * has taken this along. */
static void
put_field(FfJsonBuilder *builder, const Form *form, int which)
{
	const char *name = form->fields[which].name;
	int			total = count_of(form, name, 0);

	if (count_of(form, name, which) < total)
		return;
	ff_jb_key(builder, name);
	if (total == 1)
	{
		put_value(builder, &form->fields[which]);
		return;
	}
	ff_jb_array(builder);
	for (int i = which; i < form->count; i++)
	{
		if (strcmp(form->fields[i].name, name) == 0)
			put_value(builder, &form->fields[i]);
	}
	ff_jb_end(builder);
}

/* Whether a field is the event's own, not one of its data. */
static bool
is_own(const char *name)
{
	static const char *const own[] = {"name", "id", "ts", "v", "data"};

	for (int i = 0; i < (int) lengthof(own); i++)
	{
		if (strcmp(own[i], name) == 0)
			return true;
	}
	return false;
}

static Jsonb *
read_json(const char *name, const char *text)
{
	FfJsonError error;
	Jsonb	   *json = ff_json_parse(text, strlen(text), ff_json_depth_limit, &error);

	if (json == NULL)
		refuse(psprintf("the field \"%s\" is not JSON: %s", name, error.message));
	return json;
}

/* A time in digits is a number; anything else is for the event's own check to refuse. */
static bool
is_number(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits > 0 && digits < 18 && text[digits] == '\0';
}

static void
put_own(FfJsonBuilder *builder, const Form *form)
{
	for (int i = 0; i < form->count; i++)
	{
		const Field *field = &form->fields[i];

		if (!is_own(field->name) || strcmp(field->name, "data") == 0)
			continue;
		if (field->text == NULL || count_of(form, field->name, 0) > 1)
			refuse(psprintf("the field \"%s\" must be one text", field->name));
		ff_jb_key(builder, field->name);
		if (strcmp(field->name, "ts") == 0 && is_number(field->text))
			ff_jb_int(builder, strtoll(field->text, NULL, 10));
		else
			ff_jb_text(builder, field->text);
	}
}

/* The members of an object, before fields that may replace them. */
static void
put_members(FfJsonBuilder *builder, const Form *form)
{
	JsonbIterator	  *iterator;
	JsonbIteratorToken token;
	JsonbValue		   value;
	Jsonb			  *data = NULL;

	for (int i = 0; i < form->count; i++)
	{
		if (strcmp(form->fields[i].name, "data") == 0 && form->fields[i].text != NULL)
			data = read_json("data", form->fields[i].text);
	}
	if (data == NULL)
		return;
	if (!ff_json_is_object(data))
		refuse("the field \"data\" is not a JSON object");
	iterator = JsonbIteratorInit(&data->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		char *key;

		if (token != WJB_KEY)
			continue;
		key = pnstrdup(value.val.string.val, value.val.string.len);
		ff_jb_key(builder, key);
		ff_jb_json(builder, ff_json_member(data, key));
	}
}

/* Each look at a field goes over all others: a form has a thousand at most. */
static Jsonb *
make_event(const Form *form, const char *name)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	if (name != NULL)
	{
		ff_jb_key(&builder, "name");
		ff_jb_text(&builder, name);
	}
	else
		put_own(&builder, form);
	ff_jb_key(&builder, "data");
	ff_jb_object(&builder);
	if (name == NULL)
		put_members(&builder, form);
	for (int i = 0; i < form->count; i++)
	{
		if (name != NULL || !is_own(form->fields[i].name))
			put_field(&builder, form, i);
	}
	ff_jb_end(&builder);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static void
read_form(Form *form, const char *type, const char *body, int length)
{
	if (is_type(type, MULTIPART))
		read_multipart(form, type, body, length);
	else
		read_urlencoded(form, body, length);
}

Jsonb *
ff_form_fields(const char *type, const char *body, int length)
{
	Form		  form = {0};
	FfJsonBuilder builder = {0};

	read_form(&form, type, body, length);
	ff_jb_object(&builder);
	for (int i = 0; i < form.count; i++)
		put_field(&builder, &form, i);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

Jsonb *
ff_form_event(const char *type, const char *query, const char *body, int length)
{
	Form		form = {0};
	FfPairs		pairs;
	const char *name = NULL;

	ff_url_query(query, &pairs);
	for (int i = 0; i < pairs.count; i++)
	{
		if (strcmp(pairs.names[i], "name") == 0)
			name = pairs.values[i];
	}
	read_form(&form, type, body, length);
	return make_event(&form, name);
}
