/*
 * regex.c - matches(text, pattern): PostgreSQL's advanced regular expressions, with bounds.
 *
 * What makes matching take more than time proportional to text times pattern (back-references,
 * lookaround) is refused, as RE2 does, which CEL's matches() is. What is left is paid for in
 * advance: the length of the text times the size of the pattern with its {n,m} multiplied out.
 * Compiling is paid for too, since it takes time by the cube of how many parts may be left out.
 * The engine is called directly because it returns its errors instead of raising them.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "regex/regex.h"

#include "lang/parser.h"
#include "lang/regex.h"
#include "util/errors.h"

#define MAX_GROUPS 30 /* of groups in groups */
#define MAX_SIZE 1000 /* of a pattern, multiplied out */

#define MAX_HOLES 50 /* parts that may be left out, multiplied out */

#define BASE_BYTES 8192 /* of a compiled pattern, about */
#define BYTES_PER_SIZE 512

int64 ff_regex_bytes = 0;

struct FfRegex
{
	pg_regex_t			  regex;
	int					  size;	 /* of the pattern, multiplied out */
	int					  holes; /* parts that may be left out */
	bool				  live;	 /* to be freed: the engine may keep it outside of any context */
	int64				  bytes;
	MemoryContextCallback callback;
};

/* --- measuring --- */

/* Of a pattern or a part of one: what it is with its repetitions multiplied out. */
typedef struct Extent
{
	int64 size;
	int64 holes;
} Extent;

typedef struct Measure
{
	const char *start;
	const char *at;
	const char *end;
	Extent		open[MAX_GROUPS + 1]; /* the groups that are open, the whole pattern first */
	int			groups;
	Extent		last; /* the last atom */
	const char *refusal;
} Measure;

static void
skip_bracket(Measure *m)
{
	if (m->at < m->end && *m->at == '^')
		m->at++;
	if (m->at < m->end && *m->at == ']')
		m->at++;
	while (m->at < m->end && *m->at != ']')
	{
		char c = *m->at++;

		if (c == '\\' && m->at < m->end)
			m->at++;
		else if (c == '[' && m->at < m->end && strchr(":.=", *m->at) != NULL)
		{
			char kind = *m->at++;

			while (m->at + 1 < m->end && !(m->at[0] == kind && m->at[1] == ']'))
				m->at++;
			m->at = Min(m->at + 2, m->end);
		}
	}
	m->at = Min(m->at + 1, m->end);
}

static void
open_group(Measure *m)
{
	if (m->at + 1 < m->end && m->at[0] == '?')
	{
		if (m->at[1] != ':')
			m->refusal = "of groups that begin with (?, only (?: is allowed, and (?i) at the start";
		m->at += 2;
	}
	if (m->groups == MAX_GROUPS)
		m->refusal = "its groups are nested too deeply";
	else
		m->open[++m->groups] = (Extent){.size = 1};
}

static void
add_atom(Measure *m, Extent atom)
{
	Extent *group = &m->open[m->groups];

	m->last = atom;
	group->size = Min(group->size + atom.size, PG_INT32_MAX);
	group->holes = Min(group->holes + atom.holes, PG_INT32_MAX);
}

static void
close_group(Measure *m)
{
	if (m->groups > 0)
	{
		Extent group = m->open[m->groups--];

		add_atom(m, group);
	}
}

/* The last atom may be left out. */
static void
add_holes(Measure *m, int64 holes)
{
	m->last.holes += holes;
	m->open[m->groups].holes += holes;
}

/* {n}, {n,} and {n,m}: the last atom again and again. */
static void
multiply(Measure *m)
{
	bool   may_be_left_out;
	int64  times = 0;
	int64  most = 0;
	Extent atom = m->last;

	if (m->at == m->end || *m->at < '0' || *m->at > '9')
		return;
	may_be_left_out = *m->at == '0';
	for (; m->at < m->end && *m->at != '}'; m->at++)
	{
		if (*m->at == ',')
		{
			most = Max(most, times + 1);
			times = 0;
		}
		else if (*m->at >= '0' && *m->at <= '9')
			times = Min(times * 10 + (*m->at - '0'), 1000);
	}
	most = Max(Max(most, times), 1);
	m->open[m->groups].size -= atom.size;
	m->open[m->groups].holes -= atom.holes;
	atom.size = Min(atom.size * most, PG_INT32_MAX);
	atom.holes = Min(atom.holes * most, PG_INT32_MAX);
	add_atom(m, atom);
	if (may_be_left_out)
		add_holes(m, 1 + most / 16);
}

/* Whether there is nothing before or after the bar that was just read. */
static bool
lacks_branch(const Measure *m)
{
	const char *before = m->at - 2;

	return m->at == m->end || *m->at == ')' || *m->at == '|' || before < m->start || *before == '(';
}

/* Options at the start: (?i) and the like, none that changes how a pattern is read. */
static void
skip_options(Measure *m)
{
	const char *c = m->at;

	if (m->end - c < 4 || strncmp(c, "(?", 2) != 0)
		return;
	c += 2;
	while (c < m->end && strchr("imsnp", *c) != NULL)
		c++;
	if (c < m->end && *c == ')' && c > m->at + 2)
		m->at = c + 1;
}

/* Sets what a pattern is multiplied out; returns the reason why it is refused, or NULL. */
static const char *
measure(const char *pattern, int length, FfRegex *regex)
{
	Measure m = {.start = pattern, .at = pattern, .end = pattern + length};

	skip_options(&m);
	if (m.end - m.at >= 3 && strncmp(m.at, "***", 3) == 0)
		m.refusal = "*** is not allowed";
	while (m.at < m.end && m.refusal == NULL)
	{
		char c = *m.at++;

		if (c == '(')
			open_group(&m);
		else if (c == ')')
			close_group(&m);
		else if (c == '{')
			multiply(&m);
		else if (c == '*' || c == '?')
			add_holes(&m, 1);
		else if (c == '|')
			add_atom(&m, (Extent){.size = 1, .holes = lacks_branch(&m)});
		else if (c != '+' && c != '}' && (c & 0xC0) != 0x80)
			add_atom(&m, (Extent){.size = 1});
		if (c == '[')
			skip_bracket(&m);
		else if (c == '\\' && m.at < m.end)
			m.at++;
	}
	while (m.groups > 0)
		close_group(&m);
	regex->size = (int) Min(m.open[0].size, PG_INT32_MAX - 1) + 1;
	regex->holes = (int) Min(m.open[0].holes, PG_INT32_MAX);
	return m.refusal;
}

/* --- compiling --- */

static void
free_regex(void *argument)
{
	FfRegex *regex = argument;

	if (regex->live)
	{
		pg_regfree(&regex->regex);
		ff_regex_bytes -= regex->bytes;
	}
	regex->live = false;
}

static pg_wchar *
widen(const char *text, int length, int *count)
{
	pg_wchar *wide = palloc(sizeof(pg_wchar) * ((Size) length + 1));

	*count = pg_mb2wchar_with_len(text, wide, length);
	return wide;
}

/* In steps of evaluation. */
static int64
cost_of_compiling(const FfRegex *regex)
{
	return 50 + (int64) regex->size + (int64) regex->holes * regex->holes * 8;
}

/* A pattern's extent; why it cannot be compiled, or NULL. `code` gets the error's SQLSTATE. */
static const char *
prepare(const FfValue *pattern, MemoryContext context, FfRegex **out, int *code)
{
	FfRegex	   *regex = MemoryContextAllocZero(context, sizeof(FfRegex));
	const char *refusal = measure(pattern->u.text, pattern->length, regex);

	*out = regex;
	*code = FF_ERR_EXPRESSION_SYNTAX;
	if (refusal != NULL)
		return refusal;
	*code = FF_ERR_EXPRESSION_LIMIT;
	if (regex->size > MAX_SIZE)
		return "it is too large with its repetitions multiplied out";
	if (regex->holes > MAX_HOLES)
		return "too many of its parts may be left out";
	return NULL;
}

static const char *
compile(FfRegex *regex, const FfValue *pattern, MemoryContext context, int *code)
{
	static char message[200];
	pg_wchar   *wide;
	int			count;
	int			result;

	*code = FF_ERR_EXPRESSION_SYNTAX;
	regex->callback.func = free_regex;
	regex->callback.arg = regex;
	MemoryContextRegisterResetCallback(context, &regex->callback);
	wide = widen(pattern->u.text, pattern->length, &count);
	result =
		pg_regcomp(&regex->regex, wide, count, REG_ADVANCED | REG_NOSUB, DEFAULT_COLLATION_OID);
	pfree(wide);
	regex->live = result == REG_OKAY;
	if (regex->live)
	{
		regex->bytes = BASE_BYTES + (int64) regex->size * BYTES_PER_SIZE;
		ff_regex_bytes += regex->bytes;
	}
	CHECK_FOR_INTERRUPTS();
	if (result != REG_OKAY)
	{
		pg_regerror(result, &regex->regex, message, sizeof(message));
		return message;
	}
	if ((regex->regex.re_info & (REG_UBACKREF | REG_ULOOKAROUND)) != 0)
		return "back-references and lookaround are not allowed";
	return NULL;
}

FfRegex *
ff_regex_compile(FfSource *source, int position, const FfValue *pattern)
{
	FfRegex	   *regex;
	int			code;
	const char *refusal = prepare(pattern, source->context, &regex, &code);

	if (refusal == NULL)
	{
		source->regex_steps -= cost_of_compiling(regex);
		refusal = source->regex_steps < 0 ? "with the others it is too large"
										  : compile(regex, pattern, source->context, &code);
	}
	if (refusal != NULL)
		ereport(ERROR, (errcode(code), errmsg("the regular expression cannot be read: %s", refusal),
						errdetail("%s", ff_lang_place(source->text, position))));
	return regex;
}

FfRegex *
ff_regex_make(const char *pattern, int length, MemoryContext context, int64 *steps,
			  const char **refusal)
{
	FfValue	 text = {.kind = FF_TEXT, .length = length, .u.text = pattern};
	FfRegex *regex;
	int		 code;

	*refusal = prepare(&text, context, &regex, &code);
	if (*refusal != NULL)
		return NULL;
	*steps -= cost_of_compiling(regex);
	*refusal =
		*steps < 0 ? "with the others it is too large" : compile(regex, &text, context, &code);
	return *refusal == NULL ? regex : NULL;
}

/* --- matching --- */

/* In units of evaluation. */
static int64
cost_of_searching(const FfRegex *regex, int length)
{
	return FF_STEP + (int64) length * (4 + regex->size / 4);
}

static int
run_regex(FfRegex *regex, const char *text, int length)
{
	int		  count;
	pg_wchar *wide = widen(text, length, &count);
	int		  result = pg_regexec(&regex->regex, wide, count, 0, NULL, 0, NULL, 0);

	pfree(wide);
	return result;
}

bool
ff_regex_found(FfRegex *regex, const char *text, int length, int64 *steps)
{
	int result;

	*steps -= cost_of_searching(regex, length) / FF_STEP;
	if (*steps < 0)
		return false;
	CHECK_FOR_INTERRUPTS();
	result = run_regex(regex, text, length);
	if (result != REG_OKAY && result != REG_NOMATCH)
		*steps = -1;
	return result == REG_OKAY;
}

static bool
search(FfEvaluation *e, const FfNode *node, FfRegex *regex, const FfValue *text, FfValue *out)
{
	int result;

	if (!ff_lang_pay(e, node->position, cost_of_searching(regex, text->length)))
		return false;
	ff_lang_use_scratch(e);
	result = run_regex(regex, text->u.text, text->length);
	ff_set_bool(out, result == REG_OKAY);
	return result == REG_OKAY || result == REG_NOMATCH ||
		   ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_LIMIT,
						"the regular expression takes too much");
}

bool
ff_fn_matches(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	FfRegex	   *regex = node->regex;
	const char *refusal;
	int			code;
	bool		done;

	if (args[0].kind != FF_TEXT || args[1].kind != FF_TEXT)
		return ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE,
							"matches takes texts, not %s and %s", ff_value_kind(&args[0]),
							ff_value_kind(&args[1]));
	if (regex != NULL)
		return search(e, node, regex, &args[0], out);
	if (!ff_lang_pay(e, node->position, (int64) args[1].length * 4))
		return false;
	ff_lang_use_scratch(e);
	refusal = prepare(&args[1], e->scratch, &regex, &code);
	if (refusal == NULL)
	{
		if (!ff_lang_pay(e, node->position, cost_of_compiling(regex) * FF_STEP))
			return false;
		refusal = compile(regex, &args[1], e->scratch, &code);
	}
	if (refusal != NULL)
		return ff_lang_fail(e, node->position, code, "the regular expression cannot be read: %s",
							refusal);
	done = search(e, node, regex, &args[0], out);
	free_regex(regex);
	return done;
}
