/*
 * early_asan.c - preloaded with AddressSanitizer's runtime, it has that start before any other
 * library.
 *
 * Otherwise the first to call malloc may be libgpg-error's start, under a lock of gettext's, and
 * the runtime's own start then takes and gives the same lock: the server hangs. Link with -z
 * initfirst.
 */
#include <stdlib.h>

void *volatile flowforge_early;

__attribute__((constructor)) static void
start_early(void)
{
	flowforge_early = malloc(1);
	free(flowforge_early);
}
