/*
 * keyfile.c - reading keys from files (see keyfile.h).
 */
#include "postgres.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <unistd.h>

#include "storage/fd.h"

#include "util/keyfile.h"

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
ff_hex_read(const char *text, int length, unsigned char *bytes, int size)
{
	for (int i = 0; i < size; i++)
	{
		int high = length == 2 * size ? hex_digit(text[2 * i]) : -1;
		int low = length == 2 * size ? hex_digit(text[2 * i + 1]) : -1;

		if (high < 0 || low < 0)
			return false;
		bytes[i] = (unsigned char) (high * 16 + low);
	}
	return true;
}

char *
ff_key_file_read(const char *setting, const char *path, unsigned char key[FF_KEY_BYTES])
{
	char text[2 * FF_KEY_BYTES + 1] = {0};
	int	 file;
	int	 length;
	bool read_well;

	if (path == NULL || *path == '\0')
		return psprintf("%s is not set.", setting);
	file = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	if (file < 0)
		return psprintf("\"%s\" cannot be opened: %m.", path);
	length = (int) read(file, text, 2 * FF_KEY_BYTES);
	CloseTransientFile(file);
	read_well = ff_hex_read(text, length, key, FF_KEY_BYTES);
	OPENSSL_cleanse(text, sizeof(text));
	return read_well ? NULL : psprintf("\"%s\" does not begin with 64 hexadecimal digits.", path);
}
