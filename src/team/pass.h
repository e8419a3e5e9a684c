/*
 * pass.h - a principal as a text, for what outlasts the request that showed a credential: a live
 * stream, a ticket.
 *
 * A pass says what the principal was known by, not what it may: whoever comes with it is looked up
 * again, so a key that was revoked, or a user who was disabled or demoted, has a pass that is worth
 * as much. It says no credential: nobody can sign in with what is in it. The text is
 * "EXPIRES TENANT CREDENTIAL": microseconds since 2000 (0: never), the tenant (0: the session's),
 * and one of "key:SHA-256", "user:ULID:VERSION", "app:SHA-256", "dev".
 */
#ifndef FF_PASS_H
#define FF_PASS_H

#include "postgres.h"

#include "utils/uuid.h"

#include "team/principal.h"
#include "util/sign.h"

#define FF_PASS_SIZE 128

/* The pass of a principal; "" when it has no credential that can be looked up again. */
extern void ff_pass_write(const FfPrincipal *who, char pass[FF_PASS_SIZE]);

/* The credentials of passes. */
extern void ff_pass_of_key(const uint8 digest[FF_DIGEST], char credential[FF_CREDENTIAL_SIZE]);
extern void ff_pass_of_user(const pg_uuid_t *user_id, int32 version,
							char credential[FF_CREDENTIAL_SIZE]);
extern void ff_pass_of_app(const uint8 digest[FF_DIGEST], char credential[FF_CREDENTIAL_SIZE]);
extern void ff_pass_of_dev(char credential[FF_CREDENTIAL_SIZE]);

/*
 * Who comes with a pass of a key or a user; false when it is worth nothing any more. Passes of
 * others are the business of `other`, which finds the principal of what follows "app:" (or of "dev"
 * by NULL).
 */
typedef bool (*FfPassOther)(const uint8 *digest, FfPrincipal *who);
extern bool ff_pass_read(const char *pass, FfPassOther other, FfPrincipal *who);

#endif
