/*
 * flowforge doctor: what its checks share.
 *
 * A check reports one thing: in order, a fault, or advice, which is no fault. Texts that are handed
 * over ("takes") are freed. What follows from a fault that was reported is not a second one.
 */
#ifndef FF_DOCTOR_H
#define FF_DOCTOR_H

#include <jansson.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/cli.h"

typedef struct FfDoctor
{
	FfServer server;
	PGconn	*connection; /* NULL: the database cannot be reached */
	int		 min_free;	 /* percent of a disk; 0: as the doctor thinks */
	bool	 installed;	 /* the database has the extension, and may be asked about it */
	bool	 idle;		 /* the executors do not work, and why was reported */
	json_t	*checks;	 /* for --json */
	int		 faults;
	int		 advice;
} FfDoctor;

/* What was found is in order; it is at fault, or could be better, and how it is mended. Take found
 * and remedy. */
extern void ff_doctor_good(FfDoctor *doctor, const char *what, char *found);
extern void ff_doctor_fault(FfDoctor *doctor, const char *what, char *found, char *remedy);
extern void ff_doctor_advise(FfDoctor *doctor, const char *what, char *found, char *remedy);

/* A value of the database as text; "" for none, or when it cannot be told. To be freed. */
extern char *ff_doctor_ask(FfDoctor *doctor, const char *query);

/* Whether a clock is so far from ours that signatures fail. */
extern bool ff_doctor_skewed(int64_t theirs);

/* Reports another clock, in milliseconds since 1970; `slack` is how far it may be off for want of
 * digits. */
extern void ff_doctor_clock(FfDoctor *doctor, const char *what, int64_t theirs, int64_t slack);

/* The parts of an installation. Apps are asked of only when the database says which there are. */
extern void ff_doctor_database(FfDoctor *doctor);
extern void ff_doctor_gateway(FfDoctor *doctor);
extern void ff_doctor_apps(FfDoctor *doctor);

#endif
