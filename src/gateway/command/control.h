/*
 * flowforge runs explain | cancel | retry | resume | replay: acting on runs.
 */
#ifndef FF_CONTROL_H
#define FF_CONTROL_H

#include "cli/cli.h"

extern FfExit ff_runs_explain(int argc, char **argv);
extern FfExit ff_runs_cancel(int argc, char **argv);
extern FfExit ff_runs_retry(int argc, char **argv);
extern FfExit ff_runs_resume(int argc, char **argv);
extern FfExit ff_runs_replay(int argc, char **argv);

#endif
