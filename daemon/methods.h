/* methods.h: the table of methods: a new one is a row. */

#pragma once

#include "calls.h"
#include "request.h"

#include <stddef.h>

struct method {
	const struct method_names *names;
	const struct field *params;
	size_t params_size;
	const struct field *result; /* NULL: a json_t */
	/*
	 * Sees to it that the request is answered, now or later. -errno if it can't: the caller
	 * fails the request with that, and cancel() is not called.
	 */
	int (*start)(struct request *request);
	/* Frees request->work, and with it all that is under way; NULL if there never is any. */
	void (*cancel)(struct request *request);
};

/* What `name` of the dialect stands for, or NULL. */
const struct method *method_find_by_name(const char *name, enum dialect dialect);

/* Room for the names of all methods. */
#define METHOD_NAMES_SIZE 256

/* Those of JSON-RPC with commas between them, in `ret_text`, which is returned. */
const char *method_names(char ret_text[METHOD_NAMES_SIZE]);

/* Its place in the table, for counting. */
size_t method_index(const struct method *method);

/* The methods in their order, NULL at the end. */
const struct method *method_at(size_t index);

/* The methods themselves, each in a file of its own. */
int check_start(struct request *request);
void check_cancel(struct request *request);
int find_start(struct request *request);
void find_cancel(struct request *request);
int scan_start(struct request *request);
void scan_cancel(struct request *request);
int wait_start(struct request *request);
void wait_cancel(struct request *request);
int lease_start(struct request *request);
void lease_cancel(struct request *request);
int renew_start(struct request *request);
int release_start(struct request *request);
int leases_start(struct request *request);
void leases_cancel(struct request *request);
int who_start(struct request *request);
void who_cancel(struct request *request);
int metrics_start(struct request *request);
int info_start(struct request *request);
int cancel_start(struct request *request);
int interface_description_start(struct request *request);

/* Whether there are leases here; false: the request was failed. */
bool request_has_leases(struct request *request);

/* Fails it: `what` is what is wrong with the member. */
void lease_refuse_member(struct request *request, const char *member, const char *what);

/* Fails it for what leases_grant() or lease_table_renew() returned; `params` are those of lease. */
void lease_fail(struct request *request, int error, const struct lease_params *params);
