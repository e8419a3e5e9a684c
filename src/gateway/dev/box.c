/*
 * The box that `flowforge dev` shows once all is there: where things are, and what to try.
 */
#define _GNU_SOURCE
#include "dev/dev.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/database.h"
#include "cli/term.h"

#define DEFAULT_EVENT "test/hello"

/* An event to try: that of the first run there was, else one that a function is triggered by. To be
 * freed. */
static char *
example_event(const FfDev *dev)
{
	PGconn *connection = ff_database_connect(dev->server.database_url);
	char   *event = ff_database_value(
		  connection,
		  "select coalesce((select t.event "
			"from (select tenant_id, event_id from flowforge.run order by run_id limit 1) r "
			"join flowforge.event e using (tenant_id, event_id) "
			"join flowforge.trigger t on t.event = e.name limit 1), "
			"(select event from flowforge.trigger where event !~ '^inngest/|[*]$' "
			"order by trigger_id limit 1))",
		  NULL);

	PQfinish(connection);
	return event != NULL ? event : ff_text(DEFAULT_EVENT);
}

static char *
field(const char *name, const char *value)
{
	return ff_text("%s%-10s%s %s", ff_style(FF_STYLE_DIM), name, ff_style(FF_STYLE_END), value);
}

void
ff_dev_print_box(const FfDev *dev)
{
	char *event = example_event(dev);
	char *lines[18];
	int	  count = 0;

	lines[count++] = ff_copy("");
	lines[count++] =
		field("API", ff_text("http://localhost:%d/api/v1  (described at /api/docs)", dev->port));
	lines[count++] = field("database", dev->server.database_url);
	lines[count++] = field("event key", dev->server.signing_key != NULL
											? dev->server.event_key
											: ff_text("%s  (any will do)", dev->server.event_key));
	for (int at = 0; at < dev->apps.count && at < 4; at++)
		lines[count++] = field(at == 0 ? "apps" : "", dev->apps.item[at]);
	if (dev->has_cluster)
		lines[count++] = field("outbound", ff_text("steps may call %s", dev->cluster.allowed));
	lines[count++] = ff_copy("");
	lines[count++] =
		field("try", ff_text("%s send %s -d '{\"id\": \"1\"}' --wait", dev->program, event));
	lines[count++] = field("", ff_text("%s runs list", dev->program));
	lines[count++] = field("", ff_text("%s psql -c 'table flowforge.runs'", dev->program));
	if (dev->next != NULL)
		lines[count++] = field("next", dev->next);
	lines[count++] = ff_copy("");
	lines[count++] = dev->has_cluster
						 ? field("", ff_text("Ctrl-C stops everything; data and logs stay in %s",
											 dev->cluster.shown))
						 : field("", "Ctrl-C stops the gateway");
	lines[count++] = ff_copy("");
	lines[count] = NULL;
	ff_term_box("FlowForge " FF_VERSION, (const char *const *) lines);
	free(event);
}
