#include "portlist.h"

#include "util.h"

#include <string.h>

#define WORD_BITS 64u
#define N_PORTS   (PORT_MAX + 1u)
#define N_WORDS   (N_PORTS / WORD_BITS)

/*
 * A message has room for 40,000 times "2-", so what was seen is passed over by words, and words
 * that are full by words of those: else such a message would keep the daemon busy for seconds.
 */
struct portlist_builder {
	struct portlist list;
	size_t capacity;
	uint64_t seen[N_WORDS];
	uint64_t full[N_WORDS / WORD_BITS];
};

/* The first of `n_bits` (a multiple of 64) from `from` on that is `value`; n_bits: none is. */
static uint32_t find_bit(const uint64_t *words, uint32_t n_bits, uint32_t from, bool value)
{
	uint64_t mask = UINT64_MAX << from % WORD_BITS;

	for (uint32_t i = from / WORD_BITS; i < n_bits / WORD_BITS; i++, mask = UINT64_MAX) {
		uint64_t found = (value ? words[i] : ~words[i]) & mask;

		if (found)
			return i * WORD_BITS + (uint32_t)__builtin_ctzll(found);
	}
	return n_bits;
}

/* The first port from `port` on that was not seen, or N_PORTS. */
static uint32_t next_unseen(const struct portlist_builder *builder, uint32_t port)
{
	uint32_t word = port / WORD_BITS;
	uint32_t found = find_bit(builder->seen, (word + 1) * WORD_BITS, port, false);

	if (found < (word + 1) * WORD_BITS)
		return found;
	word = find_bit(builder->full, N_WORDS, word + 1, false);
	return find_bit(builder->seen, N_PORTS, word * WORD_BITS, false);
}

static void mark(struct portlist_builder *builder, uint32_t first, uint32_t last)
{
	for (uint32_t i = first / WORD_BITS; i <= last / WORD_BITS; i++) {
		uint64_t bits = UINT64_MAX;

		if (i == first / WORD_BITS)
			bits &= UINT64_MAX << first % WORD_BITS;
		if (i == last / WORD_BITS)
			bits &= UINT64_MAX >> (WORD_BITS - 1 - last % WORD_BITS);
		builder->seen[i] |= bits;
		if (builder->seen[i] == UINT64_MAX)
			builder->full[i / WORD_BITS] |= UINT64_C(1) << i % WORD_BITS;
	}
}

int portlist_builder_new(struct portlist_builder **ret_builder)
{
	struct portlist_builder *builder = calloc(1, sizeof(*builder));

	if (!builder)
		return -ENOMEM;
	*ret_builder = builder;
	return 0;
}

void portlist_builder_free(struct portlist_builder *builder)
{
	if (!builder)
		return;
	portlist_deinit(&builder->list);
	free(builder);
}

static void builder_freep(struct portlist_builder **builder)
{
	portlist_builder_free(*builder);
}

/* Appends a range of which no port was seen, joined to the last one where it goes on there. */
static int append(struct portlist_builder *builder, uint32_t first, uint32_t last)
{
	struct portlist *list = &builder->list;
	struct port_range *previous = list->n_ranges ? &list->ranges[list->n_ranges - 1] : NULL;

	if (previous && previous->last + 1u == first) {
		previous->last = (uint16_t)last;
	} else {
		if (list->n_ranges == builder->capacity) {
			size_t capacity = builder->capacity ? builder->capacity * 2 : 4;
			struct port_range *ranges;

			ranges = realloc(list->ranges, capacity * sizeof(*ranges));
			if (!ranges)
				return -ENOMEM;
			list->ranges = ranges;
			builder->capacity = capacity;
		}
		list->ranges[list->n_ranges++] =
			(struct port_range){ .first = (uint16_t)first, .last = (uint16_t)last };
	}
	list->n_ports += last - first + 1;
	mark(builder, first, last);
	return 0;
}

int portlist_builder_add(struct portlist_builder *builder, uint16_t first, uint16_t last)
{
	uint32_t low = first <= last ? first : last;
	uint32_t high = first <= last ? last : first;
	uint32_t port = next_unseen(builder, low);

	while (port <= high) {
		uint32_t seen =
			find_bit(builder->seen, (high / WORD_BITS + 1) * WORD_BITS, port, true);
		uint32_t end = seen <= high ? seen : high + 1;
		int r = append(builder, port, end - 1);

		if (r < 0)
			return r;
		port = end <= high ? next_unseen(builder, end) : end;
	}
	return 0;
}

int port_parse(const char *text, size_t size, uint16_t *ret_port)
{
	uint32_t port = 0;

	if (size == 0)
		return -EINVAL;
	for (size_t i = 0; i < size; i++)
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
	for (size_t i = 0; i < size; i++) {
		port = port * 10 + (uint32_t)(text[i] - '0');
		if (port > PORT_MAX)
			return -ERANGE;
	}
	if (port < PORT_MIN)
		return -ERANGE;
	*ret_port = (uint16_t)port;
	return 0;
}

static int parse_bound(const char *text, size_t size, uint16_t *ret_port, const char **ret_why)
{
	int r = port_parse(text, size, ret_port);

	if (r == -ERANGE)
		*ret_why = "ports are 1-65535";
	else if (r < 0)
		*ret_why = "a port is digits and nothing else";
	return r < 0 ? -EINVAL : 0;
}

static int parse_range(struct portlist_builder *builder, const char *text, size_t size,
		       const char **ret_why)
{
	const char *dash = memchr(text, '-', size);
	uint16_t first, last = PORT_MAX;
	size_t head, tail;
	int r;

	if (size == 0) {
		*ret_why = "a port is missing";
		return -EINVAL;
	}
	if (dash == text) {
		*ret_why = "a range needs its first port, as in 1-1023";
		return -EINVAL;
	}
	head = dash ? (size_t)(dash - text) : size;
	r = parse_bound(text, head, &first, ret_why);
	if (r < 0)
		return r;
	if (!dash)
		return portlist_builder_add(builder, first, first);

	tail = size - head - 1;
	if (tail > 0) {
		r = parse_bound(dash + 1, tail, &last, ret_why);
		if (r < 0)
			return r;
	}
	return portlist_builder_add(builder, first, last);
}

int portlist_builder_parse(struct portlist_builder *builder, const char *text, size_t size,
			   const char **ret_why)
{
	for (;;) {
		const char *comma = memchr(text, ',', size);
		size_t length = comma ? (size_t)(comma - text) : size;
		int r = parse_range(builder, text, length, ret_why);

		if (r < 0)
			return r;
		if (!comma)
			return 0;
		text = comma + 1;
		size -= length + 1;
	}
}

void portlist_builder_finish(struct portlist_builder *builder, struct portlist *ret_list)
{
	*ret_list = builder->list;
	builder->list = (struct portlist){ 0 };
	portlist_builder_free(builder);
}

int portlist_parse(struct portlist *ret_list, const char *text, const char **ret_why)
{
	_cleanup_(builder_freep) struct portlist_builder *builder = NULL;
	int r;

	r = portlist_builder_new(&builder);
	if (r < 0)
		return r;
	r = portlist_builder_parse(builder, text, strlen(text), ret_why);
	if (r < 0)
		return r;
	portlist_builder_finish(steal(builder), ret_list);
	return 0;
}

int portlist_exclude(struct portlist *ret_list, const struct portlist *list,
		     const struct portlist *exclude)
{
	_cleanup_(builder_freep) struct portlist_builder *builder = NULL;
	int r;

	r = portlist_builder_new(&builder);
	if (r < 0)
		return r;
	/* What is excluded counts as seen, and seen ports are passed over. */
	for (size_t i = 0; i < exclude->n_ranges; i++)
		mark(builder, exclude->ranges[i].first, exclude->ranges[i].last);
	for (size_t i = 0; i < list->n_ranges; i++) {
		r = portlist_builder_add(builder, list->ranges[i].first, list->ranges[i].last);
		if (r < 0)
			return r;
	}
	portlist_builder_finish(steal(builder), ret_list);
	return 0;
}

void portlist_deinit(struct portlist *list)
{
	free(list->ranges);
	*list = (struct portlist){ 0 };
}

bool portlist_contains(const struct portlist *list, uint16_t port)
{
	for (size_t i = 0; i < list->n_ranges; i++)
		if (list->ranges[i].first <= port && port <= list->ranges[i].last)
			return true;
	return false;
}

uint16_t portlist_next(const struct portlist *list, struct portlist_cursor *cursor)
{
	const struct port_range *range;
	uint16_t port;

	if (cursor->range == list->n_ranges)
		return 0;
	range = &list->ranges[cursor->range];
	port = (uint16_t)(range->first + cursor->offset);
	if (port == range->last) {
		cursor->range++;
		cursor->offset = 0;
	} else {
		cursor->offset++;
	}
	return port;
}
