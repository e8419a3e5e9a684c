/*
 * flowforge workflows: what its commands share (workflows.c), and those that have files of their
 * own.
 */
#ifndef FF_WORKFLOW_H
#define FF_WORKFLOW_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/cli.h"

/* The one workflow a command is given, or NULL with the user told. */
extern const char *ff_workflow_given(const char *command, const FfList *words);

/* Whether an option's text is a version's number, or NULL: none. False with the user told. */
extern bool ff_workflow_version(const char *command, const char *option, const char *text);

/* A workflow, or a version of it; NULL with the user told. */
extern json_t *ff_workflow_fetch(const FfServer *server, const char *id, const char *version,
								 FfExit *result);

/* Prints a text of the server between two of ours, and a workflow as a line of a list. */
extern void ff_workflow_print_text(const char *before, const char *text, const char *after);
extern void ff_workflow_print_line(const json_t *workflow);

/* What a file holds, NULL with the user told: workflow_file.c. */
extern json_t *ff_workflow_read(const char *path);

/* The commands of workflow_file.c and workflow_check.c. */
extern FfExit ff_workflows_export(int argc, char **argv);
extern FfExit ff_workflows_import(int argc, char **argv);
extern FfExit ff_workflows_validate(int argc, char **argv);
extern FfExit ff_workflows_diff(int argc, char **argv);

#endif
