/*
 * render.c - templates and data to values and text.
 *
 * What comes from the data is written out and never read as a template. One evaluation, with its
 * one budget, renders a whole config; CurrentMemoryContext is its scratch context throughout.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "lang/template.h"
#include "lang/walk.h"
#include "util/errors.h"
#include "util/json.h"

#define REFERENCE_DISCOUNT 8

static bool render_parts(FfEvaluation *e, const FfPart *parts, StringInfo out);

/* --- parts --- */

static bool
render_text(FfEvaluation *e, const FfPart *part, StringInfo out)
{
	FfValue text = {.kind = FF_TEXT, .u.text = part->text, .length = part->length};

	return ff_value_write_plain(e, part->position, out, &text);
}

static bool
render_value(FfEvaluation *e, const FfPart *part, StringInfo out)
{
	FfValue value = {0};

	return ff_lang_evaluate(e, part->node, &value) &&
		   ff_value_write_plain(e, part->position, out, &value);
}

static bool
render_if(FfEvaluation *e, const FfPart *part, StringInfo out)
{
	for (const FfBranch *branch = part->branches; branch != NULL; branch = branch->next)
	{
		FfValue test = {0};

		if (branch->node != NULL && !ff_lang_evaluate(e, branch->node, &test))
			return false;
		if (branch->node == NULL || ff_value_truthy(&test))
			return render_parts(e, branch->body, out);
	}
	return true;
}

/* The value stays known to what follows, to the end of the loop it stands in. */
static bool
render_set(FfEvaluation *e, const FfPart *part)
{
	FfLocal *local = palloc0(sizeof(FfLocal));

	local->name = part->name;
	local->outer = e->locals;
	if (!ff_lang_evaluate(e, part->node, &local->value))
		return false;
	e->locals = local;
	return true;
}

/* --- loops --- */

/* What `loop` is in the i-th turn, in memory that the next turn takes again. */
static void
set_loop(FfValue *out, MemoryContext memory, int i, int count)
{
	MemoryContext caller;
	FfJsonBuilder json = {0};

	MemoryContextReset(memory);
	caller = MemoryContextSwitchTo(memory);
	ff_jb_object(&json);
	ff_jb_key(&json, "index");
	ff_jb_int(&json, i + 1);
	ff_jb_key(&json, "index0");
	ff_jb_int(&json, i);
	ff_jb_key(&json, "first");
	ff_jb_bool(&json, i == 0);
	ff_jb_key(&json, "last");
	ff_jb_bool(&json, i + 1 == count);
	ff_jb_key(&json, "length");
	ff_jb_int(&json, count);
	ff_jb_end(&json);
	ff_value_of_document(ff_jb_finish(&json), out);
	MemoryContextSwitchTo(caller);
}

static bool
fail_list(FfEvaluation *e, const FfPart *part, const FfValue *list)
{
	ff_lang_fail(e, part->node->position, FF_ERR_EXPRESSION_TYPE, "for walks a list, not %s",
				 ff_value_kind(list));
	if (list->kind == FF_OBJECT)
		snprintf(e->hint, sizeof(e->hint), "Of an object, walk `| keys` or `| values`.");
	return false;
}

static bool
render_turns(FfEvaluation *e, const FfPart *part, const FfValue *list, MemoryContext memory,
			 StringInfo out)
{
	FfLocal *outer = e->locals;
	FfLocal	 loop = {.name = "loop", .outer = outer};
	FfLocal	 item = {.name = part->name, .outer = part->counts ? &loop : outer};
	int		 count = ff_value_count(list);
	bool	 done = true;

	for (int i = 0; i < count && done; i++)
	{
		ff_value_item(list, i, &item.value);
		if (part->counts)
			set_loop(&loop.value, memory, i, count);
		e->locals = &item;
		done = ff_lang_pay(e, part->position, part->counts ? 4 * FF_STEP : FF_STEP) &&
			   render_parts(e, part->body, out);
	}
	e->locals = outer;
	return done;
}

static bool
render_for(FfEvaluation *e, const FfPart *part, StringInfo out)
{
	FfValue		  list = {0};
	MemoryContext memory = NULL;
	bool		  done;

	if (!ff_lang_evaluate(e, part->node, &list))
		return false;
	if (list.kind != FF_LIST)
		return fail_list(e, part, &list);
	if (part->counts)
		memory = AllocSetContextCreate(e->scratch, "FlowForge loop", ALLOCSET_SMALL_SIZES);
	done = render_turns(e, part, &list, memory, out);
	if (memory != NULL)
		MemoryContextDelete(memory);
	return done;
}

/* --- the whole --- */

static bool
render_part(FfEvaluation *e, const FfPart *part, StringInfo out)
{
	switch (part->kind)
	{
		case FF_PART_TEXT:
			return render_text(e, part, out);
		case FF_PART_VALUE:
			return render_value(e, part, out);
		case FF_PART_IF:
			return render_if(e, part, out);
		case FF_PART_FOR:
			return render_for(e, part, out);
		case FF_PART_SET:
			return render_set(e, part);
	}
	return false;
}

static bool
render_parts(FfEvaluation *e, const FfPart *parts, StringInfo out)
{
	for (; parts != NULL; parts = parts->next)
	{
		if (stack_is_too_deep())
			return ff_lang_fail(e, parts->position, FF_ERR_EXPRESSION_LIMIT,
								"the template is nested too deeply");
		if (!ff_lang_pay(e, parts->position, FF_STEP) || !render_part(e, parts, out))
			return false;
	}
	return true;
}

/* A reference makes nothing, it hands on: a step's output may be larger than what one may make. */
static int64
cost_of_whole(const FfNode *node, const FfValue *value)
{
	bool made = node->kind != FF_NODE_NAME && node->kind != FF_NODE_MEMBER &&
				node->kind != FF_NODE_PART && node->kind != FF_NODE_INDEX;

	return made ? ff_value_bytes(value) : ff_value_bytes(value) / REFERENCE_DISCOUNT;
}

/* A value that is all of a text keeps its type; anything else makes text. */
static bool
render_template(FfEvaluation *e, const FfTemplate *template, FfValue *out)
{
	StringInfoData text;

	e->locals = NULL;
	if (template->whole != NULL)
		return ff_lang_evaluate(e, template->whole, out) &&
			   ff_lang_output(e, template->whole->position, cost_of_whole(template->whole, out));
	initStringInfo(&text);
	if (!render_parts(e, template->parts, &text))
		return false;
	ff_set_text(out, text.data, text.len);
	return ff_lang_output(e, 0, text.len);
}

bool
ff_lang_render(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	FfLocal		  *locals = e->locals;
	StringInfoData text;
	bool		   done;

	ff_lang_use_scratch(e);
	initStringInfo(&text);
	done = render_parts(e, node->template->parts, &text) &&
		   ff_lang_output(e, node->position, text.len);
	if (!done)
		e->position = node->position; /* in the expression, not in its text */
	e->locals = locals;
	ff_set_text(out, text.data, text.len);
	return done;
}

static void
render_or_raise(FfEvaluation *e, const JsonbValue *text, FfValue *out)
{
	const FfTemplate *template = ff_template_cached(text->val.string.val, text->val.string.len);

	if (!render_template(e, template, out))
		ff_lang_report(e, true, template->source);
}

/* --- configs --- */

static Jsonb *
render_config(FfEvaluation *e, Jsonb *config)
{
	JsonbParseState *state = NULL;
	JsonbValue		*result = NULL;
	FfWalk			 walk;

	ff_walk_begin(&walk, config);
	while (ff_walk_next(&walk))
	{
		if (ff_walk_at_template(&walk))
		{
			FfValue value = {0};

			render_or_raise(e, &walk.part, &value);
			ff_value_push(&state, walk.token, &value);
		}
		else
			result = pushJsonbValue(&state, walk.token,
									walk.token == WJB_KEY || walk.token == WJB_VALUE ||
											walk.token == WJB_ELEM
										? &walk.part
										: NULL);
	}
	ff_walk_end(&walk);
	return JsonbValueToJsonb(result);
}

static bool
has_template(Jsonb *config)
{
	FfWalk walk;
	bool   found = false;

	ff_walk_begin(&walk, config);
	while (!found && ff_walk_next(&walk))
		found = ff_walk_at_template(&walk);
	ff_walk_end(&walk);
	return found;
}

Jsonb *
ff_render(Jsonb *config, const FfScope *scope)
{
	FfEvaluation e;
	JsonbValue	 text;
	FfValue		 value = {0};
	bool		 scalar = ff_walk_scalar_template(config, &text);

	if (!scalar && (JB_ROOT_IS_SCALAR(config) || !has_template(config)))
		return config;
	ff_lang_begin(&e, scope, false);
	ff_lang_use_scratch(&e);
	if (!scalar)
		return ff_lang_keep(&e, render_config(&e, config));
	render_or_raise(&e, &text, &value);
	return ff_lang_keep(&e, ff_value_document(&value));
}
