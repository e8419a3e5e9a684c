/*
 * lexer.h - text to tokens.
 */
#ifndef FF_LANG_LEXER_H
#define FF_LANG_LEXER_H

#include "lang/value.h"

typedef enum FfTokenKind
{
	FF_TOKEN_END,
	FF_TOKEN_NUMBER,
	FF_TOKEN_TEXT,
	FF_TOKEN_NAME,
	FF_TOKEN_SIGN
} FfTokenKind;

typedef struct FfLexer
{
	const char *source; /* what errors show */
	const char *start;	/* what is read: the source, or a copy of a part of it */
	int			base;	/* where in the source that begins */
	bool template;		/* | and = are signs, as filters need them */
	const char *next;	/* after the current token */
	FfTokenKind kind;
	int			position; /* of the current token */
	char	   *text;	  /* unescaped; palloc'ed but for an end */
	int			length;
} FfLexer;

/* To read all of a source. */
extern void ff_lexer_start(FfLexer *lexer, const char *source);

/* Reads the next token; raises FF101 at what is none. */
extern void ff_lexer_advance(FfLexer *lexer);

/* The bytes of the character a name may begin with here; 0 when it is none. */
extern int ff_lexer_name_character(const char *at);

/* place.c: raises FF101 with the place. The hint may be NULL. */
extern void ff_lang_syntax_error(const FfLexer *lexer, int position, const char *hint,
								 const char *format, ...) pg_attribute_printf(4, 5)
	pg_attribute_noreturn();

#endif
