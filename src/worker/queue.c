/*
 * queue.c - the runs that are ready and not yet in memory, and who of them comes next (see
 * executor.h).
 *
 * Each tenant has a line. It holds the ids that come first: urgent ones, and then by rank, a
 * bounded number of them. What there is beyond is in rows: for each of the two orders in which rows
 * are read (backlog.h) the line knows from where on it has not seen them, and what it has no room
 * for moves that place back. So a line may give its first id when that comes before both places;
 * otherwise it looks into rows first. Hints of what is beyond are dropped, for rows will tell.
 *
 * Between tenants it is fair.h's order. Executors have room for so many runs; a tenant that has
 * little in memory has room of its own beside, so runs that wait for a slow app keep nobody out.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "team/team.h"
#include "util/id.h"
#include "util/json.h"
#include "util/table.h"
#include "worker/backlog.h"
#include "worker/call.h"
#include "worker/executor.h"
#include "worker/fair.h"

#define LINES_ROOM 20000 /* ids of all lines, while lines are few */
#define LINE_LEAST 16	 /* and of each, however many lines there are */
#define LINE_MOST 1024
#define LOOK_ROWS 1024 /* of all slots, in a look into rows */
#define LOOKS_A_TURN 64
#define LOOK_AGAIN_US USECS_PER_SEC /* after one that failed */

/* A run that waits in a line. */
typedef struct Place
{
	TimestampTz rank; /* of an urgent one, its number, below all ranks */
	bool		ranked;
	pg_uuid_t	run_id;
} Place;

/* From where on rows have not been seen. */
typedef struct Rest
{
	bool		more;
	TimestampTz rank;
	pg_uuid_t	run_id;
	int			limit; /* rows of a slot to be looked at */
} Rest;

typedef struct Line
{
	int32  tenant_id; /* the key */
	FfTurn turn;
	int	   active; /* of its runs in memory, or on their way there */
	int	   first;  /* a ring of `capacity` places, a power of two */
	int	   count;
	int	   capacity;
	Place *places;
	Rest   by_age;
	Rest   by_rank;
} Line;

typedef struct QueuedId
{
	pg_uuid_t run_id; /* the key of the set of queued ids */
} QueuedId;

static HTAB		  *lines = NULL;
static HTAB		  *queued = NULL;
static FfFair	   fair;
static int64	   urgent_count = 0;
static bool		   no_room = false; /* for any of those that wait, when last looked */
static TimestampTz look_again = 0;

void
ff_queue_init(void)
{
	lines = ff_table_make("flowforge lines", sizeof(int32), sizeof(Line), TopMemoryContext);
	queued = ff_table_make("flowforge queued runs", sizeof(pg_uuid_t), sizeof(QueuedId),
						   TopMemoryContext);
	ff_fair_init(&fair);
}

static Line *
line_of(int32 tenant_id)
{
	bool  found;
	Line *line = hash_search(lines, &tenant_id, HASH_ENTER, &found);

	if (found)
		return line;
	memset(line, 0, sizeof(*line));
	line->tenant_id = tenant_id;
	ff_fair_join(&fair, &line->turn, tenant_id);
	return line;
}

/* --- a line: places in order --- */

static Place *
place_at(const Line *line, int number)
{
	return &line->places[(line->first + number) & (line->capacity - 1)];
}

static int
compare(const Place *a, const Place *b)
{
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	return memcmp(&a->run_id, &b->run_id, sizeof(pg_uuid_t));
}

static void
grow(Line *line)
{
	int	   capacity = Max(line->capacity * 2, LINE_LEAST);
	Place *places = MemoryContextAllocHuge(TopMemoryContext, sizeof(Place) * capacity);

	for (int i = 0; i < line->count; i++)
		places[i] = *place_at(line, i);
	if (line->places != NULL)
		pfree(line->places);
	line->places = places;
	line->first = 0;
	line->capacity = capacity;
}

/* Where a place belongs. Most come last. */
static int
find(const Line *line, const Place *place)
{
	int low = 0;
	int high = line->count;

	if (high > 0 && compare(place_at(line, high - 1), place) < 0)
		return high;
	while (low < high)
	{
		int middle = (low + high) / 2;

		if (compare(place_at(line, middle), place) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The shorter side makes room. */
static void
insert(Line *line, const Place *place)
{
	int at = find(line, place);

	if (line->count == line->capacity)
	{
		grow(line);
		at = find(line, place);
	}
	line->count++;
	if (at < line->count / 2)
	{
		line->first = (line->first - 1) & (line->capacity - 1);
		for (int i = 0; i < at; i++)
			*place_at(line, i) = *place_at(line, i + 1);
	}
	else
	{
		for (int i = line->count - 1; i > at; i--)
			*place_at(line, i) = *place_at(line, i - 1);
	}
	*place_at(line, at) = *place;
}

static bool
is_urgent(const Place *place)
{
	return place->rank < DT_NOBEGIN + INT64CONST(1000000000000);
}

/* --- what a line has not seen --- */

static TimestampTz
age_rank(const pg_uuid_t *run_id)
{
	return ff_from_unix_us(ff_id_ms(run_id) * 1000);
}

/* Where unseen rows begin, as a place of the line. */
static Place
rest_begin(const Rest *rest, bool ranked)
{
	Place place = {rest->rank, ranked, rest->run_id};

	if (!ranked)
		place.rank = age_rank(&rest->run_id);
	return place;
}

static bool
unseen(const Rest *rest, const Place *place)
{
	Place begin = rest_begin(rest, place->ranked);

	return rest->more && compare(&begin, place) <= 0;
}

/* Rows from a place on are not in the line. */
static void
move_back(Line *line, const Place *place)
{
	Rest *rest = place->ranked ? &line->by_rank : &line->by_age;

	if (unseen(rest, place))
		return;
	rest->more = true;
	rest->rank = place->rank;
	rest->run_id = place->run_id;
}

/* As many as there is room for when all lines are as long. */
static int
line_room(void)
{
	long room = LINES_ROOM / Max(hash_get_num_entries(lines), 1);

	return (int) Min(Max(room, LINE_LEAST), LINE_MOST);
}

static void
shorten(Line *line)
{
	while (line->count > line_room())
	{
		Place last = *place_at(line, line->count - 1);

		if (is_urgent(&last))
			return;
		line->count--;
		hash_search(queued, &last.run_id, HASH_REMOVE, NULL);
		move_back(line, &last);
	}
}

static bool
has_more(const Line *line)
{
	return line->count > 0 || line->by_age.more || line->by_rank.more;
}

static void
settle(Line *line)
{
	if (has_more(line))
		ff_fair_wait(&fair, &line->turn);
	else
		ff_fair_leave(&fair, &line->turn);
}

/* Tenants come and go: a line that nothing waits in is not kept for ever. */
static void
forget_lines(void)
{
	HASH_SEQ_STATUS sequence;
	Line		   *line;

	hash_seq_init(&sequence, lines);
	while ((line = hash_seq_search(&sequence)) != NULL)
	{
		if (line->active > 0 || has_more(line))
			continue;
		ff_fair_part(&fair, &line->turn);
		if (line->places != NULL)
			pfree(line->places);
		hash_search(lines, &line->tenant_id, HASH_REMOVE, NULL);
	}
}

static bool
add(Line *line, const Place *place)
{
	bool found;

	if (ff_active_find(&place->run_id) != NULL)
		return false;
	hash_search(queued, &place->run_id, HASH_ENTER, &found);
	if (!found)
		insert(line, place);
	return !found;
}

void
ff_queue_push(const FfReady *ready, bool urgent)
{
	Line *line = line_of(ready->tenant_id);
	Place place = {ready->rank, ready->rank != 0, ready->run_id};

	if (urgent)
		place = (Place){DT_NOBEGIN + 1 + urgent_count++, false, ready->run_id};
	else if (ready->rank == 0)
		place.rank = age_rank(&ready->run_id);
	no_room = false;
	if (urgent || !unseen(place.ranked ? &line->by_rank : &line->by_age, &place))
	{
		add(line, &place);
		shorten(line);
	}
	settle(line);
}

void
ff_queue_lost(const FfReady *from)
{
	Line *line = line_of(from->tenant_id);
	Place by_age = {age_rank(&from->run_id), false, from->run_id};
	Place by_rank = {from->rank, true, {{0}}};

	no_room = false;
	move_back(line, &by_age);
	if (from->rank != 0)
		move_back(line, &by_rank);
	settle(line);
}

void
ff_queue_sweep(const int32 *tenants, int count)
{
	FfReady all = {.rank = DT_NOBEGIN};

	forget_lines();
	for (int i = 0; i < count; i++)
	{
		all.tenant_id = tenants[i];
		ff_queue_lost(&all);
	}
}

/* --- looking into rows --- */

static int
look_limit(void)
{
	int slots = (FF_SLOTS - ff_my_number + ff_shared->executors - 1) / ff_shared->executors;

	return Max(Min(LOOK_ROWS, 2 * line_room()) / slots, 2);
}

/* One look. When it brings nothing, for all it saw is passed over or known, the next sees more. */
static void
look(Line *line, bool ranked)
{
	Rest  *rest = ranked ? &line->by_rank : &line->by_age;
	FfLook seen = {.tenant_id = line->tenant_id, .ranked = ranked, .from_rank = rest->rank};
	int	   added = 0;

	seen.from_id = rest->run_id;
	seen.limit = Max(rest->limit, look_limit());
	ff_backlog_look(&seen);
	rest->more = seen.more;
	rest->rank = seen.from_rank;
	rest->run_id = seen.from_id;
	for (int i = 0; i < seen.count; i++)
	{
		const FfReady *run = &seen.found[i];
		Place		   place = {run->rank, ranked, run->run_id};

		if (!ranked)
			place.rank = age_rank(&run->run_id);
		if (!unseen(rest, &place))
			added += add(line, &place);
		if (line->count > 2 * LINE_MOST)
			shorten(line);
	}
	shorten(line);
	rest->limit = added > 0 ? 0 : Min(seen.limit * 2, LOOK_ROWS);
}

static bool
must_look(const Line *line, const Rest *rest, bool ranked)
{
	Place begin;

	if (!rest->more)
		return false;
	begin = rest_begin(rest, ranked);
	return line->count == 0 || compare(&begin, place_at(line, 0)) <= 0;
}

static void
look_into_rows(void *arg)
{
	Line *line = arg;

	ff_tenant_get(line->tenant_id);
	if (must_look(line, &line->by_age, false))
		look(line, false);
	if (must_look(line, &line->by_rank, true))
		look(line, true);
}

/* Whether the line's first may go: its weight is known, and what rows may have comes later. */
static bool
is_ready(const Line *line)
{
	return line->count > 0 && ff_tenant_cached(line->tenant_id) != NULL &&
		   !must_look(line, &line->by_age, false) && !must_look(line, &line->by_rank, true);
}

static bool
prepare(Line *line, int *looks)
{
	TimestampTz now = GetCurrentTimestamp();
	FfFailure	failure;

	if (is_ready(line))
		return true;
	if (*looks <= 0 || now < look_again)
		return false;
	(*looks)--;
	if (!ff_transaction(look_into_rows, line, &failure))
		look_again = now + LOOK_AGAIN_US;
	return is_ready(line);
}

/* --- room --- */

#define FF_ROOM (2L * ff_max_in_flight)

/* What a tenant has in memory beyond its own part of the calls under way it has for its turn alone.
 */
static bool
has_room(const Line *line, long active)
{
	return active < FF_ROOM || line->active < ff_fair_own(&fair, &line->turn, ff_calls_in_flight());
}

void
ff_queue_count(int32 tenant_id, int change)
{
	Line *line = line_of(tenant_id);

	line->active += change;
	no_room = false;
}

/* --- taking --- */

static void
take_first(Line *line, FfRunKey *out, int *count)
{
	Place *first = place_at(line, 0);

	/* A message may have brought it into memory meanwhile; there it must be only once. */
	if (ff_active_find(&first->run_id) != NULL)
		hash_search(queued, &first->run_id, HASH_REMOVE, NULL);
	else
	{
		out[(*count)++] = (FfRunKey){line->tenant_id, first->run_id};
		ff_fair_charge(&fair, &line->turn);
		line->active++;
	}
	line->first = (line->first + 1) & (line->capacity - 1);
	line->count--;
}

/* Those that may not be served now stand aside until the others have been; they are few, for each
 * of them has runs in memory or had its look into rows. */
int
ff_queue_pop(FfRunKey *out, int limit)
{
	List	 *aside = NIL;
	int		  looks = LOOKS_A_TURN;
	int		  count = 0;
	bool	  unprepared = false;
	FfTurn	 *turn;
	ListCell *cell;

	limit = (int) Min(limit, 2 * FF_ROOM - ff_active_count());
	while (count < limit && (turn = ff_fair_first(&fair)) != NULL)
	{
		Line *line = (Line *) ((char *) turn - offsetof(Line, turn));
		bool  room = has_room(line, ff_active_count() + count);

		if (room && prepare(line, &looks))
		{
			take_first(line, out, &count);
			if (line->count == 0)
				settle(line);
			continue;
		}
		unprepared |= room;
		ff_fair_leave(&fair, turn);
		aside = lappend(aside, line);
		if (room && looks <= 0)
			break;
	}
	foreach (cell, aside)
	{
		Line *line = lfirst(cell);

		if (has_more(line))
			ff_fair_return(&fair, &line->turn);
	}
	list_free(aside);
	/* Not before: until now a look into rows would have found them anew. */
	for (int i = 0; i < count; i++)
		hash_search(queued, &out[i].run_id, HASH_REMOVE, NULL);
	no_room = count == 0 && !unprepared;
	return count;
}

TimestampTz
ff_queue_next(void)
{
	return ff_fair_first(&fair) == NULL || no_room ? DT_NOEND : look_again;
}

long
ff_queue_length(void)
{
	return hash_get_num_entries(queued);
}
