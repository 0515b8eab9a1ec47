/* The names of units in cgroup paths. libsystemd knows them only by pid (sd_pid_get_unit()). */

#include "cgroup.h"
#include "util.h"

#include <stdbool.h>
#include <string.h>

#define LETTERS    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define NAME_CHARS LETTERS "0123456789:-_.\\"

/* One directory of a path, not NUL-terminated, without the escape. */
struct component {
	const char *name;
	size_t length;
};

/* Takes the first component off the path; false at the end. */
static bool next_component(const char **path, struct component *ret)
{
	*path += strspn(*path, "/");
	ret->name = *path;
	ret->length = strcspn(*path, "/");
	*path += ret->length;

	/* systemd puts a "_" before names that the kernel could take for a file of its own. */
	if (ret->length > 0 && ret->name[0] == '_') {
		ret->name++;
		ret->length--;
	}
	return ret->length > 0;
}

static bool has_suffix(const struct component *component, const char *suffix)
{
	size_t length = strlen(suffix);

	return component->length > length &&
	       memcmp(component->name + component->length - length, suffix, length) == 0;
}

/* A name of a unit, but not of a template: "foo@.service" can't run. */
static bool is_name(const struct component *component)
{
	const char *dot = memrchr(component->name, '.', component->length);
	const char *at = memchr(component->name, '@', component->length);

	if (component->length >= CGROUP_UNIT_SIZE || !dot || dot == component->name)
		return false;
	for (size_t i = 0; i < component->length; i++) {
		if (component->name[i] != '@' && !strchr(NAME_CHARS, component->name[i]))
			return false;
	}
	return !at || (at != component->name && at + 1 != dot);
}

static bool is_slice(const struct component *component)
{
	return has_suffix(component, ".slice") && is_name(component);
}

/* The types of units that have processes. */
static bool is_unit(const struct component *component)
{
	static const char *const suffixes[] = { ".service", ".scope", ".socket", ".mount",
						".swap" };

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		if (has_suffix(component, suffixes[i]))
			return is_name(component);
	}
	return false;
}

/* The first that is not a slice, if it is a unit; the path is moved behind it. */
static bool next_unit(const char **path, struct component *ret)
{
	while (next_component(path, ret)) {
		if (!is_slice(ret))
			return is_unit(ret);
	}
	return false;
}

static int copy_name(const struct component *component, char *buffer, size_t size)
{
	if (component->length >= size)
		return -ENOBUFS;
	memcpy(buffer, component->name, component->length);
	buffer[component->length] = '\0';
	return 0;
}

int cgroup_unit(const char *path, char *buffer, size_t size)
{
	struct component unit;

	if (!next_unit(&path, &unit))
		return -ENOENT;
	return copy_name(&unit, buffer, size);
}
