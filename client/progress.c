#include "cli.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define FIRST_MS      500
#define REDRAW_MS     100
#define WIDTH_DEFAULT 80
#define WIDTH_MAX     200

#define ERASE "\r\033[K"

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The line goes, and the signal does what it would have done. */
static void on_signal(int number)
{
	(void)!write(STDERR_FILENO, ERASE, strlen(ERASE));
	/* SA_RESETHAND: it comes as soon as this handler returns, and finds none. */
	raise(number);
}

static void catch_signals(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };
	struct sigaction before;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
			sigaction(numbers[i], &action, NULL);
}

static size_t terminal_width(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return WIDTH_DEFAULT;
	return size.ws_col;
}

void progress_init(struct progress *progress)
{
	*progress = (struct progress){
		.is_terminal = isatty(STDERR_FILENO),
		.start_ms = now_ms(),
	};
}

int64_t progress_elapsed_ms(const struct progress *progress)
{
	return now_ms() - progress->start_ms;
}

int progress_timeout(const struct progress *progress)
{
	if (!progress->is_terminal)
		return -1;
	return progress->is_shown ? REDRAW_MS : FIRST_MS;
}

void progress_draw(struct progress *progress, const char *format, ...)
{
	char line[WIDTH_MAX];
	size_t room = terminal_width();
	va_list arguments;

	if (!progress->is_terminal || progress_elapsed_ms(progress) < FIRST_MS)
		return;
	if (!progress->is_shown)
		catch_signals();
	progress->is_shown = true;

	/* The last column stays free: a character there would wrap the line on some terminals. */
	if (room > sizeof(line))
		room = sizeof(line);
	va_start(arguments, format);
	vsnprintf(line, room, format, arguments);
	va_end(arguments);
	fprintf(stderr, ERASE "%s", line);
	fflush(stderr);
}

void progress_clear(struct progress *progress)
{
	if (progress->is_shown)
		fputs(ERASE, stderr);
	progress->is_shown = false;
}
