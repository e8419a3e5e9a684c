/*
 * config.c - a node's config by the schema of its type, as the catalogue has it.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "graph/validate.h"
#include "schema/schema.h"
#include "util/json.h"

#define FINDINGS_PER_NODE 20

static Jsonb *
schema_of(const FfCheck *check, const FfNodeType *type)
{
	for (int i = 0; ff_node_type_at(i) != NULL; i++)
	{
		if (ff_node_type_at(i) == type)
			return check->schemas[i];
	}
	return NULL;
}

/* A JSON pointer as the paths of templates are written: /headers/x~1y is headers.x/y. */
static const char *
dotted(const char *prefix, const char *pointer)
{
	StringInfoData path;

	initStringInfo(&path);
	appendStringInfoString(&path, prefix);
	for (const char *c = pointer; *c != '\0'; c++)
	{
		if (*c == '/' && path.len > 0)
			appendStringInfoChar(&path, '.');
		else if (*c == '~' && (c[1] == '0' || c[1] == '1'))
			appendStringInfoChar(&path, *++c == '0' ? '~' : '/');
		else if (*c != '/')
			appendStringInfoChar(&path, *c);
	}
	return path.data;
}

/* Of {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}: a or b. */
static const char *
alternatives(Jsonb *schema)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; ff_json_at(schema, psprintf("anyOf.%d", i)) != NULL; i++)
	{
		Jsonb	  *name = ff_json_at(schema, psprintf("anyOf.%d.required.0", i));
		JsonbValue text;

		if (name == NULL || !JsonbExtractScalar(&name->root, &text) || text.type != jbvString)
			return NULL;
		appendStringInfo(&names, "%s%.*s", i > 0 ? " or " : "", text.val.string.len,
						 text.val.string.val);
	}
	return names.data;
}

static const char *
message_of(const FfNode *node, const FfFinding *finding, const char *path, Jsonb *schema)
{
	const char *either = NULL;

	if (strcmp(finding->keyword, "anyOf") == 0 && *finding->path == '\0')
		either = alternatives(schema);
	if (either != NULL)
		return psprintf("the config of node \"%s\" has no %s", node->id, either);
	return psprintf("%s of node \"%s\" %s", *path != '\0' ? path : "the config", node->id,
					finding->message);
}

static void
check_schema(FfCheck *check, const FfNode *node, const FfNodeType *type, Jsonb *config,
			 const char *prefix)
{
	Jsonb	   *schema = schema_of(check, type);
	FfFindings *found;

	if (schema == NULL)
		return;
	found = ff_schema_validate(schema, config, FF_SCHEMA_TEMPLATES, FINDINGS_PER_NODE);
	for (int i = 0; i < found->count; i++)
	{
		const char *path = dotted(prefix, found->list[i].path);

		/* check_items says more of the only member that a for_each must have. */
		if (strcmp(type->name, "for_each") == 0 &&
			(strcmp(path, "items") == 0 || strcmp(found->list[i].keyword, "required") == 0))
			continue;
		ff_check_fault(
			check, node, FF_FAULT_CONFIG_SCHEMA, *path != '\0' ? path : NULL,
			message_of(node, &found->list[i], path, schema),
			psprintf("The catalogue's entry \"%s\" says what its config may be.", type->name));
	}
}

/* --- for_each --- */

/* Whether a text becomes the value it refers to: {{ ... }} and nothing around it. */
static bool
is_whole_template(const char *text)
{
	int length = (int) strlen(text);
	int start = (int) strspn(text, " \t\r\n");

	while (length > start && strchr(" \t\r\n", text[length - 1]) != NULL)
		length--;
	return length - start > 4 && strncmp(text + start, "{{", 2) == 0 &&
		   strncmp(text + length - 2, "}}", 2) == 0;
}

static void
check_items(FfCheck *check, const FfNode *node)
{
	const char *text = ff_json_text(node->config, "items");
	Jsonb	   *items = ff_json_member(node->config, "items");
	const char *problem = NULL;

	if (items == NULL)
		problem = "has no items";
	else if (text != NULL ? !is_whole_template(text) : !ff_json_is_array(items))
		problem = "has items that are neither a list nor a reference to one";
	if (problem != NULL)
		ff_check_fault(check, node, FF_FAULT_FOR_EACH_ITEMS, "items",
					   psprintf("the for_each \"%s\" %s", node->id, problem),
					   "For example: [1, 2, 3] or \"{{ fetch.body.users }}\"");
}

static void
check_handler(FfCheck *check, const FfNode *node)
{
	const char		 *name = ff_json_text(node->config, "handler");
	const FfNodeType *type = name != NULL ? ff_node_type(name) : NULL;
	Jsonb			 *item_config = ff_json_member(node->config, "item_config");

	if (name == NULL)
		return;
	if (type == NULL)
		ff_check_fault(check, node, FF_FAULT_UNREGISTERED_TYPE, "handler",
					   psprintf("the for_each \"%s\" has a handler of an unknown type: \"%s\"",
								node->id, ff_text_shown(name)),
					   "The table flowforge.step_type lists the types there are.");
	else if (type->alone)
		ff_check_fault(check, node, FF_FAULT_CONFIG_SCHEMA, "handler",
					   psprintf("a for_each cannot repeat a %s", type->name),
					   "A function_call can run another graph for each item.");
	else if (item_config == NULL || ff_json_is_object(item_config))
		check_schema(check, node, type, item_config != NULL ? item_config : ff_json_empty_object(),
					 "item_config");
}

void
ff_check_config(FfCheck *check, const FfNode *node)
{
	if (node->type == NULL)
		return;
	check_schema(check, node, node->type, node->config, "");
	if (strcmp(node->type->name, "for_each") == 0)
	{
		check_items(check, node);
		check_handler(check, node);
	}
}
