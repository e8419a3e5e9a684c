/*
 * flowforge runs explain | cancel | retry | replay, and flowforge functions: acting on runs and on
 * what they are made of.
 */
#ifndef FF_CLI_CONTROL_H
#define FF_CLI_CONTROL_H

#include "cli.h"

extern FfExit ff_runs_explain(int argc, char **argv);
extern FfExit ff_runs_cancel(int argc, char **argv);
extern FfExit ff_runs_retry(int argc, char **argv);
extern FfExit ff_runs_resume(int argc, char **argv);
extern FfExit ff_runs_replay(int argc, char **argv);

#endif
