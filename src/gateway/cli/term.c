/*
 * Drawing for the command line: see term.h.
 *
 * Widths are counted in screen columns by wcwidth() in a UTF-8 locale, whatever the user's locale
 * is; everything FlowForge prints is UTF-8.
 */
#define _GNU_SOURCE
#include "cli/term.h"

#include <limits.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

#include "cli/cli.h"

#define DEFAULT_COLUMNS 100
#define LABEL_COLUMNS 14

static bool styled = false;

void
ff_term_init(void)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
		setlocale(LC_CTYPE, "");
	styled = isatty(STDOUT_FILENO) && (no_color == NULL || no_color[0] == '\0') && term != NULL &&
			 strcmp(term, "dumb") != 0;
}

const char *
ff_style(FfStyle style)
{
	static const char *const sequence[] = {
		[FF_STYLE_END] = "\033[0m",	  [FF_STYLE_BOLD] = "\033[1m", [FF_STYLE_DIM] = "\033[2m",
		[FF_STYLE_GOOD] = "\033[32m", [FF_STYLE_BAD] = "\033[31m", [FF_STYLE_WARN] = "\033[33m",
		[FF_STYLE_NAME] = "\033[36m",
	};

	return styled ? sequence[style] : "";
}

int
ff_term_columns(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	return DEFAULT_COLUMNS;
}

int
ff_term_room(int used)
{
	int room = ff_term_columns() - used;

	if (!isatty(STDOUT_FILENO))
		return 0;
	return room < 20 ? 20 : room;
}

/* Skips an ANSI style sequence at text; gives text itself when there is none. */
static const char *
after_style(const char *text)
{
	if (text[0] == '\033' && text[1] == '[')
	{
		const char *end = strchr(text, 'm');

		if (end != NULL)
			return end + 1;
	}
	return text;
}

/* Reads one character; bad bytes count as one character U+FFFD of one byte. */
static size_t
next_character(const char *text, wchar_t *character)
{
	mbstate_t state = {0};
	size_t	  length = mbrtowc(character, text, MB_LEN_MAX, &state);

	if (length == (size_t) -1 || length == (size_t) -2 || length == 0)
	{
		*character = 0xFFFD;
		return 1;
	}
	return length;
}

int
ff_term_width(const char *text)
{
	int columns = 0;

	while (*text != '\0')
	{
		const char *after = after_style(text);
		wchar_t		character;

		if (after != text)
		{
			text = after;
			continue;
		}
		text += next_character(text, &character);
		if (wcwidth(character) > 0)
			columns += wcwidth(character);
	}
	return columns;
}

/* One character as it may be shown: a space for blanks, a dot for what cannot be printed, else
 * itself. */
static size_t
shown_character(const char *text, char *shown, int *width)
{
	wchar_t character;
	size_t	bytes = next_character(text, &character);

	*width = 1;
	if (iswspace((wint_t) character))
		strcpy(shown, " ");
	else if (character == 0xFFFD || wcwidth(character) < 0)
		strcpy(shown, "·");
	else
	{
		memcpy(shown, text, bytes);
		shown[bytes] = '\0';
		*width = wcwidth(character);
	}
	return bytes;
}

char *
ff_term_clean(const char *text, int columns)
{
	char  *clean = ff_alloc(strlen(text) * 2 + sizeof("…"));
	size_t length = 0;
	size_t fits = 0; /* bytes that leave a column for the ellipsis */
	int	   used = 0;

	while (*text != '\0')
	{
		char shown[MB_LEN_MAX + 1];
		int	 width;

		text += shown_character(text, shown, &width);
		if (shown[0] == ' ' && (length == 0 || clean[length - 1] == ' '))
			continue;
		if (columns > 0 && used + width > columns)
		{
			strcpy(clean + fits, "…");
			return clean;
		}
		strcpy(clean + length, shown);
		length += strlen(shown);
		used += width;
		if (used < columns)
			fits = length;
	}
	clean[length] = '\0';
	return clean;
}

void
ff_term_cell(FILE *out, FfStyle style, const char *text, int columns)
{
	int padding = columns - ff_term_width(text);

	fprintf(out, "%s%s%s%*s", style == FF_STYLE_END ? "" : ff_style(style), text,
			style == FF_STYLE_END ? "" : ff_style(FF_STYLE_END), padding > 0 ? padding : 0, "");
}

const char *
ff_term_duration(char buffer[32], double milliseconds)
{
	long seconds = (long) (milliseconds / 1000);

	if (milliseconds < 1000)
		snprintf(buffer, 32, "%.0f ms", milliseconds < 0 ? 0 : milliseconds);
	else if (seconds < 60)
		snprintf(buffer, 32, "%.1f s", milliseconds / 1000);
	else if (seconds < 3600)
		snprintf(buffer, 32, "%ld min %ld s", seconds / 60, seconds % 60);
	else if (seconds < 86400)
		snprintf(buffer, 32, "%ld h %ld min", seconds / 3600, seconds / 60 % 60);
	else
		snprintf(buffer, 32, "%ld d %ld h", seconds / 86400, seconds / 3600 % 24);
	return buffer;
}

static void
progress(FfStyle style, const char *mark, const char *what, const char *detail)
{
	printf("  %s%s%s ", ff_style(style), mark, ff_style(FF_STYLE_END));
	ff_term_cell(stdout, FF_STYLE_END, what, detail != NULL ? LABEL_COLUMNS : 0);
	if (detail != NULL)
		printf(" %s%s%s", ff_style(FF_STYLE_DIM), detail, ff_style(FF_STYLE_END));
	putchar('\n');
	fflush(stdout);
}

void
ff_term_done(const char *what, const char *detail)
{
	progress(FF_STYLE_GOOD, "✓", what, detail);
}

void
ff_term_warn(const char *what, const char *detail)
{
	progress(FF_STYLE_WARN, "!", what, detail);
}

void
ff_term_bad(const char *what, const char *detail)
{
	progress(FF_STYLE_BAD, "✗", what, detail);
}

static void
rule(const char *left, const char *title, const char *right, int columns)
{
	printf("%s%s─", ff_style(FF_STYLE_DIM), left);
	if (title != NULL)
	{
		printf("%s %s%s%s %s", ff_style(FF_STYLE_END), ff_style(FF_STYLE_BOLD), title,
			   ff_style(FF_STYLE_END), ff_style(FF_STYLE_DIM));
		columns -= ff_term_width(title) + 2;
	}
	while (columns-- > 1)
		fputs("─", stdout);
	printf("%s%s\n", right, ff_style(FF_STYLE_END));
}

void
ff_term_box(const char *title, const char *const *lines)
{
	int	 widest = ff_term_width(title) + 4;
	bool framed;

	for (const char *const *line = lines; *line != NULL; line++)
		widest = ff_term_width(*line) > widest ? ff_term_width(*line) : widest;
	framed = widest + 6 <= ff_term_columns();

	putchar('\n');
	if (framed)
		rule("╭", title, "╮", widest + 4);
	else
		printf("%s%s%s\n", ff_style(FF_STYLE_BOLD), title, ff_style(FF_STYLE_END));
	for (const char *const *line = lines; *line != NULL; line++)
	{
		if (!framed)
		{
			printf("  %s\n", *line);
			continue;
		}
		printf("%s│%s  ", ff_style(FF_STYLE_DIM), ff_style(FF_STYLE_END));
		ff_term_cell(stdout, FF_STYLE_END, *line, widest);
		printf("  %s│%s\n", ff_style(FF_STYLE_DIM), ff_style(FF_STYLE_END));
	}
	if (framed)
		rule("╰", NULL, "╯", widest + 4);
	putchar('\n');
	fflush(stdout);
}

/* ---- the status ---- */

#define RUB_OUT "\r\033[K"

static volatile sig_atomic_t has_status = 0;

/* Ctrl-C: the shell's prompt comes where the status was. */
static void
rub_out_and_end(int number)
{
	ssize_t written = has_status ? write(STDOUT_FILENO, RUB_OUT, strlen(RUB_OUT)) : 0;

	(void) written;
	raise(number); /* handled once only: this ends the program */
}

bool
ff_term_is_live(void)
{
	return styled;
}

void
ff_term_status(const char *text)
{
	static bool watched = false;
	char	   *clean;

	if (!styled)
		return;
	if (!watched)
	{
		struct sigaction action = {.sa_handler = rub_out_and_end, .sa_flags = SA_RESETHAND};
		struct sigaction before;

		if (sigaction(SIGINT, NULL, &before) == 0 && before.sa_handler == SIG_DFL)
			sigaction(SIGINT, &action, NULL);
		watched = true;
	}
	clean = ff_term_clean(text, ff_term_columns() - 1);
	has_status = 1; /* before it is there: a signal may come once somebody has seen it */
	printf(RUB_OUT "%s%s%s", ff_style(FF_STYLE_DIM), clean, ff_style(FF_STYLE_END));
	fflush(stdout);
	free(clean);
}

void
ff_term_status_clear(void)
{
	if (!has_status)
		return;
	fputs(RUB_OUT, stdout);
	fflush(stdout);
	has_status = 0;
}
