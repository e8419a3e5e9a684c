/*
 * Answers the files of a directory. A page that shows views of its own at paths of its own has one
 * file: what is below the prefix, looks like no file and is asked for as a page is index.html.
 */
#define _GNU_SOURCE
#include "reply/static.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "reply/static_read.h"
#include "wire/gzip.h"

#define LONGEST_NAME 1024

static const char *directory; /* NULL: none */
static const char *prefix;
static FfFiles	   files;

bool
ff_static_open(const char *from, const char *below)
{
	FfFiles read;

	if (from == NULL)
		return true;
	if (!ff_files_read(&read, from))
		return false;
	ff_files_free(&files);
	files = read;
	directory = from;
	prefix = below;
	ff_log("info", "%d files of %s are answered below %s/", files.count, directory, prefix);
	return true;
}

void
ff_static_reload(void)
{
	if (directory != NULL && !ff_static_open(directory, prefix))
		ff_log("warning", "the files read before are still answered");
}

void
ff_static_close(void)
{
	ff_files_free(&files);
	directory = NULL;
}

/* The name that a path asks for, its percent-encoding undone. False when no file can have it. */
static bool
decode(const char *path, char *name, size_t room)
{
	size_t length = 0;

	while (*path != '\0' && length + 1 < room)
	{
		unsigned int letter = (unsigned char) *path++;

		if (letter == '%')
		{
			if (!isxdigit((unsigned char) path[0]) || !isxdigit((unsigned char) path[1]) ||
				sscanf(path, "%2x", &letter) != 1 || letter == '\0')
				return false;
			path += 2;
		}
		name[length++] = (char) letter;
	}
	name[length] = '\0';
	return *path == '\0';
}

/* What is below the prefix, without its slash; NULL when the path is not. "" is index.html. */
static const char *
below_prefix(const char *path)
{
	size_t length = strlen(prefix);

	return strncmp(path, prefix, length) == 0 && path[length] == '/' ? path + length + 1 : NULL;
}

/* A browser that opens a page takes HTML; a script that misses a file does not say so. */
static bool
asks_for_page(const FfHttpHead *head, const char *name)
{
	const char *accept = ff_http_header(head, "accept");
	const char *last = strrchr(name, '/');

	return strchr(last != NULL ? last : name, '.') == NULL && accept != NULL &&
		   strstr(accept, "text/html") != NULL;
}

/* Whether a list of tags has this one, by the weak comparison that If-None-Match asks for. */
static bool
has_tag(const char *list, const char *etag)
{
	size_t length = strlen(etag);

	while (list != NULL && *list != '\0')
	{
		list += strspn(list, " \t,");
		if (*list == '*')
			return true;
		if (strncmp(list, "W/", 2) == 0)
			list += 2;
		if (strncmp(list, etag, length) == 0 && strchr(" \t,", list[length]) != NULL)
			return true;
		list += strcspn(list, ",");
	}
	return false;
}

static int
answer_content(FfBuffer *out, const FfReplyTo *to, const FfHttpHead *head, const FfContent *content)
{
	int status = has_tag(ff_http_header(head, "if-none-match"), content->etag) ? 304 : 200;

	ff_reply_content(out, to, status, content->fields, content->bytes, content->length);
	return status;
}

/* A path that is a directory's must end with a slash, or what a page refers to would be beside it.
 */
static int
redirect(FfBuffer *out, const FfReplyTo *to)
{
	char fields[LONGEST_NAME];

	snprintf(fields, sizeof(fields), "location: %s/\r\ncache-control: no-cache\r\n", prefix);
	ff_reply_content(out, to, 308, fields, "", 0);
	return 308;
}

int
ff_static_answer(FfBuffer *out, const FfReplyTo *to, const FfHttpHead *head)
{
	const FfFile *file;
	const char	 *below;
	char		  name[LONGEST_NAME];

	if (directory == NULL || (strcmp(head->method, "GET") != 0 && !to->is_head))
		return 0;
	if (prefix[0] != '\0' && strcmp(head->path, prefix) == 0)
		return redirect(out, to);
	below = below_prefix(head->path);
	if (below == NULL || !decode(below, name, sizeof(name)))
		return 0;
	file = ff_files_find(&files, name[0] == '\0' ? "index.html" : name);
	if (file == NULL && prefix[0] != '\0' && asks_for_page(head, name))
		file = ff_files_find(&files, "index.html");
	if (file == NULL && prefix[0] == '\0')
		return 0;
	if (file == NULL)
	{
		ff_reply_problem(out, to, 404, "not_found", "There is no such file.", NULL);
		return 404;
	}
	if (file->gzip.bytes != NULL && ff_gzip_accepted(ff_http_header(head, "accept-encoding")))
		return answer_content(out, to, head, &file->gzip);
	return answer_content(out, to, head, &file->plain);
}
