/*
 * Reads a directory into memory. NAME.gz beside NAME is what NAME is when compressed, and no file
 * of its own; what lends itself to it and has none is compressed here.
 */
#define _GNU_SOURCE
#include "reply/static_read.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "wire/gzip.h"

#define MOST_FILES 10000
#define MOST_BYTES (256u * 1024 * 1024)
#define DEEPEST 16

/* Nothing from elsewhere, no plug-ins, no frame around us. Style attributes are what editors of
 * graphs are made of. */
#define CONTENT_SECURITY_POLICY                                                      \
	"default-src 'self'; img-src 'self' data: blob:; font-src 'self' data:; "        \
	"style-src 'self' 'unsafe-inline'; worker-src 'self' blob:; object-src 'none'; " \
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

static const struct
{
	const char *suffix;
	const char *type;
} types[] = {
	{".html", "text/html; charset=utf-8"},
	{".js", "text/javascript; charset=utf-8"},
	{".mjs", "text/javascript; charset=utf-8"},
	{".css", "text/css; charset=utf-8"},
	{".json", "application/json"},
	{".map", "application/json"},
	{".webmanifest", "application/manifest+json"},
	{".txt", "text/plain; charset=utf-8"},
	{".md", "text/markdown; charset=utf-8"},
	{".xml", "application/xml"},
	{".svg", "image/svg+xml"},
	{".png", "image/png"},
	{".jpg", "image/jpeg"},
	{".jpeg", "image/jpeg"},
	{".gif", "image/gif"},
	{".webp", "image/webp"},
	{".avif", "image/avif"},
	{".ico", "image/x-icon"},
	{".woff", "font/woff"},
	{".woff2", "font/woff2"},
	{".ttf", "font/ttf"},
	{".wasm", "application/wasm"},
	{".pdf", "application/pdf"},
};

static bool read_directory(FfFiles *files, int fd, const char *path, int depth);

static bool
ends_with(const char *text, const char *suffix)
{
	size_t length = strlen(text);
	size_t wanted = strlen(suffix);

	return length > wanted && strcmp(text + length - wanted, suffix) == 0;
}

static const char *
content_type(const char *name)
{
	for (size_t at = 0; at < sizeof(types) / sizeof(types[0]); at++)
	{
		if (ends_with(name, types[at].suffix))
			return types[at].type;
	}
	return "application/octet-stream";
}

/* Tools that build pages put a hash of the content into such names ("assets/index-B2x_9fQa.js"):
 * another content has another name. */
static bool
never_changes(const char *name)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	const char *base = strrchr(name, '/');
	const char *dot = base != NULL ? strchr(base, '.') : NULL;

	return dot != NULL && (strncmp(name, "assets/", 7) == 0 || strstr(name, "/assets/") != NULL) &&
		   dot - base > 9 && dot[-9] == '-' && strspn(dot - 8, letters) == 8;
}

/* ---- one file ---- */

/* Content and encoding are both in the tag: another encoding is another representation (RFC 9110
 * section 8.8.3.3). */
static void
make_etag(FfContent *content, bool is_gzip)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char		 *at = content->etag;

	if (EVP_Digest(content->bytes, content->length, digest, NULL, EVP_sha256(), NULL) != 1)
		abort();
	*at++ = '"';
	for (int byte = 0; byte < 16; byte++)
		at += sprintf(at, "%02x", digest[byte]);
	strcpy(at, is_gzip ? "-z\"" : "\"");
}

static void
make_fields(FfContent *content, const char *name, bool is_gzip, bool varies)
{
	if (asprintf(&content->fields,
				 "content-type: %s\r\netag: %s\r\ncache-control: %s\r\n%s%s"
				 "content-security-policy: " CONTENT_SECURITY_POLICY "\r\n"
				 "x-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\n",
				 content_type(name), content->etag,
				 never_changes(name) ? "public, max-age=31536000, immutable" : "no-cache",
				 is_gzip ? "content-encoding: gzip\r\n" : "",
				 varies ? "vary: accept-encoding\r\n" : "") < 0)
		abort();
}

/* The compressed kind of a file that has none, unless it is not worth it. */
static void
compress_file(FfFile *file)
{
	FfBuffer out = {0};

	if (file->plain.length < FF_GZIP_LEAST || !ff_gzip_suits(content_type(file->name)) ||
		!ff_gzip(file->plain.bytes, file->plain.length, &out))
		return;
	if (ff_buffer_length(&out) < file->plain.length / 10 * 9)
	{
		file->gzip.length = ff_buffer_length(&out);
		file->gzip.bytes = malloc(file->gzip.length);
		if (file->gzip.bytes == NULL)
			abort();
		memcpy(file->gzip.bytes, ff_buffer_at(&out), file->gzip.length);
	}
	ff_buffer_free(&out);
}

static bool
complain(const char *path, const char *name, const char *why)
{
	ff_log("error", "cannot read %s%s: %s", path, name, why);
	return false;
}

/* Reads `length` bytes that a file should have. */
static bool
read_bytes(int fd, FfContent *content, size_t length)
{
	content->bytes = malloc(length + 1);
	if (content->bytes == NULL)
		return false;
	while (content->length < length)
	{
		ssize_t got = read(fd, content->bytes + content->length, length - content->length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return false;
		if (got == 0)
			break;
		content->length += (size_t) got;
	}
	return true;
}

static bool
read_file(FfFiles *files, int fd, const char *path, const char *name, size_t length)
{
	FfFile *file;
	bool	is_read;

	if (files->count == MOST_FILES)
		return complain(path, name, "there are more than 10,000 files");
	if (length > MOST_BYTES - files->size)
		return complain(path, name, "all files together have more than 256 MB");
	if ((files->count & (files->count - 1)) == 0) /* doubles at powers of two */
	{
		files->file = realloc(files->file, sizeof(FfFile) * (size_t) (files->count * 2 + 1));
		if (files->file == NULL)
			abort();
	}
	file = &files->file[files->count++];
	memset(file, 0, sizeof(*file));
	if (asprintf(&file->name, "%s%s", path, name) < 0)
		abort();
	is_read = read_bytes(fd, &file->plain, length);
	files->size += file->plain.length;
	return is_read || complain(path, name, strerror(errno));
}

/* ---- the directory ---- */

static bool
read_entry(FfFiles *files, int directory, const char *path, const char *name, int depth)
{
	struct stat status;
	char	   *below;
	bool		is_read = true;
	int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return errno == ELOOP || errno == ENXIO || complain(path, name, strerror(errno));
	if (fstat(fd, &status) != 0)
		is_read = complain(path, name, strerror(errno));
	else if (S_ISREG(status.st_mode))
		is_read = read_file(files, fd, path, name, (size_t) status.st_size);
	else if (S_ISDIR(status.st_mode))
	{
		if (asprintf(&below, "%s%s/", path, name) < 0)
			abort();
		is_read = read_directory(files, fd, below, depth + 1);
		free(below);
		return is_read;
	}
	close(fd);
	return is_read;
}

/* Takes over the descriptor. */
static bool
read_directory(FfFiles *files, int fd, const char *path, int depth)
{
	DIR			  *directory = depth <= DEEPEST ? fdopendir(fd) : NULL;
	struct dirent *entry;
	bool		   is_read = true;

	if (directory == NULL)
	{
		close(fd);
		return complain(path, "", depth > DEEPEST ? "more than 16 levels" : strerror(errno));
	}
	while (is_read && (entry = readdir(directory)) != NULL)
	{
		if (entry->d_name[0] != '.')
			is_read = read_entry(files, fd, path, entry->d_name, depth);
	}
	closedir(directory);
	return is_read;
}

static int
compare(const void *a, const void *b)
{
	return strcmp(((const FfFile *) a)->name, ((const FfFile *) b)->name);
}

static void
free_content(FfContent *content)
{
	free(content->bytes);
	free(content->fields);
}

/* NAME.gz becomes the compressed kind of NAME; names stay sorted. */
static void
pair(FfFiles *files)
{
	int kept = 0;

	for (int at = 0; at < files->count; at++)
	{
		FfFile *file = &files->file[at];
		FfFile *base = NULL;

		if (ends_with(file->name, ".gz"))
		{
			/* What is before it has moved up already, and a name comes before its NAME.gz. */
			FfFiles before = {files->file, kept, 0};

			file->name[strlen(file->name) - 3] = '\0';
			base = (FfFile *) ff_files_find(&before, file->name);
			file->name[strlen(file->name)] = '.';
		}
		if (base == NULL)
			files->file[kept++] = *file;
		else
		{
			base->gzip = file->plain;
			free(file->name);
		}
	}
	files->count = kept;
}

bool
ff_files_read(FfFiles *files, const char *directory)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	memset(files, 0, sizeof(*files));
	if (fd < 0)
		return complain(directory, "", strerror(errno));
	if (!read_directory(files, fd, "", 0))
	{
		ff_files_free(files);
		return false;
	}
	if (files->count > 0)
		qsort(files->file, (size_t) files->count, sizeof(FfFile), compare);
	pair(files);
	for (int at = 0; at < files->count; at++)
	{
		FfFile *file = &files->file[at];

		if (file->gzip.bytes == NULL)
			compress_file(file);
		make_etag(&file->plain, false);
		make_fields(&file->plain, file->name, false, file->gzip.bytes != NULL);
		if (file->gzip.bytes == NULL)
			continue;
		make_etag(&file->gzip, true);
		make_fields(&file->gzip, file->name, true, true);
	}
	return true;
}

void
ff_files_free(FfFiles *files)
{
	for (int at = 0; at < files->count; at++)
	{
		free(files->file[at].name);
		free_content(&files->file[at].plain);
		free_content(&files->file[at].gzip);
	}
	free(files->file);
	memset(files, 0, sizeof(*files));
}

const FfFile *
ff_files_find(const FfFiles *files, const char *name)
{
	const FfFile wanted = {.name = (char *) name};

	if (files->count == 0)
		return NULL;
	return bsearch(&wanted, files->file, (size_t) files->count, sizeof(FfFile), compare);
}
