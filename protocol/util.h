/* util.h: the few idioms that every file here uses. */

#pragma once

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f)        __attribute__((cleanup(f)))
#define _printf_(at, first) __attribute__((format(printf, at, first)))

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define container_of(pointer, type, member)                                                        \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Hands over what a _cleanup_ pointer owns: the value, and the variable is NULL afterwards. */
#define steal(pointer)                                                                             \
	__extension__({                                                                            \
		__typeof__(pointer) _stolen = (pointer);                                           \
		(pointer) = NULL;                                                                  \
		_stolen;                                                                           \
	})

/* -errno after a call that failed: below 0, which compilers and analyzers can't know of errno. */
static inline int negative_errno(void)
{
	return errno > 0 ? -errno : -EIO;
}

static inline int steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -EBADF;
	return stolen;
}

/* _cleanup_(freep) and _cleanup_(closep); both leave errno alone. */
static inline void freep(void *pointer)
{
	free(*(void **)pointer);
}

static inline void closep(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}
