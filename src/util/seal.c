/*
 * seal.c - sealing and opening secrets (see seal.h).
 *
 * Sealed bytes are: version 1, a nonce of 12 bytes, a tag of 16, the ciphertext.
 */
#include "postgres.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "utils/builtins.h"

#include "util/errors.h"
#include "util/keyfile.h"
#include "util/seal.h"

#define NONCE_BYTES 12
#define TAG_BYTES 16
#define HEAD_BYTES (1 + NONCE_BYTES + TAG_BYTES)
#define VERSION 1

char *ff_secret_key_file = NULL;

/* --- the key --- */

static void
no_key(const char *detail)
{
	ereport(
		ERROR,
		(errcode(FF_ERR_SECRET_KEY), errmsg("there is no key to seal secrets with"),
		 errdetail("%s", detail),
		 errhint(
			 "Make one that only the server's user can read, as 64 hexadecimal digits: openssl rand -hex 32 > FILE; "
			 "then set flowforge.secret_key_file.")));
}

static void
read_key(unsigned char key[FF_KEY_BYTES])
{
	char *problem = ff_key_file_read("flowforge.secret_key_file", ff_secret_key_file, key);

	if (problem != NULL)
		no_key(problem);
}

/* --- sealing and opening --- */

/* One pass of the cipher over `in`; the tag is read or written. False when it does not open. */
static bool
run_cipher(bool encrypt, const unsigned char *nonce, const char *purpose, const unsigned char *in,
		   int length, unsigned char *out, unsigned char *tag)
{
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	unsigned char	key[FF_KEY_BYTES];
	int				written;
	bool			done;

	if (cipher == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	PG_TRY();
	{
		read_key(key);
	}
	PG_CATCH();
	{
		EVP_CIPHER_CTX_free(cipher);
		PG_RE_THROW();
	}
	PG_END_TRY();
	done = EVP_CipherInit_ex(cipher, EVP_aes_256_gcm(), NULL, key, nonce, encrypt) == 1 &&
		   EVP_CipherUpdate(cipher, NULL, &written, (const unsigned char *) purpose,
							(int) strlen(purpose)) == 1 &&
		   EVP_CipherUpdate(cipher, out, &written, in, length) == 1 &&
		   (encrypt || EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) == 1) &&
		   EVP_CipherFinal_ex(cipher, out + written, &written) == 1 &&
		   (!encrypt || EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, tag) == 1);
	OPENSSL_cleanse(key, sizeof(key));
	EVP_CIPHER_CTX_free(cipher);
	return done;
}

bytea *
ff_seal(const char *text, const char *purpose)
{
	int			   length = (int) strlen(text);
	bytea		  *sealed = palloc0(VARHDRSZ + HEAD_BYTES + length);
	unsigned char *bytes = (unsigned char *) VARDATA(sealed);

	SET_VARSIZE(sealed, VARHDRSZ + HEAD_BYTES + length);
	bytes[0] = VERSION;
	if (!pg_strong_random(bytes + 1, NONCE_BYTES))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("there are no random numbers")));
	if (!run_cipher(true, bytes + 1, purpose, (const unsigned char *) text, length,
					bytes + HEAD_BYTES, bytes + 1 + NONCE_BYTES))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("a secret could not be sealed")));
	return sealed;
}

char *
ff_unseal(const bytea *sealed, const char *purpose)
{
	int			   length = (int) VARSIZE_ANY_EXHDR(sealed) - HEAD_BYTES;
	unsigned char *bytes = (unsigned char *) VARDATA_ANY(sealed);
	char		  *text = palloc0(Max(length, 0) + 1);

	if (length < 0 || bytes[0] != VERSION ||
		!run_cipher(false, bytes + 1, purpose, bytes + HEAD_BYTES, length, (unsigned char *) text,
					bytes + 1 + NONCE_BYTES))
		ereport(
			ERROR,
			(errcode(FF_ERR_SECRET_SEALED), errmsg("a stored secret does not open"),
			 errdetail("It was sealed with another key, or for something else than %s.", purpose),
			 errhint("Restore the key in flowforge.secret_key_file, or store the secret again.")));
	return text;
}
