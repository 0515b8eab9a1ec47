#include "journal-line.h"

#include "util.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAGIC          "portscand leases"
#define FORMAT_VERSION 1
#define ANY_ADDRESS    "*"

static const char *const protocols[] = { "tcp", "udp", "both" };
static const char *const holds[] = { "shared", "exclusive", "none" };
static const char *const untils[] = { "claimed", "connection", "process", "released" };
static const char *const states[] = { "held", "in_use", "quarantined" };

void line_deinit(struct line *line)
{
	free(line->text);
	*line = (struct line){ 0 };
}

static bool make_room(struct line *line, size_t size)
{
	size_t n_allocated = line->n_allocated ? line->n_allocated : 512;
	char *text;

	if (line->error < 0)
		return false;
	if (size <= line->n_allocated - line->size)
		return true;

	while (n_allocated - line->size < size)
		n_allocated *= 2;
	text = realloc(line->text, n_allocated);
	if (!text) {
		line->error = -ENOMEM;
		return false;
	}
	line->text = text;
	line->n_allocated = n_allocated;
	return true;
}

/* Not by printf(): a line is written for every change, before its answer goes out. */
static void add(struct line *line, const char *text)
{
	size_t size = strlen(text);

	if (!make_room(line, size))
		return;
	memcpy(line->text + line->size, text, size);
	line->size += size;
}

/* What stands before it, and the number in digits of that base, `n_min` at least. */
static void add_digits(struct line *line, const char *before, uint64_t number, unsigned base,
		       size_t n_min)
{
	char digits[24], *first = digits + sizeof(digits) - 1;

	*first = '\0';
	for (; number > 0 || digits + sizeof(digits) - 1 - first < (ptrdiff_t)n_min; number /= base)
		*--first = "0123456789abcdef"[number % base];
	add(line, before);
	add(line, first);
}

static void add_id(struct line *line, const char *before, uint64_t id)
{
	add_digits(line, before, id, 16, 16);
	add(line, "\"");
}

/* None that is written is negative. */
static void add_number(struct line *line, const char *before, int64_t number)
{
	add_digits(line, before, (uint64_t)number, 10, 1);
}

static void add_ports(struct line *line, const uint16_t *port, size_t stride, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		add_number(line, i == 0 ? ",\"ports\":[" : ",", *port);
		port = (const uint16_t *)(const void *)((const char *)port + stride);
	}
	add(line, "]");
}

static void add_string(struct line *line, const char *string)
{
	json_t *json = json_string(string);
	size_t size;

	if (!json) {
		line->error = line->error ? line->error : -EILSEQ;
		return;
	}

	size = json_dumpb(json, NULL, 0, JSON_ENCODE_ANY);
	if (make_room(line, size))
		line->size += json_dumpb(json, line->text + line->size, size, JSON_ENCODE_ANY);
	json_decref(json);
}

void line_add_header(struct line *line, const char *boot_id)
{
	add(line, "{\"journal\":\"" MAGIC "\"");
	add_number(line, ",\"version\":", FORMAT_VERSION);
	add(line, ",\"boot\":");
	add_string(line, boot_id);
	add(line, "}\n");
}

static void add_choice(struct line *line, const char *before, const char *const *choices,
		       unsigned choice)
{
	if (choice == 0)
		return;
	add(line, before);
	add(line, choices[choice]);
	add(line, "\"");
}

/* Without what is most often so: reading a line costs what it has of bytes. */
void line_add_lease(struct line *line, const struct lease *lease)
{
	add_id(line, "{\"lease\":\"", lease->id);
	add_number(line, ",\"uid\":", lease->uid);
	if (lease->pid != 0)
		add_number(line, ",\"pid\":", lease->pid);
	if (lease->pid_tag != 0)
		add_id(line, ",\"pid_tag\":\"", lease->pid_tag);
	if (lease->name) {
		add(line, ",\"name\":");
		add_string(line, lease->name);
	}
	add_choice(line, ",\"protocol\":\"", protocols, lease->protocol);
	if (strcmp(lease->address, ANY_ADDRESS) != 0) {
		add(line, ",\"address\":");
		add_string(line, lease->address);
	}
	add_ports(line, &lease->ports[0].port, sizeof(lease->ports[0]), lease->n_ports);
	add(line, ",\"until\":\"");
	add(line, untils[lease->until]);
	add(line, "\"");
	add_choice(line, ",\"hold\":\"", holds, lease->hold);
	add_choice(line, ",\"state\":\"", states, lease->state);
	if (lease->ttl_ms != 0)
		add_number(line, ",\"ttl_ms\":", lease->ttl_ms);
	add_number(line, ",\"created_ms\":", lease->created_ms);
	if (lease->passed)
		add(line, ",\"passed\":true");
	if (lease->expires_ms != LEASE_NEVER)
		add_number(line, ",\"expires_ms\":", lease->expires_ms);
	add(line, "}\n");
}

void line_add_gone(struct line *line, const struct lease *lease)
{
	add_id(line, "{\"gone\":\"", lease->id);
	add(line, "}\n");
}

void line_add_name(struct line *line, const struct name *name)
{
	add(line, "{\"name\":");
	add_string(line, name->text);
	add_number(line, ",\"uid\":", name->uid);
	add_ports(line, name->ports, sizeof(name->ports[0]), name->n_ports);
	add(line, "}\n");
}

_printf_(2, 3) static int bad(struct journal_error *error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error->what, sizeof(error->what), format, arguments);
	va_end(arguments);
	return -EBADMSG;
}

/* NULL, and `error` says why. */
static json_t *parse(const char *text, size_t size, struct journal_error *error)
{
	json_error_t json_error;
	json_t *json;

	json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &json_error);
	if (!json)
		bad(error, "not JSON: %s", json_error.text);
	return json;
}

int line_read_header(const char *text, size_t size, const char *boot_id, bool *ret_same_boot,
		     struct journal_error *ret_error)
{
	_cleanup_(json_decrefp) json_t *json = NULL;
	const char *magic, *boot;
	json_error_t json_error;
	json_int_t version;

	json = parse(text, size, ret_error);
	if (!json)
		return -EBADMSG;
	if (json_unpack_ex(json, &json_error, 0, "{s:s, s:I, s:s}", "journal", &magic, "version",
			   &version, "boot", &boot) < 0)
		return bad(ret_error, "not the header of a journal: %s", json_error.text);
	if (strcmp(magic, MAGIC) != 0)
		return bad(ret_error, "not a journal of leases");
	if (version != FORMAT_VERSION)
		return bad(ret_error, "version %lld of the format; this one reads %d",
			   (long long)version, FORMAT_VERSION);

	*ret_same_boot = strcmp(boot, boot_id) == 0;
	return 0;
}

static int read_choice(const char *what, const char *text, const char *const *choices,
		       size_t n_choices, unsigned *ret_choice, struct journal_error *error)
{
	for (unsigned i = 0; i < n_choices; i++) {
		if (strcmp(text, choices[i]) == 0) {
			*ret_choice = i;
			return 0;
		}
	}
	return bad(error, "%s \"%.40s\" is not known", what, text);
}

static int read_hex(const char *what, const char *text, uint64_t *ret_number,
		    struct journal_error *error)
{
	size_t n = strspn(text, "0123456789abcdef");

	if (n == 0 || n > 16 || text[n] != '\0')
		return bad(error, "%s \"%.40s\" is not a number of hex digits", what, text);

	*ret_number = strtoull(text, NULL, 16);
	return 0;
}

static int read_number(const char *what, json_int_t number, json_int_t min, json_int_t max,
		       struct journal_error *error)
{
	if (number < min || number > max)
		return bad(error, "%s %lld is out of range", what, (long long)number);
	return 0;
}

static int read_port(const json_t *ports, size_t i, uint16_t *ret_port, struct journal_error *error)
{
	const json_t *port = json_array_get(ports, i);

	if (!json_is_integer(port))
		return bad(error, "ports has something other than a number");
	if (json_integer_value(port) < 1 || json_integer_value(port) > UINT16_MAX)
		return bad(error, "%lld is not a port", (long long)json_integer_value(port));

	*ret_port = (uint16_t)json_integer_value(port);
	return 0;
}

static int read_ports(const json_t *ports, struct lease_port **ret_ports, size_t *ret_n_ports,
		      struct journal_error *error)
{
	_cleanup_(freep) struct lease_port *read = NULL;
	size_t n = json_array_size(ports);
	int r;

	if (n == 0 || n > UINT16_MAX)
		return bad(error, "ports is not a list of ports");
	read = calloc(n, sizeof(*read));
	if (!read)
		return -ENOMEM;

	for (size_t i = 0; i < n; i++) {
		r = read_port(ports, i, &read[i].port, error);
		if (r < 0)
			return r;
		if (i > 0 && read[i].port <= read[i - 1].port)
			return bad(error, "ports are not in order");
	}

	*ret_ports = steal(read);
	*ret_n_ports = n;
	return 0;
}

/* The members of a line as they are in JSON. */
struct members {
	const char *id, *pid_tag, *protocol, *hold, *until, *state;
	json_int_t uid, pid, ttl_ms, created_ms, expires_ms;
	json_t *ports;
	int passed;
};

static int check_members(const struct members *members, struct lease *lease,
			 struct journal_error *error)
{
	unsigned protocol = 0, hold = 0, until = 0, state = 0;
	int r;

	r = read_hex("lease", members->id, &lease->id, error);
	if (r >= 0)
		r = read_hex("pid_tag", members->pid_tag, &lease->pid_tag, error);
	if (r >= 0)
		r = read_number("uid", members->uid, 0, UINT32_MAX, error);
	if (r >= 0)
		r = read_number("pid", members->pid, 0, INT32_MAX, error);
	if (r >= 0)
		r = read_choice("protocol", members->protocol, protocols, ARRAY_SIZE(protocols),
				&protocol, error);
	if (r >= 0)
		r = read_choice("hold", members->hold, holds, ARRAY_SIZE(holds), &hold, error);
	if (r >= 0)
		r = read_choice("until", members->until, untils, ARRAY_SIZE(untils), &until, error);
	if (r >= 0)
		r = read_choice("state", members->state, states, ARRAY_SIZE(states), &state, error);
	if (r < 0)
		return r;

	lease->uid = (uid_t)members->uid;
	lease->pid = (pid_t)members->pid;
	lease->protocol = (enum lease_protocol)protocol;
	lease->hold = (enum lease_hold)hold;
	lease->until = (enum lease_until)until;
	lease->state = (enum lease_state)state;
	lease->ttl_ms = members->ttl_ms;
	lease->created_ms = members->created_ms;
	lease->expires_ms = members->expires_ms;
	lease->passed = members->passed;
	return 0;
}

static int explain(int error, struct journal_error *ret_error)
{
	switch (error) {
	case -EINVAL:
		return bad(ret_error, "values that no lease has");
	case -EADDRINUSE:
		return bad(ret_error, "a port that another lease has");
	case -EEXIST:
		return bad(ret_error, "a name that another lease has");
	default:
		return error;
	}
}

static int replay_lease(json_t *json, struct lease_table *table, struct journal_error *error)
{
	_cleanup_(freep) struct lease_port *ports = NULL;
	struct members members = {
		.pid_tag = "0",
		.protocol = protocols[LEASE_TCP],
		.hold = holds[LEASE_SHARED],
		.state = states[LEASE_HELD],
		.expires_ms = LEASE_NEVER,
	};
	json_error_t json_error;
	struct lease lease = { .address = ANY_ADDRESS };
	int r;

	if (json_unpack_ex(
		    json, &json_error, 0,
		    "{s:s, s:I, s?I, s?s, s?s, s?s, s?s, s:o, s:s, s?s, s?s, s?I, s:I, s?b, s?I !}",
		    "lease", &members.id, "uid", &members.uid, "pid", &members.pid, "pid_tag",
		    &members.pid_tag, "name", &lease.name, "protocol", &members.protocol, "address",
		    &lease.address, "ports", &members.ports, "until", &members.until, "hold",
		    &members.hold, "state", &members.state, "ttl_ms", &members.ttl_ms, "created_ms",
		    &members.created_ms, "passed", &members.passed, "expires_ms",
		    &members.expires_ms) < 0)
		return bad(error, "not a lease: %s", json_error.text);

	r = check_members(&members, &lease, error);
	if (r < 0)
		return r;

	r = read_ports(members.ports, &ports, &lease.n_ports, error);
	if (r < 0)
		return r;
	lease.ports = ports;

	return explain(lease_table_restore(table, &lease), error);
}

static int replay_gone(json_t *json, struct lease_table *table, struct journal_error *error)
{
	json_error_t json_error;
	const char *text;
	uint64_t id = 0;
	int r;

	if (json_unpack_ex(json, &json_error, 0, "{s:s !}", "gone", &text) < 0)
		return bad(error, "not the end of a lease: %s", json_error.text);

	r = read_hex("gone", text, &id, error);
	if (r < 0)
		return r;

	lease_table_restore_gone(table, id);
	return 0;
}

static int replay_name(json_t *json, struct lease_table *table, struct journal_error *error)
{
	uint16_t ports[NAMES_PORTS_MAX];
	json_error_t json_error;
	json_t *array = NULL;
	json_int_t uid = 0;
	const char *name = NULL;
	size_t n;
	int r;

	if (json_unpack_ex(json, &json_error, 0, "{s:s, s:I, s:o !}", "name", &name, "uid", &uid,
			   "ports", &array) < 0)
		return bad(error, "not a name: %s", json_error.text);

	r = read_number("uid", uid, 0, UINT32_MAX, error);
	if (r < 0)
		return r;

	n = json_array_size(array);
	if (n > NAMES_PORTS_MAX)
		return bad(error, "more ports than are remembered");
	for (size_t i = 0; i < n; i++) {
		r = read_port(array, i, &ports[i], error);
		if (r < 0)
			return r;
	}

	return explain(lease_table_restore_name(table, (uid_t)uid, name, ports, n), error);
}

int line_replay(const char *text, size_t size, struct lease_table *table,
		struct journal_error *ret_error)
{
	_cleanup_(json_decrefp) json_t *json = NULL;

	json = parse(text, size, ret_error);
	if (!json)
		return -EBADMSG;

	/* A lease may have a name, so in this order. */
	if (json_object_get(json, "lease"))
		return replay_lease(json, table, ret_error);
	if (json_object_get(json, "gone"))
		return replay_gone(json, table, ret_error);
	if (json_object_get(json, "name"))
		return replay_name(json, table, ret_error);
	return bad(ret_error, "neither a lease, nor the end of one, nor a name");
}
