/*
 * crash.h - a child's last words, when its engine dies or has no more memory.
 */
#ifndef FFS_CRASH_H
#define FFS_CRASH_H

#include <stddef.h>

/* In a child, before it is locked in: deadly signals are answered with an error. `memory` is what
 * the child may have. */
extern void crash_watch(size_t memory);

/* Answers that there is no more memory, and ends the child. */
extern void crash_out_of_memory(void) __attribute__((noreturn));

/* While a frame is being written nothing else may be. */
extern void crash_hold(void);
extern void crash_release(void);

#endif
