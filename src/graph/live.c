/*
 * live.c - under which decisions of its conditions a node runs.
 *
 * A way to a node asks some conditions for some of their branches: a term, a sorted list of
 * decisions. A node runs if one of its terms holds. Terms that others cover are dropped, and two
 * that differ in opposite decisions of one condition become one without it, so that after the merge
 * of a diamond nothing is asked any more. A node with more terms than a few is vague: nothing is
 * said of it.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "graph/live.h"

#define MAX_TERMS 8
#define MAX_LABELS 4

typedef struct Term
{
	int	 count;
	int *decisions; /* condition's index * MAX_LABELS + label, ascending */
} Term;

typedef struct Terms
{
	int	 count;
	bool vague;
	Term terms[MAX_TERMS];
} Terms;

struct FfLive
{
	Terms *nodes;
};

static int
label_index(const FfNodeType *type, const char *label)
{
	for (int i = 0; i < MAX_LABELS && type->labels[i] != NULL; i++)
	{
		if (strcmp(type->labels[i], label) == 0)
			return i;
	}
	return -1;
}

bool
ff_edge_may_be_taken(const FfGraph *graph, const FfEdge *edge, const char *const *taken)
{
	const FfNode *source = &graph->nodes[edge->source];

	if (edge->label == NULL)
		return true;
	return label_index(source->type, edge->label) >= 0 &&
		   (taken[edge->source] == NULL || strcmp(taken[edge->source], edge->label) == 0);
}

/* --- terms --- */

static bool
covers(const Term *few, const Term *many)
{
	int at = 0;

	for (int i = 0; i < few->count; i++, at++)
	{
		while (at < many->count && many->decisions[at] < few->decisions[i])
			at++;
		if (at == many->count || many->decisions[at] != few->decisions[i])
			return false;
	}
	return true;
}

/* Where two terms differ, if that is in one condition's decision only; else -1. */
static int
opposite_at(const Term *a, const Term *b)
{
	int found = -1;

	if (a->count != b->count)
		return -1;
	for (int i = 0; i < a->count; i++)
	{
		if (a->decisions[i] == b->decisions[i])
			continue;
		if (found >= 0 || a->decisions[i] / MAX_LABELS != b->decisions[i] / MAX_LABELS)
			return -1;
		found = i;
	}
	return found;
}

static Term
without(const Term *term, int at)
{
	Term result = {0, palloc(sizeof(int) * term->count)};

	for (int i = 0; i < term->count; i++)
	{
		if (i != at)
			result.decisions[result.count++] = term->decisions[i];
	}
	return result;
}

static void
drop(Terms *terms, int at)
{
	terms->terms[at] = terms->terms[--terms->count];
}

static bool
is_binary(const FfGraph *graph, int decision)
{
	const FfNodeType *type = graph->nodes[decision / MAX_LABELS].type;

	return type->labels[0] != NULL && type->labels[1] != NULL && type->labels[2] == NULL;
}

static void
add_term(const FfGraph *graph, Terms *terms, Term term)
{
	for (int i = 0; i < terms->count; i++)
	{
		int at;

		if (covers(&terms->terms[i], &term))
			return;
		at = opposite_at(&terms->terms[i], &term);
		if (at >= 0 && is_binary(graph, term.decisions[at]))
		{
			term = without(&term, at);
			drop(terms, i);
			i = -1;
		}
		else if (covers(&term, &terms->terms[i]))
			drop(terms, i--);
	}
	if (terms->count < MAX_TERMS)
		terms->terms[terms->count++] = term;
	else
		terms->vague = true;
}

/* The term with one more decision. No way comes to a condition twice, so it has none of it yet. */
static Term
with(const Term *term, int decision)
{
	Term result = {0, palloc(sizeof(int) * (term->count + 1))};
	bool put = false;

	for (int i = 0; i < term->count; i++)
	{
		if (!put && term->decisions[i] > decision)
		{
			result.decisions[result.count++] = decision;
			put = true;
		}
		result.decisions[result.count++] = term->decisions[i];
	}
	if (!put)
		result.decisions[result.count++] = decision;
	return result;
}

/* --- nodes --- */

static bool
is_always(const Terms *terms)
{
	return terms->count == 1 && terms->terms[0].count == 0;
}

static void
add_edge(const FfGraph *graph, const FfEdge *edge, const Terms *source, const char *const *taken,
		 Terms *target)
{
	bool decides = edge->label != NULL && taken[edge->source] == NULL;
	int	 decision = 0;

	if (!ff_edge_may_be_taken(graph, edge, taken))
		return;
	if (decides)
		decision =
			edge->source * MAX_LABELS + label_index(graph->nodes[edge->source].type, edge->label);
	target->vague |= source->vague;
	for (int i = 0; i < source->count && !is_always(target); i++)
	{
		const Term *term = &source->terms[i];

		add_term(graph, target, decides ? with(term, decision) : *term);
	}
}

FfLive *
ff_graph_live(const FfGraph *graph, const char *const *taken)
{
	FfLive *live = palloc(sizeof(FfLive));

	live->nodes = palloc0(sizeof(Terms) * Max(graph->node_count, 1));
	for (int i = 0; i < graph->node_count; i++)
	{
		const FfNode *node = &graph->nodes[graph->order[i]];
		Terms		 *terms = &live->nodes[node->index];

		CHECK_FOR_INTERRUPTS();
		terms->count = node->in_count == 0;
		for (int e = 0; e < node->in_count; e++)
		{
			const FfEdge *edge = &graph->edges[node->in[e]];

			add_edge(graph, edge, &live->nodes[edge->source], taken, terms);
		}
		if (is_always(terms))
			terms->vague = false;
	}
	return live;
}

bool
ff_live_never(const FfLive *live, int node)
{
	return live->nodes[node].count == 0 && !live->nodes[node].vague;
}

bool
ff_live_implies(const FfLive *live, int node, int other)
{
	const Terms *from = &live->nodes[node];
	const Terms *to = &live->nodes[other];

	if (from->vague || to->vague)
		return true;
	for (int i = 0; i < from->count; i++)
	{
		bool covered = false;

		for (int j = 0; j < to->count && !covered; j++)
			covered = covers(&to->terms[j], &from->terms[i]);
		if (!covered)
			return false;
	}
	return true;
}
