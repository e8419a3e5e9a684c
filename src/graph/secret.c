/*
 * secret.c - texts of a config that look like secrets: a definition is kept, shown and exported.
 */
#include "postgres.h"

#include "graph/validate.h"
#include "lang/walk.h"

#define LEAST_BYTES 8

/* How keys of well-known services begin, and how long they are at the least. */
static const struct
{
	const char *prefix;
	int			length;
} shapes[] = {
	{"sk-", 20},	{"sk_live_", 16}, {"rk_live_", 16},	   {"sk_test_", 16},	  {"whsec_", 16},
	{"ghp_", 20},	{"gho_", 20},	  {"ghs_", 20},		   {"github_pat_", 20},	  {"glpat-", 16},
	{"xoxb-", 16},	{"xoxp-", 16},	  {"xoxa-", 16},	   {"AKIA", 20},		  {"ASIA", 20},
	{"AIza", 30},	{"SG.", 30},	  {"npm_", 20},		   {"signkey-prod-", 16}, {"Bearer ", 20},
	{"Basic ", 14}, {"eyJ", 40},	  {"-----BEGIN ", 20},
};

/* What the name of a secret has in it, without regard to case, - and _. */
static const char *const names[] = {"password",	 "passwd",		"passphrase",	"secret",
									"apikey",	 "accesskey",	"privatekey",	"accesstoken",
									"authtoken", "bearertoken", "authorization"};

static bool
is_name_of_secret(const char *name, int length)
{
	char plain[64];
	int	 size = 0;

	for (int i = 0; i < length && size < (int) sizeof(plain) - 1; i++)
	{
		if (name[i] != '-' && name[i] != '_')
			plain[size++] = pg_ascii_tolower((unsigned char) name[i]);
	}
	plain[size] = '\0';
	for (int i = 0; i < (int) lengthof(names); i++)
	{
		if (strstr(plain, names[i]) != NULL)
			return true;
	}
	return strcmp(plain, "token") == 0;
}

static bool
has_shape_of_secret(const char *text, int length)
{
	for (int i = 0; i < (int) lengthof(shapes); i++)
	{
		int size = (int) strlen(shapes[i].prefix);

		if (length >= shapes[i].length && strncmp(text, shapes[i].prefix, size) == 0 &&
			(strcmp(shapes[i].prefix, "-----BEGIN ") == 0 ||
			 memchr(text + size, ' ', length - size) == NULL))
			return true;
	}
	return false;
}

/* user:password@ in a URL. */
static bool
has_password(const char *text, int length)
{
	const char *host = memmem(text, length, "://", 3);
	const char *end = text + length;
	const char *colon = NULL;

	for (const char *c = host != NULL ? host + 3 : end; c < end && strchr("/?# ", *c) == NULL; c++)
	{
		if (*c == ':' && colon == NULL)
			colon = c;
		if (*c == '@')
			return colon != NULL && c - colon > 1;
	}
	return false;
}

void
ff_check_secrets(FfCheck *check, const FfNode *node)
{
	FfWalk walk;
	bool   named = false;

	ff_walk_begin(&walk, node->config);
	while (ff_walk_next(&walk))
	{
		const char *text = walk.part.val.string.val;
		int			length = walk.part.val.string.len;
		bool		is_text =
			(walk.token == WJB_VALUE || walk.token == WJB_ELEM) && walk.part.type == jbvString;

		if (walk.token == WJB_KEY)
			named = is_name_of_secret(text, length);
		if (is_text && length >= LEAST_BYTES && !ff_walk_at_template(&walk) &&
			((named && walk.token == WJB_VALUE) || has_shape_of_secret(text, length) ||
			 has_password(text, length)))
			ff_check_fault(
				check, node, FF_FAULT_SECRET_LITERAL, ff_walk_path(&walk),
				psprintf("node \"%s\" has what looks like a secret in its config", node->id),
				"Keep it as a secret and write {{ secret.NAME }}.");
	}
	ff_walk_end(&walk);
}
