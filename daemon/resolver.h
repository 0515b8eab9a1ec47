/* resolver.h: names to addresses, by hosts file and DNS, through c-ares on the loop. */

#pragma once

#include "address.h"
#include "user.h"

#include <ev.h>

struct resolver;

/* One name being looked up. */
struct lookup;

/*
 * `addresses` are the callee's to read until it returns. None: `detail` says why, or `error`, an
 * errno, where it is we who ran short; E2BIG: there are more than ADDRESSES_MAX. The lookup is gone
 * by then.
 */
typedef void (*lookup_done)(void *userdata, const struct address_list *addresses,
			    const char *detail, int error);

int resolver_new(struct resolver **ret_resolver, struct ev_loop *loop);
void resolver_free(struct resolver *resolver);

/*
 * What needs no asking: an address, or a name that stands for this host by definition
 * (localhost, and what ends with .localhost). Returns 1, and adds to *list; 0 if it must be
 * looked up; -EINVAL if it is neither an address nor a name; -ENODEV for an unknown interface
 * behind the %; -ENOMEM.
 */
int host_parse(struct address_list *list, const char *host);

/*
 * Looks `name` (copied) up for `user`, who must outlive the lookup: at once if that user has a
 * place for it, else when one comes free. Never calls done() before it returns. 0 or -ENOMEM.
 */
int resolver_start(struct resolver *resolver, struct user *user, const char *name, lookup_done done,
		   void *userdata, struct lookup **ret_lookup);

/* What it is waiting for, and not for name servers: "descriptors", say. NULL if it is for them. */
const char *lookup_lacks(const struct lookup *lookup);

/* Ends a lookup without the callback. NULL is allowed. */
void lookup_cancel(struct lookup *lookup);
