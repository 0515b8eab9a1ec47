#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LIMIT_INTERVAL 5.0

static struct {
	int max_priority;
	bool is_journal;
} sink = { .max_priority = LOG_INFO };

/* The service manager names the journal's socket by device and inode: stderr may be another. */
static bool is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat status;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device &&
	       status.st_ino == inode;
}

void log_open(int max_priority)
{
	sink.max_priority = max_priority;
	sink.is_journal = is_journal();
}

int log_priority_parse(const char *name)
{
	static const struct {
		const char *name;
		int priority;
	} priorities[] = {
		{ "err", LOG_ERR },   { "warning", LOG_WARNING }, { "notice", LOG_NOTICE },
		{ "info", LOG_INFO }, { "debug", LOG_DEBUG },
	};

	for (size_t i = 0; i < ARRAY_SIZE(priorities); i++)
		if (strcmp(priorities[i].name, name) == 0)
			return priorities[i].priority;
	return -EINVAL;
}

void log_write(int priority, const char *format, ...)
{
	char line[1024];
	va_list arguments;
	int saved = errno;
	int size;

	if (priority > sink.max_priority)
		return;
	size = sink.is_journal ? snprintf(line, sizeof(line), "<%d>", priority)
			       : snprintf(line, sizeof(line), "portscand: ");
	va_start(arguments, format);
	vsnprintf(line + size, sizeof(line) - (size_t)size, format, arguments);
	va_end(arguments);
	fprintf(stderr, "%s\n", line);
	errno = saved;
}

bool log_limit_allows(struct log_limit *limit, double now)
{
	if (now < limit->next)
		return false;
	limit->next = now + LIMIT_INTERVAL;
	return true;
}
