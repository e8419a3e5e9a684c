/*
 * template.h - the tree of a template; known to its parser, the renderer and refs.c only.
 */
#ifndef FF_LANG_TEMPLATE_H
#define FF_LANG_TEMPLATE_H

#include "lang/node.h"

typedef enum FfPartKind
{
	FF_PART_TEXT,
	FF_PART_VALUE, /* {{ node }} */
	FF_PART_IF,	   /* branches */
	FF_PART_FOR,   /* name in node: body */
	FF_PART_SET	   /* name = node */
} FfPartKind;

typedef struct FfPart	  FfPart;
typedef struct FfTemplate FfTemplate;

/* {% if node %} body, {% elif node %} body, {% else %} body, whose node is NULL. */
typedef struct FfBranch
{
	FfNode			*node;
	FfPart			*body;
	struct FfBranch *next;
} FfBranch;

struct FfPart
{
	FfPartKind	kind;
	int			position;
	const char *text;
	int			length;
	const char *name;
	bool		counts; /* of a for: its body uses `loop` */
	FfNode	   *node;
	FfBranch   *branches;
	FfPart	   *body;
	FfPart	   *next;
};

struct FfTemplate
{
	const char *source;
	FfPart	   *parts;
	FfNode	   *whole; /* the one value that is all there is, whose type is kept; else NULL */
};

/* Whether there is anything to render; if not the text stays as it is. */
extern bool ff_is_template(const char *text, int length);

/* template.c: reads a text into `context`. Raises FF101, FF109 or FF110. */
extern FfTemplate *ff_template_compile(const char *text, int length, MemoryContext context);

/* cache.c: the same, cached; good until the next call of a function that says so. */
extern FfTemplate *ff_template_cached(const char *text, int length);

#endif
