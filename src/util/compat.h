/*
 * compat.h - every difference between PostgreSQL 15 and 18 that this extension meets, in one place.
 */
#ifndef FF_COMPAT_H
#define FF_COMPAT_H

#include "postgres.h"

#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/resowner.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM < 150000
#error "FlowForge needs PostgreSQL 15 or later"
#endif

/* 17 gave wait event sets to resource owners; a long-lived one has none. */
#if PG_VERSION_NUM >= 170000
#define ff_create_wait_event_set(n) CreateWaitEventSet(NULL, (n))
#else
#define ff_create_wait_event_set(n) CreateWaitEventSet(TopMemoryContext, (n))
#endif

/* 18 calls bytes bytes. */
#if PG_VERSION_NUM >= 180000
#define ff_b64_encode(from, length, to, size) \
	pg_b64_encode((const uint8 *) (from), (length), (to), (size))
#define ff_b64_decode(from, length, to, size) \
	pg_b64_decode((from), (length), (uint8 *) (to), (size))
#else
#define ff_b64_encode pg_b64_encode
#define ff_b64_decode pg_b64_decode
#endif

/* 16 keeps what the check hooks of settings make in a context of its own. */
#if PG_VERSION_NUM >= 160000
#define ff_guc_malloc(size) guc_malloc(LOG, (size))
#define ff_guc_free(pointer) guc_free(pointer)
#else
#define ff_guc_malloc(size) malloc(size)
#define ff_guc_free(pointer) free(pointer)
#endif

/* 17 lets the caller bring the memory of a JSON lexer. */
#if PG_VERSION_NUM >= 170000
#define ff_json_lex_context(text, length) \
	makeJsonLexContextCstringLen(NULL, (text), (length), PG_UTF8, true)
#else
#define ff_json_lex_context(text, length) \
	makeJsonLexContextCstringLen((text), (length), PG_UTF8, true)
#endif

/* 16 finds the map from a partition's parent when it is asked for, and tells inserts into indexes
 * whether only summaries are meant. */
#if PG_VERSION_NUM >= 160000
#define ff_root_to_child_map(target, estate) ExecGetRootToChildMap((target), (estate))
#define ff_insert_index_tuples(target, slot, estate) \
	ExecInsertIndexTuples((target), (slot), (estate), false, false, NULL, NIL, false)
#else
#define ff_root_to_child_map(target, estate) ((target)->ri_RootToPartitionMap)
#define ff_insert_index_tuples(target, slot, estate) \
	ExecInsertIndexTuples((target), (slot), (estate), false, false, NULL, NIL)
#endif

#endif
