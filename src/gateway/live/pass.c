/*
 * Passes (see pass.h).
 */
#define _GNU_SOURCE
#include "live/pass.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/loop.h"

#define BUCKETS 1024
#define PASSES_PER_READ 1000

struct FfPass
{
	FfPass *next; /* in its bucket */
	int		users;
	bool	dirty;
	bool	is_spent;
	int64_t ends_at; /* of the loop's clock; 0: never */
	char	text[];
};

static FfPass *buckets[BUCKETS];
static FfPass *asked[PASSES_PER_READ]; /* by number; they are kept while they are asked about */
static int	   asked_count;
static int	   dirty_count;
static bool	   has_ended;

/* FNV-1a. */
static FfPass **
bucket_of(const char *text)
{
	uint32_t hash = 2166136261u;

	for (; *text != '\0'; text++)
		hash = (hash ^ (unsigned char) *text) * 16777619u;
	return &buckets[hash % BUCKETS];
}

static void
set_dirty(FfPass *pass, bool dirty)
{
	dirty_count += (int) dirty - (int) pass->dirty;
	pass->dirty = dirty;
}

static void
set_lifetime(FfPass *pass, int64_t lifetime)
{
	pass->ends_at = lifetime < 0 ? 0 : ff_loop_now() + lifetime;
	pass->is_spent = lifetime == 0;
	has_ended |= pass->is_spent;
}

static FfPass *
make(const char *text)
{
	size_t	 size = strlen(text) + 1;
	FfPass	*pass = calloc(1, sizeof(FfPass) + size);
	FfPass **bucket = bucket_of(text);

	if (pass == NULL)
		abort();
	memcpy(pass->text, text, size);
	pass->next = *bucket;
	*bucket = pass;
	return pass;
}

/* It may have ended between the answer that brought it and now, so it is asked about. */
FfPass *
ff_pass_take(const char *text, int64_t lifetime)
{
	FfPass *pass = *bucket_of(text);

	while (pass != NULL && strcmp(pass->text, text) != 0)
		pass = pass->next;
	if (pass == NULL)
		pass = make(text);
	pass->users++;
	set_lifetime(pass, lifetime);
	set_dirty(pass, true);
	return pass;
}

void
ff_pass_drop(FfPass *pass)
{
	FfPass **at;

	if (pass == NULL || --pass->users > 0)
		return;
	for (at = bucket_of(pass->text); *at != pass;)
		at = &(*at)->next;
	*at = pass->next;
	set_dirty(pass, false);
	free(pass);
}

const char *
ff_pass_text(const FfPass *pass)
{
	return pass->text;
}

bool
ff_pass_is_spent(const FfPass *pass)
{
	return pass != NULL &&
		   (pass->is_spent || (pass->ends_at != 0 && pass->ends_at <= ff_loop_now()));
}

void
ff_pass_ring(void)
{
	for (int bucket = 0; bucket < BUCKETS; bucket++)
	{
		for (FfPass *pass = buckets[bucket]; pass != NULL; pass = pass->next)
			set_dirty(pass, true);
	}
}

bool
ff_pass_is_dirty(void)
{
	return dirty_count > 0;
}

/* ---- asking ---- */

bool
ff_pass_send(FfLink *link)
{
	FfBuffer passes = {0};
	bool	 sent;

	for (int bucket = 0; bucket < BUCKETS && asked_count < PASSES_PER_READ; bucket++)
	{
		for (FfPass *pass = buckets[bucket]; pass != NULL && asked_count < PASSES_PER_READ;
			 pass = pass->next)
		{
			if (!pass->dirty)
				continue;
			set_dirty(pass, false);
			pass->users++;
			ff_buffer_format(&passes, "%s\"%s\"", asked_count > 0 ? "," : "{", pass->text);
			asked[asked_count++] = pass;
		}
	}
	ff_buffer_add(&passes, "}", 2);
	sent = ff_link_send(link, "passes", 1, (const char *[]){passes.data}, NULL, NULL, 0);
	ff_buffer_free(&passes);
	return sent;
}

void
ff_pass_answered(const PGresult *result)
{
	for (int row = 0; result != NULL && row < PQntuples(result); row++)
	{
		int number = atoi(PQgetvalue(result, row, 0));

		if (number > 0 && number <= asked_count)
			set_lifetime(asked[number - 1], atoll(PQgetvalue(result, row, 1)));
	}
	for (int at = 0; at < asked_count; at++)
	{
		if (result == NULL)
			set_dirty(asked[at], true);
		ff_pass_drop(asked[at]);
	}
	asked_count = 0;
}

bool
ff_pass_has_ended(void)
{
	bool ended = has_ended;

	has_ended = false;
	return ended;
}
