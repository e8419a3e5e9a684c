/*
 * flowforge doctor: looks at every part of an installation and says how to mend what is wrong.
 *
 * A check prints one line: a mark, what was looked at, what was found; a fault has a second line
 * with its remedy. Checks that need something that is already at fault are left out: one cause, one
 * fault.
 */
#define _GNU_SOURCE
#include "doctor/doctor.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/database.h"
#include "cli/http.h"
#include "cli/term.h"

#define SKEW_LIMIT_MS 5000
#define LABEL_COLUMNS 20

typedef struct Finding
{
	const char *name;
	const char *sign;
	FfStyle		style;
} Finding;

static const Finding good = {"good", "✓", FF_STYLE_GOOD};
static const Finding advice = {"advice", "!", FF_STYLE_WARN};
static const Finding fault = {"fault", "✗", FF_STYLE_BAD};

static void
print_check(const Finding *finding, const char *what, const char *found, const char *remedy)
{
	printf("  %s%s%s ", ff_style(finding->style), finding->sign, ff_style(FF_STYLE_END));
	ff_term_cell(stdout, FF_STYLE_END, what, LABEL_COLUMNS);
	printf(" %s%s%s\n", finding == &good ? ff_style(FF_STYLE_DIM) : "", found,
		   ff_style(FF_STYLE_END));
	if (remedy != NULL)
		printf("    %*s %s→ %s%s\n", LABEL_COLUMNS, "", ff_style(FF_STYLE_WARN), remedy,
			   ff_style(FF_STYLE_END));
	ff_flush();
}

static void
report(FfDoctor *doctor, const Finding *finding, const char *what, char *found, char *remedy)
{
	char *text = ff_term_clean(found, 0);
	char *clean = remedy != NULL ? ff_term_clean(remedy, 0) : NULL;

	if (doctor->server.json)
		json_array_append_new(doctor->checks,
							  json_pack("{s:s, s:b, s:s, s:s, s:s?}", "check", what, "good",
										finding != &fault, "level", finding->name, "found", text,
										"remedy", clean));
	else
		print_check(finding, what, text, clean);
	free(clean);
	free(text);
	free(found);
	free(remedy);
}

void
ff_doctor_good(FfDoctor *doctor, const char *what, char *found)
{
	report(doctor, &good, what, found, NULL);
}

void
ff_doctor_fault(FfDoctor *doctor, const char *what, char *found, char *remedy)
{
	doctor->faults++;
	report(doctor, &fault, what, found, remedy);
}

void
ff_doctor_advise(FfDoctor *doctor, const char *what, char *found, char *remedy)
{
	doctor->advice++;
	report(doctor, &advice, what, found, remedy);
}

char *
ff_doctor_ask(FfDoctor *doctor, const char *query)
{
	char *value = ff_database_value(doctor->connection, query, NULL);

	return value != NULL ? value : ff_copy("");
}

bool
ff_doctor_skewed(int64_t theirs)
{
	int64_t skew = theirs - ff_wall_clock();

	return skew <= -SKEW_LIMIT_MS || skew >= SKEW_LIMIT_MS;
}

void
ff_doctor_clock(FfDoctor *doctor, const char *what, int64_t theirs, int64_t slack)
{
	int64_t skew = theirs - ff_wall_clock();
	char	duration[32];
	char   *found;

	if (skew > -slack && skew < slack)
		skew = 0;
	ff_term_duration(duration, (double) (skew < 0 ? -skew : skew));
	found = ff_text("%s %s this machine", duration,
					skew < 0   ? "behind"
					: skew > 0 ? "ahead of"
							   : "off");
	if (ff_doctor_skewed(theirs))
		ff_doctor_fault(doctor, what, found,
						ff_text("set the clocks right (chrony or systemd-timesyncd): signatures "
								"are good for 5 minutes only"));
	else
		ff_doctor_good(doctor, what, found);
}

static void
print_sum(const FfDoctor *doctor)
{
	if (doctor->server.json)
	{
		json_t *answer = json_pack("{s:i, s:i, s:O}", "faults", doctor->faults, "advice",
								   doctor->advice, "checks", doctor->checks);

		ff_json_print(answer);
		json_decref(answer);
	}
	else if (doctor->faults > 0)
		printf("\n  %d fault%s\n", doctor->faults, doctor->faults == 1 ? "" : "s");
	else
		printf("\n  %severything is in order%s\n", ff_style(FF_STYLE_GOOD), ff_style(FF_STYLE_END));
}

FfExit
ff_command_doctor(int argc, char **argv)
{
	FfDoctor	   doctor = {0};
	FfList		   words = {0};
	const char	  *min_free = NULL;
	const FfOption options[] = {
		{0, "min-free", "PERCENT",
		 "what must be left of the server's disks (5, or 5 GB if that is less)", &min_free, NULL,
		 NULL},
		FF_DATABASE_OPTION(doctor.server),
		FF_JSON_OPTION(doctor.server),
		FF_SERVER_OPTIONS(doctor.server),
		{0}};
	const FfUsage usage = {
		"", "Checks database, extension, workers, gateway and apps; exit 1 if one is at fault.",
		options};
	FfParse parse = ff_options(argc, argv, &usage, &words, NULL);

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count > 0)
		return ff_misused("doctor", "unexpected %s", words.item[0]);
	if (min_free != NULL && !ff_whole_number(min_free, 1, 100, &doctor.min_free))
		return ff_misused("doctor", "--min-free is a number from 1 to 100, not %s", min_free);
	ff_server_resolve(&doctor.server);
	doctor.checks = json_array();
	ff_doctor_database(&doctor);
	ff_doctor_gateway(&doctor);
	ff_doctor_apps(&doctor);
	print_sum(&doctor);
	json_decref(doctor.checks);
	if (doctor.connection != NULL)
		PQfinish(doctor.connection);
	return doctor.faults > 0 ? FF_EXIT_FAILED : FF_EXIT_DONE;
}
