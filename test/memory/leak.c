/*
 * One leak, built with the gateway's flags: before the tests, check-memory.sh wants it to be
 * reported, as it does the faults of canary.c.
 */
#include <stdlib.h>

int
main(void)
{
	char *volatile chunk = malloc(100);

	chunk[0] = 1;
	chunk = NULL;
	return 0;
}
