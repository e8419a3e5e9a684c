/*
 * What the command line draws with: styles, marks, columns and one box.
 *
 * Styles are ANSI sequences on a terminal and empty strings elsewhere (a pipe, NO_COLOR set,
 * TERM=dumb). Output is append-only, so a log file reads as the screen did: the cursor is moved
 * only by the status, one last line of a terminal that is rubbed out again. Text that came from a
 * server passes through ff_term_clean, which leaves no control characters in it.
 */
#ifndef FF_TERM_H
#define FF_TERM_H

#include <stdbool.h>
#include <stdio.h>

typedef enum FfStyle
{
	FF_STYLE_END,
	FF_STYLE_BOLD,
	FF_STYLE_DIM,
	FF_STYLE_GOOD,
	FF_STYLE_BAD,
	FF_STYLE_WARN,
	FF_STYLE_NAME
} FfStyle;

/* Decides once per process whether standard output takes styles. Call first. */
extern void ff_term_init(void);

/* The sequence that starts a style (FF_STYLE_END ends all), or "". Not to be freed. */
extern const char *ff_style(FfStyle style);

/* Columns of the terminal; 100 when standard output is none. */
extern int ff_term_columns(void);

/* Columns left on a line after `used`, at least 20; 0 (no limit) when standard output is no
 * terminal. */
extern int ff_term_room(int used);

/* Columns a UTF-8 text takes on a screen, not counting ANSI sequences. */
extern int ff_term_width(const char *text);

/*
 * A copy of text on one line of at most `columns` columns (0: no limit), cut with an ellipsis;
 * white space is folded and control characters and broken UTF-8 become a dot. To be freed by the
 * caller.
 */
extern char *ff_term_clean(const char *text, int columns);

/* Prints text in a style, padded with spaces to `columns` columns. */
extern void ff_term_cell(FILE *out, FfStyle style, const char *text, int columns);

/* A duration in milliseconds as a person reads it ("12 ms", "3.4 s", "2 min 5 s"), in a buffer of
 * 32 bytes. */
extern const char *ff_term_duration(char buffer[32], double milliseconds);

/* A progress line: a mark, what, and a dim detail (NULL: none). */
extern void ff_term_done(const char *what, const char *detail);
extern void ff_term_warn(const char *what, const char *detail);
extern void ff_term_bad(const char *what, const char *detail);

/*
 * The status: what is going on, below all that is printed. Only a terminal that takes styles has
 * one (ff_term_is_live); text is cut to its width. Whoever prints a line rubs it out before.
 */
extern bool ff_term_is_live(void);
extern void ff_term_status(const char *text);
extern void ff_term_status_clear(void);

/* Frames lines of text (NULL ends them; "" is an empty line) under a title; without a frame where
 * it would not fit. */
extern void ff_term_box(const char *title, const char *const *lines);

#endif
