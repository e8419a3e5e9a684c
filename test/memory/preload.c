/*
 * What is preloaded into an unchanged PostgreSQL, between libasan and libubsan, so that
 * AddressSanitizer sees what the extension does with memory.
 *
 * Three things stand in its way. Libraries that the server is linked with call bindtextdomain in
 * their constructors, hence malloc, hence the first use of ASan, whose start looks for symbols that
 * are not there, hence dlerror, hence gettext, all that inside glibc's own lock around
 * bindtextdomain: the lock is lost, and the server waits for it for ever. So this library is the
 * first to be initialised (-z initfirst) and has ASan start before anybody else allocates.
 *
 * A memory context takes blocks of many kilobytes from malloc and cuts them itself, so that
 * ASan would not see the end of a chunk, or its reuse. So the methods that all contexts of kind
 * AllocSet share are replaced by some that take each chunk from malloc: reading beyond a palloc,
 * after a pfree, or after a reset of its context is then reported like any other fault of the heap.
 * The third, the options of UBSan, is told below.
 */
#include "postgres.h"

#include <dlfcn.h>
#include <sanitizer/asan_interface.h>
#include <sys/mman.h>
#include <unistd.h>

#include "utils/memutils.h"

#if PG_VERSION_NUM >= 160000
#error "from PostgreSQL 16 on a chunk's header names a method, not its context"
#endif

/* What stands before the memory of a chunk. PostgreSQL 15 wants the context right before the
 * pointer; nobody else may look at it. */
typedef struct Chunk
{
	struct Chunk  *next;
	struct Chunk **link; /* what points at this one */
	Size		   size;
	MemoryContext  context;
} Chunk;

/* The beginning of PostgreSQL's AllocSetContext; the list of free chunks, empty as nothing is cut
 * from blocks, holds ours instead. */
typedef struct
{
	MemoryContextData header;
	void			 *blocks;
	Chunk			 *chunks;
} Context;

static MemoryContextMethods original;

static Chunk *
chunk_of(void *pointer)
{
	return (Chunk *) pointer - 1;
}

static void *
enter(MemoryContext context, Chunk *chunk, Size size)
{
	Context *owner = (Context *) context;

	chunk->context = context;
	chunk->size = size;
	chunk->next = owner->chunks;
	chunk->link = &owner->chunks;
	if (chunk->next)
		chunk->next->link = &chunk->next;
	owner->chunks = chunk;
	context->mem_allocated += size;
	ASAN_POISON_MEMORY_REGION(chunk, sizeof(Chunk));
	return chunk + 1;
}

static void
leave(MemoryContext context, Chunk *chunk)
{
	*chunk->link = chunk->next;
	if (chunk->next)
		chunk->next->link = chunk->link;
	context->mem_allocated -= chunk->size;
}

static void *
take(MemoryContext context, Size size)
{
	Chunk *chunk = malloc(sizeof(Chunk) + size);

	return chunk ? enter(context, chunk, size) : NULL;
}

static void
give_back(MemoryContext context, void *pointer)
{
	leave(context, chunk_of(pointer));
	free(chunk_of(pointer));
}

static void *
take_again(MemoryContext context, void *pointer, Size size)
{
	void *larger = take(context, size);

	if (larger == NULL)
		return NULL;
	memcpy(larger, pointer, Min(size, chunk_of(pointer)->size));
	give_back(context, pointer);
	return larger;
}

static void
give_all_back(MemoryContext context)
{
	Context *owner = (Context *) context;

	while (owner->chunks)
		give_back(context, owner->chunks + 1);
}

static void
reset(MemoryContext context)
{
	give_all_back(context);
	original.reset(context);
}

static void
delete_context(MemoryContext context)
{
	give_all_back(context);
	original.delete_context(context);
}

static Size
space(MemoryContext context, void *pointer)
{
	return sizeof(Chunk) + chunk_of(pointer)->size;
}

/* The table of methods is a constant of the server, reached through the first context made. */
static void
replace_methods(MemoryContextMethods *methods)
{
	uintptr_t page = sysconf(_SC_PAGESIZE);
	uintptr_t start = (uintptr_t) methods & ~(page - 1);
	uintptr_t end = ((uintptr_t) (methods + 1) + page - 1) & ~(page - 1);

	if (mprotect((void *) start, end - start, PROT_READ | PROT_WRITE) != 0)
		abort();
	original = *methods;
	methods->alloc = take;
	methods->free_p = give_back;
	methods->realloc = take_again;
	methods->reset = reset;
	methods->delete_context = delete_context;
	methods->get_chunk_space = space;
	(void) mprotect((void *) start, end - start, PROT_READ);
}

/*
 * UBSan reads its options when it first reports something, from /proc/self/environ, which the
 * server has overwritten by then with the title of its process. They are kept here and given when
 * it asks for defaults. And next to ASan it sets ASan's path for reports instead of its own, which
 * thus is set too. (Not found with dlopen, which would initialise glibc without an environment.)
 */
static const char *ubsan_options = "";

const char *__ubsan_default_options(void);

const char *
__ubsan_default_options(void)
{
	return ubsan_options;
}

static void
keep_ubsan_options(char **environment)
{
	static const char name[] = "UBSAN_OPTIONS=";
	static const char path[] = "log_path=";
	void (*set_path)(const char *) = dlsym(RTLD_NEXT, "__sanitizer_set_report_path");

	for (; *environment; environment++)
		if (strncmp(*environment, name, strlen(name)) == 0)
			ubsan_options = strdup(*environment + strlen(name));
	if (set_path && strstr(ubsan_options, path))
		set_path(strstr(ubsan_options, path) + strlen(path));
}

/* Volatile, lest the compiler find that nobody needs it. */
static void *volatile first_allocation;

/* The environment is an argument because getenv does not work yet. */
__attribute__((constructor)) static void
begin(int count, char **arguments, char **environment)
{
	MemoryContext (*create)(MemoryContext, const char *, Size, Size, Size);

	first_allocation = malloc(1); /* starts ASan */
	keep_ubsan_options(environment);
	create = dlsym(RTLD_DEFAULT, "AllocSetContextCreateInternal");
	if (create == NULL)
		return;
	replace_methods(
		unconstify(MemoryContextMethods *, create(NULL, "first", ALLOCSET_SMALL_SIZES)->methods));
}
