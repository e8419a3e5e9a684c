/*
 * engine.h - JavaScriptCore: started once by the zygote, used once by each child.
 */
#ifndef FFS_ENGINE_H
#define FFS_ENGINE_H

#include <stddef.h>

/* The environment the engine must find when the program begins, NULL at its end. `memory` is what a
 * child may have at most. */
extern char **engine_environment(size_t memory);

/* Starts the engine and has it do once what calls do, so that children need not. NULL, or what went
 * wrong. */
extern const char *engine_start(void);

/* Runs a request and answers it; does not return. `output` bounds the result. */
extern void engine_run(char *request, size_t length, size_t output) __attribute__((noreturn));

#endif
