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
#define KEY_ID_BYTES 8

char *ff_secret_key_file = NULL;
char *ff_secret_key_file_old = NULL;

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

/* False when no key is being replaced. */
static bool
read_old_key(unsigned char key[FF_KEY_BYTES])
{
	char *problem;

	if (ff_secret_key_file_old == NULL || *ff_secret_key_file_old == '\0')
		return false;
	problem = ff_key_file_read("flowforge.secret_key_file_old", ff_secret_key_file_old, key);
	if (problem != NULL)
		no_key(problem);
	return true;
}

char *
ff_seal_key_id(void)
{
	static const char label[] = "flowforge secret key";
	unsigned char	  bytes[sizeof(label) + FF_KEY_BYTES];
	unsigned char	  digest[EVP_MAX_MD_SIZE];
	char			 *id = palloc(2 * KEY_ID_BYTES + 1);
	bool			  done;

	memcpy(bytes, label, sizeof(label));
	read_key(bytes + sizeof(label));
	done = EVP_Digest(bytes, sizeof(bytes), digest, NULL, EVP_sha256(), NULL) == 1;
	OPENSSL_cleanse(bytes, sizeof(bytes));
	if (!done)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("a key could not be named")));
	for (int i = 0; i < KEY_ID_BYTES; i++)
		snprintf(id + 2 * i, 3, "%02x", digest[i]);
	return id;
}

/* --- sealing and opening --- */

/* One pass of the cipher over `in`; the tag is read or written, the key forgotten. False when it
 * does not open. */
static bool
run_cipher(bool encrypt, unsigned char key[FF_KEY_BYTES], const unsigned char *nonce,
		   const char *purpose, const unsigned char *in, int length, unsigned char *out,
		   unsigned char *tag)
{
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	int				written;
	bool			done;

	if (cipher == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	done = EVP_CipherInit_ex(cipher, EVP_aes_256_gcm(), NULL, key, nonce, encrypt) == 1 &&
		   EVP_CipherUpdate(cipher, NULL, &written, (const unsigned char *) purpose,
							(int) strlen(purpose)) == 1 &&
		   EVP_CipherUpdate(cipher, out, &written, in, length) == 1 &&
		   (encrypt || EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) == 1) &&
		   EVP_CipherFinal_ex(cipher, out + written, &written) == 1 &&
		   (!encrypt || EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, tag) == 1);
	OPENSSL_cleanse(key, FF_KEY_BYTES);
	EVP_CIPHER_CTX_free(cipher);
	return done;
}

bytea *
ff_seal(const char *text, const char *purpose)
{
	int			   length = (int) strlen(text);
	bytea		  *sealed = palloc0(VARHDRSZ + HEAD_BYTES + length);
	unsigned char *bytes = (unsigned char *) VARDATA(sealed);
	unsigned char  key[FF_KEY_BYTES];

	SET_VARSIZE(sealed, VARHDRSZ + HEAD_BYTES + length);
	bytes[0] = VERSION;
	if (!pg_strong_random(bytes + 1, NONCE_BYTES))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("there are no random numbers")));
	read_key(key);
	if (!run_cipher(true, key, bytes + 1, purpose, (const unsigned char *) text, length,
					bytes + HEAD_BYTES, bytes + 1 + NONCE_BYTES))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("a secret could not be sealed")));
	return sealed;
}

static bool
open_with(unsigned char key[FF_KEY_BYTES], const bytea *sealed, const char *purpose, char *text)
{
	int			   length = (int) VARSIZE_ANY_EXHDR(sealed) - HEAD_BYTES;
	unsigned char *bytes = (unsigned char *) VARDATA_ANY(sealed);

	return length >= 0 && bytes[0] == VERSION &&
		   run_cipher(false, key, bytes + 1, purpose, bytes + HEAD_BYTES, length,
					  (unsigned char *) text, bytes + 1 + NONCE_BYTES);
}

/* Says whether it was sealed with the key of today. */
static char *
open_sealed(const bytea *sealed, const char *purpose, bool *current)
{
	char		 *text = palloc0(Max((int) VARSIZE_ANY_EXHDR(sealed) - HEAD_BYTES, 0) + 1);
	unsigned char key[FF_KEY_BYTES];

	read_key(key);
	*current = open_with(key, sealed, purpose, text);
	if (!*current && !(read_old_key(key) && open_with(key, sealed, purpose, text)))
		ereport(ERROR, (errcode(FF_ERR_SECRET_SEALED), errmsg("a stored secret does not open"),
						errdetail("It was sealed with another key, or for something else than %s.",
								  purpose),
						errhint("Restore the key in flowforge.secret_key_file, or name its file in "
								"flowforge.secret_key_file_old, or store the secret again.")));
	OPENSSL_cleanse(key, sizeof(key));
	return text;
}

char *
ff_unseal(const bytea *sealed, const char *purpose)
{
	bool current;

	return open_sealed(sealed, purpose, &current);
}

bytea *
ff_reseal(const bytea *sealed, const char *purpose)
{
	bool   current;
	char  *text = open_sealed(sealed, purpose, &current);
	bytea *again = current ? NULL : ff_seal(text, purpose);

	OPENSSL_cleanse(text, strlen(text));
	return again;
}
