/*
 * clock_jump.c: loaded into the daemon, sets its wall clock off by as many seconds as the file
 * $CLOCK_OFFSET says, a double, from when on it says so. The host's clock is nothing to play with.
 */

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile double *offset;

__attribute__((constructor)) static void open_offset(void)
{
	const char *path = getenv("CLOCK_OFFSET");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *memory = MAP_FAILED;

	if (fd >= 0)
		memory = mmap(NULL, sizeof(*offset), PROT_READ, MAP_SHARED, fd, 0);
	if (memory != MAP_FAILED)
		offset = memory;
	if (fd >= 0)
		close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	int r = (int)syscall(SYS_clock_gettime, clock, time);

	if (r == 0 && clock == CLOCK_REALTIME && offset)
		time->tv_sec += (time_t)*offset;
	return r;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
	struct timespec now;
	int r = clock_gettime(CLOCK_REALTIME, &now);

	(void)zone;
	time->tv_sec = now.tv_sec;
	time->tv_usec = now.tv_nsec / 1000;
	return r;
}
