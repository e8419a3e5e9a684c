/*
 * ticket.h - tickets, by which browsers open WebSockets, and whether those who follow live still
 * may.
 */
#ifndef FF_TICKET_H
#define FF_TICKET_H

#include "postgres.h"

/* Uses a ticket: the pass of who asked for it (team/pass.h), or NULL when it is not good. Whoever
 * comes second gets NULL, unless the first is rolled back. */
extern const char *ff_ticket_take(const char *ticket);

#endif
