/*
 * keyfile.h - keys that are in files of the server, never in the database: 64 hexadecimal digits.
 */
#ifndef FF_KEYFILE_H
#define FF_KEYFILE_H

#include "postgres.h"

#define FF_KEY_BYTES 32

/* Reads the key of the file that a setting names. NULL when it is there, else what is wrong, as a
 * sentence. */
extern char *ff_key_file_read(const char *setting, const char *path,
							  unsigned char key[FF_KEY_BYTES]);

/* Two hexadecimal digits a byte; false when it is not exactly `size` bytes. */
extern bool ff_hex_read(const char *text, int length, unsigned char *bytes, int size);

#endif
