/*
 * probe.h - a door for tests: what code that has taken over the engine would try.
 */
#ifndef FFS_PROBE_H
#define FFS_PROBE_H

#include <JavaScriptCore/JavaScript.h>

#ifdef FF_SANDBOX_PROBE
/* Gives code the function attempt(what), which tries it and gives the error's name, or "done". */
extern void probe_install(JSGlobalContextRef context);
#else
static inline void
probe_install(JSGlobalContextRef context)
{
	(void) context;
}
#endif

#endif
