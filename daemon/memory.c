#include "memory.h"

#include "log.h"

#include <ev.h>
#include <jansson.h>
#include <malloc.h>
#include <string.h>

/*
 * More than libev ever asks for at once: its largest table has 16 bytes for each descriptor that
 * there may be (a million), and is doubled when it is full. Never written to, it takes addresses
 * and no memory.
 */
#define RESERVE_SIZE (32u * 1024 * 1024)

/*
 * More than jansson takes for the worst of messages, 43,690 times "{},": a table of 128 bytes for
 * each of them.
 */
#define PARSE_RESERVE_SIZE (32u * 1024 * 1024)

static void *reserve;

/* Handed out from the front, and all given back at once. */
static _Alignas(max_align_t) char parse_reserve[PARSE_RESERVE_SIZE];
static size_t n_parse_reserve_used;
static bool is_parsing;

static void renew_reserve(void)
{
	if (!reserve)
		reserve = malloc(RESERVE_SIZE);
}

static void *allocate_for_json(size_t size)
{
	void *block = malloc(size);

	if (block || !is_parsing || size > PARSE_RESERVE_SIZE - n_parse_reserve_used)
		return block;
	block = parse_reserve + n_parse_reserve_used;
	size += _Alignof(max_align_t) - 1;
	n_parse_reserve_used += size - size % _Alignof(max_align_t);
	return block;
}

static void free_of_json(void *block)
{
	if ((char *)block < parse_reserve || (char *)block >= parse_reserve + PARSE_RESERVE_SIZE)
		free(block);
}

int memory_parse(json_t **ret_message, const char *data, size_t size, struct error *ret_error)
{
	json_t *message = NULL;
	int r;

	/* Asked for here, as libev itself seldom allocates. */
	renew_reserve();
	is_parsing = true;
	n_parse_reserve_used = 0;
	r = message_parse(&message, data, size, ret_error);
	is_parsing = false;
	if (n_parse_reserve_used > 0) {
		json_decref(message);
		error_deinit(ret_error);
		return -ENOMEM;
	}
	*ret_message = message;
	return r;
}

/* As realloc(), but that 0 bytes are always a free(), as libev wants it. */
static void *allocate_for_loop(void *block, long size)
{
	size_t known = malloc_usable_size(block);
	void *moved;

	if (size == 0) {
		free(block);
		return NULL;
	}
	moved = realloc(block, (size_t)size);
	if (moved)
		return moved;
	if (!reserve || size > (long)RESERVE_SIZE)
		return NULL;
	log_error("out of memory: the event loop lives on its reserve");
	if (block)
		memcpy(reserve, block, known < (size_t)size ? known : (size_t)size);
	free(block);
	moved = realloc(reserve, (size_t)size);
	/* Else it stays larger than it need be. */
	if (!moved)
		moved = reserve;
	reserve = NULL;
	return moved;
}

int memory_init(void)
{
	json_set_alloc_funcs(allocate_for_json, free_of_json);
	ev_set_allocator(allocate_for_loop);
	renew_reserve();
	return reserve ? 0 : -ENOMEM;
}
