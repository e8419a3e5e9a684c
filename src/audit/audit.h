/*
 * audit.h - the audit log's key: with it the ends of the chains are signed.
 *
 * The file has the 32 bytes of an Ed25519 key that only the administrator has made; without one the
 * chains are not sealed. What is verified is believed when it was signed with this key or with one
 * of those that flowforge.audit_public_keys lists, never on the word of the database.
 */
#ifndef FF_AUDIT_H
#define FF_AUDIT_H

#include "postgres.h"

#include "utils/guc.h"

extern char *ff_audit_key_file;
extern char *ff_audit_public_keys;
extern int	 ff_audit_seal_interval; /* seconds */
extern int	 ff_audit_retention;	 /* days; 0: for ever */

extern bool ff_audit_check_keys(char **value, void **extra, GucSource source);

#endif
