/*
 * input.c - what a run of a graph is given: the data of its event, without what invoking a function
 * adds to it; and whether the graph takes it.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "graph/drive.h"
#include "schema/schema.h"
#include "util/json.h"

#define ADDED "_inngest" /* by an invocation */
#define MAX_FINDINGS 20	 /* in an error */

Jsonb *
ff_graph_input(const FfRun *run)
{
	if (ff_json_get(run->event.data, ADDED) == NULL)
		return run->event.data;
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(run->event.data),
											  CStringGetTextDatum(ADDED)));
}

static char *
message_of(const FfFindings *findings)
{
	StringInfoData message;

	initStringInfo(&message);
	appendStringInfoString(&message, "the input is not what the workflow takes: ");
	for (int i = 0; i < findings->count; i++)
		appendStringInfo(&message, "%sinput%s %s", i > 0 ? "; " : "", findings->list[i].path,
						 findings->list[i].message);
	return message.data;
}

Jsonb *
ff_graph_refuse_input(const FfGraph *graph, Jsonb *input)
{
	FfFindings	 *findings;
	FfJsonBuilder builder = {0};

	if (graph->input_schema == NULL)
		return NULL;
	findings = ff_schema_validate(graph->input_schema, input, FF_SCHEMA_PLAIN, MAX_FINDINGS);
	if (findings->count == 0)
		return NULL;
	ff_jb_object(&builder);
	ff_jb_key(&builder, "name");
	ff_jb_text(&builder, "InputInvalid");
	ff_jb_key(&builder, "message");
	ff_jb_text(&builder, message_of(findings));
	ff_jb_key(&builder, "findings");
	ff_jb_json(&builder, ff_findings_json(findings));
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}
