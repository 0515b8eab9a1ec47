/*
 * A list, and behind a newline a second one that is excluded from it. What is accepted holds the
 * ports that counting them out by hand gives, in that order and each once; its text is stable.
 */

#include "buffer.h"
#include "fuzz.h"
#include "portlist.h"

#include <string.h>

/* Ranges of the whole port space are slow to count out; so many bytes show all there is. */
#define SIZE_LIMIT 400

struct ports {
	uint16_t ports[PORT_MAX];
	size_t n;
	bool seen[PORT_MAX + 1];
};

static void add(struct ports *ports, unsigned first, unsigned last)
{
	must(first >= PORT_MIN && first <= PORT_MAX && last >= PORT_MIN && last <= PORT_MAX);
	for (unsigned port = first < last ? first : last; port <= (first < last ? last : first);
	     port++) {
		if (!ports->seen[port])
			ports->ports[ports->n++] = (uint16_t)port;
		ports->seen[port] = true;
	}
}

/* Counts out a list that was accepted: so it is made of digits, dashes and commas. */
static void count_out(struct ports *ports, const char *text)
{
	while (*text) {
		unsigned first, last;
		char *end;

		must(*text >= '0' && *text <= '9');
		first = last = (unsigned)strtoul(text, &end, 10);
		if (*end == '-') {
			last = PORT_MAX;
			if (end[1] >= '0' && end[1] <= '9')
				last = (unsigned)strtoul(end + 1, &end, 10);
			else
				end++;
		}
		add(ports, first, last);
		must(*end == '\0' || (*end == ',' && end[1] != '\0'));
		text = *end ? end + 1 : end;
	}
}

/* Asserts that the list has the ports that `ports` has and `exclude` (or NULL) has not. */
static void compare(const struct portlist *list, const struct ports *ports,
		    const struct ports *exclude)
{
	struct portlist_cursor cursor = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < ports->n; i++) {
		if (exclude && exclude->seen[ports->ports[i]])
			continue;
		must(portlist_next(list, &cursor) == ports->ports[i]);
		n++;
	}
	must(portlist_next(list, &cursor) == 0);
	must(list->n_ports == n);
	must(!portlist_contains(list, 0));
	must(n == 0 || portlist_contains(list, list->ranges[0].first));
}

static void put_text(struct buffer *buffer, const struct portlist *list)
{
	for (size_t i = 0; i < list->n_ranges; i++)
		must(buffer_printf(buffer, "%s%u-%u", i > 0 ? "," : "", list->ranges[i].first,
				   list->ranges[i].last) == 0);
	must(buffer_put_char(buffer, '\0') == 0);
}

static void assert_stable(const struct portlist *list)
{
	_cleanup_(buffer_deinit) struct buffer first = { 0 };
	_cleanup_(buffer_deinit) struct buffer second = { 0 };
	struct portlist again;
	const char *why;

	put_text(&first, list);
	must(portlist_parse(&again, buffer_data(&first), &why) == 0);
	put_text(&second, &again);
	must(strcmp(buffer_data(&first), buffer_data(&second)) == 0);
	must(again.n_ports == list->n_ports);
	portlist_deinit(&again);
}

/* Parses and compares. Returns whether it is a list. */
static bool parse(struct portlist *list, struct ports *ports, const char *text)
{
	const char *why = NULL;
	int r = portlist_parse(list, text, &why);

	if (r < 0) {
		must(r == -EINVAL);
		must(why && *why);
		return false;
	}
	must(list->n_ports > 0);
	count_out(ports, text);
	compare(list, ports, NULL);
	assert_stable(list);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ports ports, excluded;
	struct portlist list = { 0 }, exclude = { 0 }, rest = { 0 };
	char text[SIZE_LIMIT + 1];
	char *second;

	if (size > SIZE_LIMIT)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	second = strchr(text, '\n');
	if (second)
		*second++ = '\0';

	memset(&ports, 0, sizeof(ports));
	memset(&excluded, 0, sizeof(excluded));
	if (parse(&list, &ports, text) && second && parse(&exclude, &excluded, second)) {
		must(portlist_exclude(&rest, &list, &exclude) == 0);
		compare(&rest, &ports, &excluded);
	}
	portlist_deinit(&list);
	portlist_deinit(&exclude);
	portlist_deinit(&rest);
	return 0;
}
