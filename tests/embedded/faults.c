#include "faults.h"

#include <ares.h>
#include <dirent.h>
#include <errno.h>
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned countdown, n_more;
static bool is_on, has_failed;
static size_t n_alive;

/* clang-format off */
#define WRAPPED(type, name, ...)         \
	type __real_##name(__VA_ARGS__); \
	type __wrap_##name(__VA_ARGS__)
/* clang-format on */

WRAPPED(void *, malloc, size_t size);
WRAPPED(void *, calloc, size_t n, size_t size);
WRAPPED(void *, realloc, void *block, size_t size);
WRAPPED(void *, reallocarray, void *block, size_t n, size_t size);
WRAPPED(char *, strdup, const char *text);
WRAPPED(void, free, void *block);
__attribute__((format(printf, 2, 3))) __attribute__((format(printf, 2, 3)))
WRAPPED(int, asprintf, char **ret_text, const char *format, ...);
WRAPPED(DIR *, opendir, const char *path);
WRAPPED(DIR *, fdopendir, int fd);
WRAPPED(void *, tsearch, const void *key, void **root, int (*compare)(const void *, const void *));

static bool fails(void)
{
	if (!is_on || countdown == 0 || --countdown > 0)
		return false;
	has_failed = true;
	if (n_more > 0) {
		n_more--;
		countdown = 1;
	}
	errno = ENOMEM;
	return true;
}

static void *count(void *block)
{
	n_alive += block != NULL;
	return block;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : count(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : count(__real_calloc(n, size));
}

void *__wrap_realloc(void *block, size_t size)
{
	void *moved;

	if (fails())
		return NULL;
	moved = __real_realloc(block, size);
	n_alive += !block && moved;
	return moved;
}

void *__wrap_reallocarray(void *block, size_t n, size_t size)
{
	void *moved;

	if (fails())
		return NULL;
	moved = __real_reallocarray(block, n, size);
	n_alive += !block && moved;
	return moved;
}

char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : count(__real_strdup(text));
}

void __wrap_free(void *block)
{
	n_alive -= block != NULL;
	__real_free(block);
}

__attribute__((format(printf, 2, 3))) int __wrap_asprintf(char **ret_text, const char *format, ...)
{
	va_list arguments;
	int size;

	if (fails())
		return -1;
	va_start(arguments, format);
	size = vasprintf(ret_text, format, arguments);
	va_end(arguments);
	if (size >= 0)
		count(*ret_text);
	return size;
}

DIR *__wrap_opendir(const char *path)
{
	return fails() ? NULL : __real_opendir(path);
}

DIR *__wrap_fdopendir(int fd)
{
	return fails() ? NULL : __real_fdopendir(fd);
}

void *__wrap_tsearch(const void *key, void **root, int (*compare)(const void *, const void *))
{
	return fails() ? NULL : __real_tsearch(key, root, compare);
}

void faults_init(void)
{
	if (ares_library_init_mem(ARES_LIB_INIT_ALL, __wrap_malloc, __wrap_free, __wrap_realloc) !=
	    ARES_SUCCESS)
		abort();
}

void faults_arm(unsigned n, unsigned more)
{
	countdown = n;
	n_more = more;
	has_failed = false;
}

void faults_begin(void)
{
	is_on = true;
}

void faults_end(void)
{
	is_on = false;
}

bool faults_disarm(void)
{
	countdown = n_more = 0;
	return has_failed;
}

size_t faults_alive(void)
{
	return n_alive;
}
