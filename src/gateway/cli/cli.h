/*
 * The command line's shared ground: exit codes, options, where the server is, small helpers.
 *
 * A command is a function (argc, argv) whose argv[0] is its own name; it gives one of FfExit. What
 * a person has to know goes to standard error through ff_complain; standard output carries results
 * only.
 */
#ifndef FF_CLI_H
#define FF_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/version.h"

#define FF_DEFAULT_PORT 8288

typedef enum FfExit
{
	FF_EXIT_DONE = 0,
	FF_EXIT_FAILED = 1,
	FF_EXIT_USAGE = 2,
	FF_EXIT_UNREACHABLE = 3
} FfExit;

/* ---- helpers ---- */

/* Milliseconds since 1970, and milliseconds of a clock that only goes forward. */
extern int64_t ff_wall_clock(void);
extern int64_t ff_steady_clock(void);

/* The whole of a file ("-": standard input), NUL added; NULL with errno set on failure or beyond
 * `limit` bytes (EFBIG). */
extern char *ff_read_file(const char *path, size_t limit);

/* Prints "flowforge: message" and, when hint is not NULL, a line below it that says what to do. */
extern void ff_complain(const char *hint, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Writes the results held back. False, and said once unless the reader just went away, when
 * standard output takes no more. */
extern bool ff_flush(void);

/* ---- options ---- */

/* Texts given to an option that may be repeated, or the words that are no options. */
typedef struct FfList
{
	const char **item;
	int			 count;
} FfList;

extern void ff_list_add(FfList *list, const char *item);

/* One option. Exactly one of text, flag and list is set; `value` names the value in the help and is
 * NULL for a switch. */
typedef struct FfOption
{
	char		 letter;
	const char	*name;
	const char	*value;
	const char	*help;
	const char **text;
	bool		*flag;
	FfList		*list;
} FfOption;

/* How a command is used: the line after its name, a paragraph, its options (name NULL ends them).
 */
typedef struct FfUsage
{
	const char	   *synopsis;
	const char	   *about;
	const FfOption *options;
} FfUsage;

typedef enum FfParse
{
	FF_PARSE_GO,
	FF_PARSE_HELPED,
	FF_PARSE_WRONG
} FfParse;

/*
 * Reads the options, in any order between the words; "--" ends them, and what follows it goes to
 * `rest` when that is not NULL, else to `words`. `-h` prints the usage. The caller ends with
 * FF_EXIT_DONE or FF_EXIT_USAGE unless the result is FF_PARSE_GO.
 */
extern FfParse ff_options(int argc, char **argv, const FfUsage *usage, FfList *words, FfList *rest);

/* Until it is called with NULL, ff_options hands the usage to `describe` and gives FF_PARSE_HELPED
 * (describe.h). */
extern void ff_options_describe(void (*describe)(const char *command, const FfUsage *usage,
												 void *context),
								void *context);

/* A whole number in decimal and nothing else; false when the text is none or not between low and
 * high. */
extern bool ff_whole_number(const char *text, long low, long high, int *number);

/* Says that a command was used wrongly. Always FF_EXIT_USAGE. */
extern FfExit ff_misused(const char *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* One command of several below a name (name NULL ends them). */
typedef struct FfSubcommand
{
	const char *name;
	char	   *full_name;
	FfExit (*command)(int argc, char **argv);
} FfSubcommand;

/* Runs the one that argv[1] names, tells which there are when it asks for help, or says what is
 * wrong. `about` is a sentence without its full stop. */
extern FfExit ff_subcommand(const char *name, const char *about, const FfSubcommand *commands,
							int argc, char **argv);

/* ---- where the server is ---- */

/* Each from its flag, else the environment, else the file that `flowforge dev` leaves, else the
 * default. NULL: not known. */
typedef struct FfServer
{
	const char *url; /* the gateway, without a slash at the end; never NULL */
	const char *database_url;
	const char *event_key;
	const char *signing_key;
	const char *api_key; /* used before the signing key */
	bool		json;	 /* results as JSON */
} FfServer;

/* The options by which these are given; put them at the end of a command's own. */
#define FF_SERVER_OPTIONS(server)                                                                  \
	{0,                                                                                            \
	 "url",                                                                                        \
	 "URL",                                                                                        \
	 "the gateway (FLOWFORGE_URL, default http://127.0.0.1:8288)",                                 \
	 &(server).url,                                                                                \
	 NULL,                                                                                         \
	 NULL},                                                                                        \
		{0,	   "event-key", "KEY", "the event key (FLOWFORGE_EVENT_KEY)", &(server).event_key,     \
		 NULL, NULL},                                                                              \
		{0, "api-key", "KEY", "an API key (FLOWFORGE_API_KEY)", &(server).api_key, NULL, NULL},    \
	{                                                                                              \
		0, "signing-key", "KEY", "the signing key (FLOWFORGE_SIGNING_KEY)", &(server).signing_key, \
			NULL, NULL                                                                             \
	}
#define FF_DATABASE_OPTION(server)                                                             \
	{                                                                                          \
		0, "db", "URL", "the database (FLOWFORGE_DATABASE_URL)", &(server).database_url, NULL, \
			NULL                                                                               \
	}
#define FF_JSON_OPTION(server)                                    \
	{                                                             \
		0, "json", NULL, "print JSON", NULL, &(server).json, NULL \
	}

extern void ff_server_resolve(FfServer *server);

/* The directory and file in which `flowforge dev` keeps its data and says where it listens (lines
 * of NAME=value). */
#define FF_DEV_DIRECTORY ".flowforge"
#define FF_DEV_ENVIRONMENT "env"

/* ---- commands ---- */

extern FfExit ff_command_dev(int argc, char **argv);
extern FfExit ff_command_serve(int argc, char **argv);
extern FfExit ff_command_init(int argc, char **argv);
extern FfExit ff_command_send(int argc, char **argv);
extern FfExit ff_command_runs(int argc, char **argv);
extern FfExit ff_command_functions(int argc, char **argv);
extern FfExit ff_command_workflows(int argc, char **argv);
extern FfExit ff_command_approvals(int argc, char **argv);
extern FfExit ff_command_approve(int argc, char **argv);
extern FfExit ff_command_reject(int argc, char **argv);
extern FfExit ff_command_create_admin(int argc, char **argv);
extern FfExit ff_command_keys(int argc, char **argv);
extern FfExit ff_command_secrets(int argc, char **argv);
extern FfExit ff_command_doctor(int argc, char **argv);
extern FfExit ff_command_completion(int argc, char **argv);
extern FfExit ff_command_psql(int argc, char **argv);

#endif
