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
	const char *source;
	const char *next; /* after the current token */
	FfTokenKind kind;
	int			position; /* of the current token */
	char	   *text;	  /* unescaped; palloc'ed but for an end */
	int			length;
} FfLexer;

/* Reads the next token; raises FF101 at what is none. */
extern void ff_lexer_advance(FfLexer *lexer);

/* place.c: raises FF101 with the place. The hint may be NULL. */
extern void ff_lang_syntax_error(const char *source, int position, const char *hint,
								 const char *format, ...) pg_attribute_printf(4, 5)
	pg_attribute_noreturn();

#endif
