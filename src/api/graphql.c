/*
 * graphql.c - reading GraphQL queries.
 *
 * Tools of SDKs ask a development server in GraphQL. A query becomes a list of fields, [{name, as,
 * args, fields}], in which variables, fragments and directives are resolved; graphql.sql answers
 * it. A document is read twice: once to learn where its fragments and operations begin, once to
 * follow them. Depth and number of fields are bounded, so that fragments cannot multiply.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "util/errors.h"
#include "util/json.h"

#define MAX_DEPTH 32
#define MAX_FIELDS 2000

typedef enum TokenKind
{
	TOKEN_END,
	TOKEN_NAME,
	TOKEN_NUMBER,
	TOKEN_STRING,
	TOKEN_SIGN /* one character, or "..." */
} TokenKind;

typedef struct Token
{
	TokenKind	kind;
	const char *start;
	int			length;
} Token;

/* Where a fragment's fields, or an operation's variables, begin. */
typedef struct Place
{
	char *name;
	Token token;
	bool  fragment;
} Place;

typedef struct Reader
{
	const char *source;
	Token		token; /* the one to be looked at */
	Jsonb	   *variables;
	Jsonb	   *defaults; /* of the operation's variables */
	List	   *places;
	int			depth;
	int			fields;
} Reader;

static void	  read_fields(Reader *r, FfJsonBuilder *out);
static Jsonb *read_value(Reader *r);

static pg_attribute_noreturn() void refuse(const Reader *r, const char *problem)
{
	ereport(ERROR,
			(errcode(FF_ERR_GRAPHQL), errmsg("the GraphQL query cannot be read: %s", problem),
			 errdetail("At byte %d.", (int) (r->token.start - r->source) + 1)));
}

/* --- tokens --- */

static bool
is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static const char *
skip_blanks(const char *at)
{
	for (;; at++)
	{
		if (*at == '#')
			at += strcspn(at, "\n\r");
		if (*at == '\0' || strchr(" \t\r\n,", *at) == NULL)
			return at;
	}
}

static int
string_length(Reader *r, const char *start)
{
	const char *at = start + 1;

	if (strncmp(start, "\"\"\"", 3) == 0)
	{
		const char *end = strstr(start + 3, "\"\"\"");

		if (end == NULL)
			refuse(r, "a text does not end");
		return (int) (end - start) + 3;
	}
	for (; *at != '"'; at++)
	{
		if (*at == '\\' && at[1] != '\0')
			at++;
		else if (*at == '\0' || *at == '\n')
			refuse(r, "a text does not end");
	}
	return (int) (at - start) + 1;
}

static void
advance(Reader *r)
{
	const char *at = skip_blanks(r->token.start + r->token.length);

	r->token.start = at;
	r->token.length = 1;
	if (*at == '\0')
	{
		r->token.kind = TOKEN_END;
		r->token.length = 0;
	}
	else if (*at == '"')
	{
		r->token.kind = TOKEN_STRING;
		r->token.length = string_length(r, at);
	}
	else if (*at == '-' || (*at >= '0' && *at <= '9'))
	{
		r->token.kind = TOKEN_NUMBER;
		r->token.length = (int) strspn(at, "-+.0123456789eE");
	}
	else if (is_name_byte(*at))
	{
		r->token.kind = TOKEN_NAME;
		while (is_name_byte(at[r->token.length]))
			r->token.length++;
	}
	else
	{
		r->token.kind = TOKEN_SIGN;
		if (strncmp(at, "...", 3) == 0)
			r->token.length = 3;
	}
}

static bool
is_sign(const Reader *r, char sign)
{
	return r->token.kind == TOKEN_SIGN && *r->token.start == sign;
}

static bool
take_sign(Reader *r, char sign)
{
	if (!is_sign(r, sign))
		return false;
	advance(r);
	return true;
}

static void
expect_sign(Reader *r, char sign)
{
	char what[] = "\"?\" is missing";

	what[1] = sign;
	if (!take_sign(r, sign))
		refuse(r, what);
}

static bool
is_word(const Reader *r, const char *word)
{
	return r->token.kind == TOKEN_NAME && r->token.length == (int) strlen(word) &&
		   strncmp(r->token.start, word, r->token.length) == 0;
}

static char *
take_name(Reader *r)
{
	char *name;

	if (r->token.kind != TOKEN_NAME)
		refuse(r, "a name is missing");
	name = pnstrdup(r->token.start, r->token.length);
	advance(r);
	return name;
}

/* Every level that is entered is left again; those of fragments count. */
static void
enter(Reader *r)
{
	CHECK_FOR_INTERRUPTS();
	if (++r->depth > MAX_DEPTH)
		refuse(r, "it is nested too deeply");
}

/* --- values --- */

static Jsonb *
read_literal(Reader *r)
{
	FfJsonError error;
	Jsonb	   *value;

	if (r->token.kind == TOKEN_STRING && strncmp(r->token.start, "\"\"\"", 3) == 0)
		value = ff_json_from_text(pnstrdup(r->token.start + 3, r->token.length - 6));
	else
		value = ff_json_parse(r->token.start, r->token.length, 1, &error);
	if (value == NULL)
		refuse(r, "a value cannot be read");
	advance(r);
	return value;
}

static Jsonb *
read_variable(Reader *r)
{
	char  *name = take_name(r);
	Jsonb *value = r->variables != NULL ? ff_json_member(r->variables, name) : NULL;

	if (value == NULL && r->defaults != NULL)
		value = ff_json_member(r->defaults, name);
	return value != NULL ? value : ff_json_null();
}

static Jsonb *
read_list(Reader *r)
{
	FfJsonBuilder list = {0};

	ff_jb_array(&list);
	while (!take_sign(r, ']'))
		ff_jb_json(&list, read_value(r));
	ff_jb_end(&list);
	return ff_jb_finish(&list);
}

/* Pairs of a name and a value up to a sign: an object, or arguments. */
static Jsonb *
read_pairs(Reader *r, char end)
{
	FfJsonBuilder object = {0};

	ff_jb_object(&object);
	while (!take_sign(r, end))
	{
		ff_jb_key(&object, take_name(r));
		expect_sign(r, ':');
		ff_jb_json(&object, read_value(r));
	}
	ff_jb_end(&object);
	return ff_jb_finish(&object);
}

/* true, false and null are what they are; another word is a value of an enumeration, as text. */
static Jsonb *
read_word(Reader *r)
{
	if (is_word(r, "true") || is_word(r, "false") || is_word(r, "null"))
		return read_literal(r);
	return ff_json_from_text(take_name(r));
}

static Jsonb *
read_value(Reader *r)
{
	Jsonb *value;

	enter(r);
	if (take_sign(r, '$'))
		value = read_variable(r);
	else if (take_sign(r, '['))
		value = read_list(r);
	else if (take_sign(r, '{'))
		value = read_pairs(r, '}');
	else if (r->token.kind == TOKEN_NAME)
		value = read_word(r);
	else if (r->token.kind == TOKEN_STRING || r->token.kind == TOKEN_NUMBER)
		value = read_literal(r);
	else
		refuse(r, "a value is missing");
	r->depth--;
	return value;
}

/* --- fields --- */

static bool
is_true(Jsonb *args)
{
	return ff_json_bool(args, "if");
}

/* Whether @include and @skip let a field stand; other directives change nothing. */
static bool
read_directives(Reader *r)
{
	bool stands = true;

	while (take_sign(r, '@'))
	{
		char  *name = take_name(r);
		Jsonb *args = take_sign(r, '(') ? read_pairs(r, ')') : NULL;

		if (strcmp(name, "include") == 0)
			stands &= is_true(args);
		else if (strcmp(name, "skip") == 0)
			stands &= !is_true(args);
	}
	return stands;
}

static void
write_field(FfJsonBuilder *out, const char *name, const char *as, Jsonb *args, Jsonb *fields)
{
	ff_jb_object(out);
	ff_jb_key(out, "name");
	ff_jb_text(out, name);
	ff_jb_key(out, "as");
	ff_jb_text(out, as);
	ff_jb_key(out, "args");
	ff_jb_json(out, args);
	if (fields != NULL)
	{
		ff_jb_key(out, "fields");
		ff_jb_json(out, fields);
	}
	ff_jb_end(out);
}

static void
read_field(Reader *r, FfJsonBuilder *out)
{
	char		 *as = take_name(r);
	char		 *name = take_sign(r, ':') ? take_name(r) : as;
	Jsonb		 *args = take_sign(r, '(') ? read_pairs(r, ')') : NULL;
	bool		  stands = read_directives(r) && out != NULL;
	FfJsonBuilder fields = {0};
	bool		  has_fields = is_sign(r, '{');

	if (++r->fields > MAX_FIELDS)
		refuse(r, "it has too many fields");
	if (has_fields)
	{
		ff_jb_array(&fields);
		read_fields(r, stands ? &fields : NULL);
		ff_jb_end(&fields);
	}
	if (stands)
		write_field(out, name, as, args, has_fields ? ff_jb_finish(&fields) : NULL);
}

static const Place *
find_place(const Reader *r, const char *name, bool fragment)
{
	ListCell *cell;

	foreach (cell, r->places)
	{
		const Place *place = lfirst(cell);

		if (place->fragment == fragment && (name == NULL || strcmp(place->name, name) == 0))
			return place;
	}
	return NULL;
}

static void
follow_fragment(Reader *r, const char *name, FfJsonBuilder *out)
{
	const Place *place = find_place(r, name, true);
	Token		 after = r->token;

	if (place == NULL)
		refuse(r, psprintf("there is no fragment \"%s\"", name));
	r->token = place->token;
	read_fields(r, out);
	r->token = after;
}

/* What follows "...": the name of a fragment, or fields that stand for themselves. Fragments are
 * followed when there is something to write to. */
static void
read_spread(Reader *r, FfJsonBuilder *out)
{
	char *name = NULL;
	bool  stands;

	if (is_word(r, "on"))
	{
		advance(r);
		(void) take_name(r);
	}
	else if (r->token.kind == TOKEN_NAME)
		name = take_name(r);
	stands = read_directives(r);
	if (name == NULL)
		read_fields(r, stands ? out : NULL);
	else if (out != NULL && stands)
		follow_fragment(r, name, out);
}

static void
read_fields(Reader *r, FfJsonBuilder *out)
{
	enter(r);
	expect_sign(r, '{');
	while (!take_sign(r, '}'))
	{
		if (is_sign(r, '.') && r->token.length == 3)
		{
			advance(r);
			read_spread(r, out);
		}
		else
			read_field(r, out);
	}
	r->depth--;
}

/* --- documents --- */

static void
skip_type(Reader *r)
{
	enter(r);
	if (take_sign(r, '['))
	{
		skip_type(r);
		expect_sign(r, ']');
	}
	else
		(void) take_name(r);
	(void) take_sign(r, '!');
	r->depth--;
}

/* The variables an operation declares; gives those with a default. */
static Jsonb *
read_declarations(Reader *r)
{
	FfJsonBuilder defaults = {0};

	ff_jb_object(&defaults);
	if (take_sign(r, '('))
	{
		while (!take_sign(r, ')'))
		{
			char *name;

			expect_sign(r, '$');
			name = take_name(r);
			expect_sign(r, ':');
			skip_type(r);
			if (take_sign(r, '='))
			{
				ff_jb_key(&defaults, name);
				ff_jb_json(&defaults, read_value(r));
			}
			(void) read_directives(r);
		}
	}
	ff_jb_end(&defaults);
	return ff_jb_finish(&defaults);
}

static void
note_place(Reader *r, char *name, bool fragment)
{
	Place *place = palloc(sizeof(Place));

	place->name = name;
	place->token = r->token;
	place->fragment = fragment;
	r->places = lappend(r->places, place);
}

static void
survey_definition(Reader *r)
{
	if (is_word(r, "fragment"))
	{
		char *name;

		advance(r);
		name = take_name(r);
		if (!is_word(r, "on"))
			refuse(r, "a fragment does not say of what it is");
		advance(r);
		(void) take_name(r);
		(void) read_directives(r);
		note_place(r, name, true);
	}
	else
	{
		char *name = "";

		if (is_word(r, "mutation") || is_word(r, "subscription"))
			refuse(r, "only queries are answered");
		if (is_word(r, "query"))
		{
			advance(r);
			name = r->token.kind == TOKEN_NAME ? take_name(r) : name;
		}
		note_place(r, name, false);
		(void) read_declarations(r);
		(void) read_directives(r);
	}
	read_fields(r, NULL);
}

static Jsonb *
read_operation(Reader *r, const char *name)
{
	const Place	 *place = find_place(r, name, false);
	FfJsonBuilder fields = {0};

	if (place == NULL)
		refuse(r,
			   name != NULL ? psprintf("there is no operation \"%s\"", name) : "it asks nothing");
	r->token = place->token;
	r->fields = 0;
	r->defaults = read_declarations(r);
	(void) read_directives(r);
	ff_jb_array(&fields);
	read_fields(r, &fields);
	ff_jb_end(&fields);
	return ff_jb_finish(&fields);
}

/* flowforge.graphql_fields(query, variables, operation) */
PG_FUNCTION_INFO_V1(ff_api_graphql_fields);
Datum
ff_api_graphql_fields(PG_FUNCTION_ARGS)
{
	Reader		reader = {0};
	const char *operation = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));

	reader.source = PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0));
	reader.token.start = reader.source;
	reader.variables = PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1);
	advance(&reader);
	while (reader.token.kind != TOKEN_END)
		survey_definition(&reader);
	PG_RETURN_JSONB_P(read_operation(&reader, operation));
}
