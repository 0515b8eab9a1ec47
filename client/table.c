#include "cli.h"

#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CELLS_FIRST 64

void table_init(struct table *table, const char *const *heads, size_t n_columns)
{
	*table = (struct table){ .n_columns = n_columns, .last_uid = -1 };
	for (size_t i = 0; i < n_columns; i++)
		table_add(table, "%s", heads[i]);
}

void table_deinit(struct table *table)
{
	for (size_t i = 0; i < table->n_cells; i++)
		free(table->cells[i]);
	free(table->cells);
	*table = (struct table){ 0 };
}

/* Whether there is room for one more. */
static bool reserve(struct table *table)
{
	size_t n_rooms = table->n_rooms ? table->n_rooms * 2 : CELLS_FIRST;
	char **cells;

	if (table->n_cells < table->n_rooms)
		return true;
	cells = reallocarray(table->cells, n_rooms, sizeof(*cells));
	if (!cells)
		return false;
	table->cells = cells;
	table->n_rooms = n_rooms;
	return true;
}

void table_add(struct table *table, const char *format, ...)
{
	va_list arguments;
	char *text = NULL;

	va_start(arguments, format);
	if (!reserve(table) || vasprintf(&text, format, arguments) < 0)
		table->is_short = true;
	else
		table->cells[table->n_cells++] = text;
	va_end(arguments);
	if (text && !*text) {
		free(text);
		table->n_cells--;
		table_add(table, "-");
	}
}

void table_add_user(struct table *table, int64_t uid)
{
	/* Lines after each other are mostly one user's. */
	if (uid != table->last_uid) {
		const struct passwd *user = getpwuid((uid_t)uid);

		table->last_uid = uid;
		if (user)
			snprintf(table->last_user, sizeof(table->last_user), "%s", user->pw_name);
		else
			snprintf(table->last_user, sizeof(table->last_user), "%lld",
				 (long long)uid);
	}
	table_add(table, "%s", table->last_user);
}

static int width_of(const struct table *table, size_t column)
{
	size_t width = 0;

	/* Nothing is behind the last. */
	if (column == table->n_columns - 1)
		return 0;
	for (size_t i = column; i < table->n_cells; i += table->n_columns)
		if (strlen(table->cells[i]) > width)
			width = strlen(table->cells[i]);
	return (int)width;
}

enum exit_status table_print(const struct table *table)
{
	int *widths = calloc(table->n_columns, sizeof(*widths));

	if (table->is_short || !widths) {
		free(widths);
		complain("out of memory");
		return EXIT_ERROR;
	}
	for (size_t column = 0; column < table->n_columns; column++)
		widths[column] = width_of(table, column);
	for (size_t i = 0; i < table->n_cells; i++)
		printf("%-*s%s", widths[i % table->n_columns], table->cells[i],
		       (i + 1) % table->n_columns == 0 ? "\n" : "  ");
	free(widths);
	return EXIT_YES;
}
