/*
 * lang_guard.h - included before every file of src/lang in the fuzzers' build: memory contexts that
 * AddressSanitizer can see.
 *
 * It knows malloc's blocks, of which a memory context cuts many pieces. Here each piece the
 * language asks for gets a margin that must not be touched, until its context is reset.
 */
#ifndef FF_LANG_GUARD_H
#define FF_LANG_GUARD_H

#include <sanitizer/asan_interface.h>

#include "postgres.h"

#include "utils/memutils.h"

#define GUARD_MARGIN 32

typedef struct GuardedPiece
{
	MemoryContextCallback callback;
	void				 *memory;
	Size				  size;
} GuardedPiece;

static void
guard_release(void *argument)
{
	GuardedPiece *piece = argument;

	ASAN_UNPOISON_MEMORY_REGION(piece->memory, piece->size);
}

static void *
guard_palloc(Size size)
{
	char		 *memory = palloc(size + GUARD_MARGIN);
	GuardedPiece *piece = palloc(sizeof(GuardedPiece));

	ASAN_UNPOISON_MEMORY_REGION(memory, size + GUARD_MARGIN);
	ASAN_UNPOISON_MEMORY_REGION(piece, sizeof(*piece));
	piece->memory = memory;
	piece->size = size + GUARD_MARGIN;
	piece->callback.func = guard_release;
	piece->callback.arg = piece;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &piece->callback);
	ASAN_POISON_MEMORY_REGION(memory + size, GUARD_MARGIN);
	return memory;
}

static inline void *
guard_palloc0(Size size)
{
	return memset(guard_palloc(size), 0, size);
}

static inline char *
guard_pnstrdup(const char *text, Size length)
{
	Size  size = strnlen(text, length);
	char *copy = guard_palloc(size + 1);

	memcpy(copy, text, size);
	copy[size] = '\0';
	return copy;
}

static inline char *
guard_pstrdup(const char *text)
{
	return guard_pnstrdup(text, strlen(text));
}

static inline void
guard_pfree(void *memory)
{
	ASAN_UNPOISON_MEMORY_REGION(memory, GetMemoryChunkSpace(memory) - 2 * sizeof(void *));
	pfree(memory);
}

/* The margin stays inside of what it becomes, so that it must be opened; what is new has none. */
static inline void *
guard_repalloc(void *memory, Size size)
{
	ASAN_UNPOISON_MEMORY_REGION(memory, GetMemoryChunkSpace(memory) - 2 * sizeof(void *));
	return repalloc(memory, size);
}

#define palloc guard_palloc
#define palloc0 guard_palloc0
#define pnstrdup guard_pnstrdup
#define pstrdup guard_pstrdup
#define pfree guard_pfree
#define repalloc guard_repalloc

#endif
