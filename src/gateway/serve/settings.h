/*
 * A file of settings: a line for each option that is to be as if it were in the environment.
 */
#ifndef FF_SETTINGS_H
#define FF_SETTINGS_H

#include "cli/cli.h"

/*
 * Reads lines "option = value", where option is the long name of one in the table; lines
 * that begin with # and empty ones are nothing. Options on the command line and variables win. A
 * switch is on or off; an option that may be repeated may be so here. False, and what is wrong is
 * said.
 */
extern bool ff_settings_read(const char *command, const char *path, const FfOption *options);

#endif
