/*
 * seal.c - sealing and opening secrets (see seal.h).
 *
 * Sealed bytes are: version 1, a nonce of 12 bytes, a tag of 16, the ciphertext.
 */
#include "postgres.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <unistd.h>

#include "storage/fd.h"
#include "utils/builtins.h"

#include "util/errors.h"
#include "util/seal.h"

#define KEY_BYTES 32
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

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void
read_key(unsigned char key[KEY_BYTES])
{
	char text[2 * KEY_BYTES + 1] = {0};
	int	 file;
	int	 length;

	if (ff_secret_key_file == NULL || *ff_secret_key_file == '\0')
		no_key("flowforge.secret_key_file is not set.");
	file = OpenTransientFile(ff_secret_key_file, O_RDONLY | PG_BINARY);
	if (file < 0)
		no_key(psprintf("\"%s\" cannot be opened: %m.", ff_secret_key_file));
	length = (int) read(file, text, 2 * KEY_BYTES);
	CloseTransientFile(file);
	for (int i = 0; i < KEY_BYTES; i++)
	{
		int high = length == 2 * KEY_BYTES ? hex_digit(text[2 * i]) : -1;
		int low = length == 2 * KEY_BYTES ? hex_digit(text[2 * i + 1]) : -1;

		if (high < 0 || low < 0)
			no_key(
				psprintf("\"%s\" does not begin with 64 hexadecimal digits.", ff_secret_key_file));
		key[i] = (unsigned char) (high * 16 + low);
	}
	OPENSSL_cleanse(text, sizeof(text));
}

/* --- sealing and opening --- */

/* One pass of the cipher over `in`; the tag is read or written. False when it does not open. */
static bool
run_cipher(bool encrypt, const unsigned char *nonce, const char *purpose, const unsigned char *in,
		   int length, unsigned char *out, unsigned char *tag)
{
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	unsigned char	key[KEY_BYTES];
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
