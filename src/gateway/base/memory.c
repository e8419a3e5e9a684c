/*
 * Memory that is there, or the program ends: see memory.h.
 */
#define _GNU_SOURCE
#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
out_of_memory(void)
{
	fputs("flowforge: out of memory\n", stderr);
	exit(EXIT_FAILURE);
}

void *
ff_alloc(size_t size)
{
	void *memory = calloc(1, size > 0 ? size : 1);

	if (memory == NULL)
		out_of_memory();
	return memory;
}

char *
ff_copy(const char *text)
{
	char *copy = strdup(text);

	if (copy == NULL)
		out_of_memory();
	return copy;
}

char *
ff_text(const char *format, ...)
{
	va_list arguments;
	char   *text;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		out_of_memory();
	va_end(arguments);
	return text;
}
