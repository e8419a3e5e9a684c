/*
 * sign.c - signatures of the audit log's seals, by Ed25519 (see audit.h).
 */
#include "postgres.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "fmgr.h"
#include "utils/builtins.h"

#include "audit/audit.h"
#include "util/errors.h"
#include "util/keyfile.h"

#define SIGNATURE_BYTES 64

char *ff_audit_key_file = NULL;
char *ff_audit_public_keys = NULL;
int	  ff_audit_seal_interval = 60;
int	  ff_audit_retention = 0;

/* --- the keys --- */

static EVP_PKEY *
private_key(void)
{
	unsigned char bytes[FF_KEY_BYTES];
	char		 *problem = ff_key_file_read("flowforge.audit_key_file", ff_audit_key_file, bytes);
	EVP_PKEY	 *key = NULL;

	if (problem == NULL)
	{
		key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, bytes, FF_KEY_BYTES);
		OPENSSL_cleanse(bytes, sizeof(bytes));
		if (key == NULL)
			problem = "The library does not make a key of it.";
	}
	if (key == NULL)
		ereport(
			ERROR,
			(errcode(FF_ERR_AUDIT_KEY), errmsg("there is no key to seal the audit log with"),
			 errdetail("%s", problem),
			 errhint(
				 "Make one that only the server's user can read, as 64 hexadecimal digits: openssl rand -hex 32 > FILE; "
				 "then set flowforge.audit_key_file.")));
	return key;
}

static bool
has_key_file(void)
{
	return ff_audit_key_file != NULL && *ff_audit_key_file != '\0';
}

static void
public_key(unsigned char bytes[FF_KEY_BYTES])
{
	EVP_PKEY *key = private_key();
	size_t	  length = FF_KEY_BYTES;
	bool	  done = EVP_PKEY_get_raw_public_key(key, bytes, &length) == 1;

	EVP_PKEY_free(key);
	if (!done)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("the audit key has no public half")));
}

/* The next key of a list, or false at its end. */
static bool
next_key(const char **list, const char **word, int *length)
{
	*list += strspn(*list, ", \t");
	*word = *list;
	*length = (int) strcspn(*list, ", \t");
	*list += *length;
	return *length > 0;
}

bool
ff_audit_check_keys(char **value, void **extra, GucSource source)
{
	unsigned char bytes[FF_KEY_BYTES];
	const char	 *list = *value;
	const char	 *word;
	int			  length;

	while (next_key(&list, &word, &length))
	{
		if (!ff_hex_read(word, length, bytes, FF_KEY_BYTES))
		{
			GUC_check_errdetail("\"%.*s\" is not the public half of an audit key.", length, word);
			GUC_check_errhint(
				"select flowforge.audit_public_key() gives it: 64 hexadecimal digits.");
			return false;
		}
	}
	return true;
}

static bool
is_trusted(const unsigned char key[FF_KEY_BYTES])
{
	unsigned char own[FF_KEY_BYTES];
	const char	 *list = ff_audit_public_keys != NULL ? ff_audit_public_keys : "";
	const char	 *word;
	int			  length;

	while (next_key(&list, &word, &length))
	{
		if (ff_hex_read(word, length, own, FF_KEY_BYTES) && memcmp(own, key, FF_KEY_BYTES) == 0)
			return true;
	}
	if (!has_key_file())
		return false;
	public_key(own);
	return memcmp(own, key, FF_KEY_BYTES) == 0;
}

/* --- SQL --- */

PG_FUNCTION_INFO_V1(ff_audit_public_key);
Datum
ff_audit_public_key(PG_FUNCTION_ARGS)
{
	bytea *key = palloc(VARHDRSZ + FF_KEY_BYTES);

	if (!has_key_file())
		PG_RETURN_NULL();
	SET_VARSIZE(key, VARHDRSZ + FF_KEY_BYTES);
	public_key((unsigned char *) VARDATA(key));
	PG_RETURN_BYTEA_P(key);
}

PG_FUNCTION_INFO_V1(ff_audit_sign);
Datum
ff_audit_sign(PG_FUNCTION_ARGS)
{
	text	   *message = PG_GETARG_TEXT_PP(0);
	bytea	   *signature = palloc(VARHDRSZ + SIGNATURE_BYTES);
	EVP_PKEY   *key = private_key();
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t		length = SIGNATURE_BYTES;
	bool		done;

	SET_VARSIZE(signature, VARHDRSZ + SIGNATURE_BYTES);
	done = context != NULL && EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
		   EVP_DigestSign(context, (unsigned char *) VARDATA(signature), &length,
						  (const unsigned char *) VARDATA_ANY(message),
						  VARSIZE_ANY_EXHDR(message)) == 1 &&
		   length == SIGNATURE_BYTES;
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	if (!done)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("the audit log could not be sealed")));
	PG_RETURN_BYTEA_P(signature);
}

/* (message, signature, public key): null when the key is none that is trusted. */
PG_FUNCTION_INFO_V1(ff_audit_signed);
Datum
ff_audit_signed(PG_FUNCTION_ARGS)
{
	text  *message = PG_GETARG_TEXT_PP(0);
	bytea *signature = PG_GETARG_BYTEA_PP(1);
	bytea *public = PG_GETARG_BYTEA_PP(2);
	const unsigned char *bytes = (const unsigned char *) VARDATA_ANY(public);
	EVP_PKEY			*key;
	EVP_MD_CTX			*context;
	bool				 valid;

	if (VARSIZE_ANY_EXHDR(public) != FF_KEY_BYTES || !is_trusted(bytes))
		PG_RETURN_NULL();
	key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, bytes, FF_KEY_BYTES);
	context = EVP_MD_CTX_new();
	valid =
		key != NULL && context != NULL &&
		EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
		EVP_DigestVerify(context, (const unsigned char *) VARDATA_ANY(signature),
						 VARSIZE_ANY_EXHDR(signature), (const unsigned char *) VARDATA_ANY(message),
						 VARSIZE_ANY_EXHDR(message)) == 1;
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	PG_RETURN_BOOL(valid);
}
