/*
 * cache.c - what this backend has compiled: expressions and templates by their source.
 *
 * The one that was not used for longest gives way when there are too many or they take too much.
 * Something is compiled in a context of the caller's and moves here when it is complete, so that an
 * error leaves no trace. Since nothing is evaluated while something is looked up, what a lookup
 * returns is good until the next.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "lib/ilist.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "lang/template.h"

#define MAX_ENTRIES 1000
#define MAX_BYTES (8 * 1024 * 1024)

typedef enum Form
{
	FORM_EXPRESSION,
	FORM_OPERANDS, /* an expression with {{ values }} */
	FORM_TEMPLATE
} Form;

typedef struct Key
{
	uint32		hash; /* of the text */
	Form		form;
	int			depth; /* the limit it was compiled under */
	int			length;
	const char *text; /* in an entry, its own */
} Key;

typedef struct Entry
{
	Key			  key;
	dlist_node	  age; /* the latest used first */
	MemoryContext context;
	Size		  bytes;
	void		 *compiled;
} Entry;

static MemoryContext cache_context = NULL;
static HTAB			*entries = NULL;
static dlist_head	 by_age = DLIST_STATIC_INIT(by_age);
static Size			 total = 0;

static uint32
hash_of_key(const void *key, Size size)
{
	return ((const Key *) key)->hash;
}

static int
compare_keys(const void *a, const void *b, Size size)
{
	const Key *x = a;
	const Key *y = b;

	return x->form != y->form || x->depth != y->depth || x->length != y->length ||
		   memcmp(x->text, y->text, x->length) != 0;
}

static void
create_table(void)
{
	HASHCTL control = {.keysize = sizeof(Key),
					   .entrysize = sizeof(Entry),
					   .hash = hash_of_key,
					   .match = compare_keys};

	cache_context =
		AllocSetContextCreate(TopMemoryContext, "FlowForge expressions", ALLOCSET_DEFAULT_SIZES);
	control.hcxt = cache_context;
	entries = hash_create("FlowForge expressions", MAX_ENTRIES, &control,
						  HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
}

static void
drop_entry(Entry *entry)
{
	MemoryContext context = entry->context;

	total -= entry->bytes;
	dlist_delete(&entry->age);
	hash_search(entries, &entry->key, HASH_REMOVE, NULL);
	MemoryContextDelete(context);
}

static void
make_room(Size bytes)
{
	while (!dlist_is_empty(&by_age) &&
		   (total + bytes > MAX_BYTES || hash_get_num_entries(entries) >= MAX_ENTRIES))
		drop_entry(dlist_tail_element(Entry, age, &by_age));
}

/* What the compiled thing keeps of its source. */
static const char *
source_of(const Key *key, const void *compiled)
{
	return key->form == FORM_TEMPLATE ? ((const FfTemplate *) compiled)->source
									  : ((const FfExpr *) compiled)->source;
}

static void *
compile(const Key *key, MemoryContext context)
{
	if (key->form == FORM_TEMPLATE)
		return ff_template_compile(key->text, key->length, context);
	if (key->form == FORM_OPERANDS)
		return ff_operand_expr_compile(pnstrdup(key->text, key->length), context);
	return ff_expr_compile(pnstrdup(key->text, key->length), context);
}

static Entry *
add_entry(const Key *key)
{
	MemoryContext context = AllocSetContextCreate(
		CurrentMemoryContext, "FlowForge compiled expression", ALLOCSET_SMALL_SIZES);
	int64  outside = ff_regex_bytes;
	void  *compiled = compile(key, context);
	Size   bytes = MemoryContextMemAllocated(context, true) + (Size) (ff_regex_bytes - outside);
	Key	   own = *key;
	Entry *entry;

	make_room(bytes);
	own.text = source_of(key, compiled);
	entry = hash_search(entries, &own, HASH_ENTER, NULL);
	entry->context = context;
	entry->bytes = bytes;
	entry->compiled = compiled;
	dlist_push_head(&by_age, &entry->age);
	MemoryContextSetParent(context, cache_context);
	total += bytes;
	return entry;
}

static void *
look_up(const char *text, int length, Form form)
{
	Key	   key = {.hash = hash_bytes((const unsigned char *) text, length),
				  .form = form,
				  .depth = ff_lang_max_depth,
				  .length = length,
				  .text = text};
	Entry *entry;

	ff_lang_check_source(form == FORM_TEMPLATE ? "template" : "expression", length);
	if (entries == NULL)
		create_table();
	entry = hash_search(entries, &key, HASH_FIND, NULL);
	if (entry == NULL)
		return add_entry(&key)->compiled;
	dlist_move_head(&by_age, &entry->age);
	return entry->compiled;
}

FfExpr *
ff_expr_cached(const char *source, int length)
{
	return look_up(source, length, FORM_EXPRESSION);
}

FfExpr *
ff_operand_expr_cached(const char *source, int length)
{
	return look_up(source, length, FORM_OPERANDS);
}

FfTemplate *
ff_template_cached(const char *text, int length)
{
	return look_up(text, length, FORM_TEMPLATE);
}
