#include "passed.h"

#include "util.h"

#include <systemd/sd-daemon.h>

int passed_take(struct passed *ret_passed)
{
	struct passed passed = { 0 };
	int n = sd_listen_fds_with_names(1, &passed.names);

	if (n < 0)
		return n;
	passed.fds = calloc((size_t)n + 1, sizeof(*passed.fds));
	if (!passed.fds)
		return -ENOMEM;
	for (int i = 0; i < n; i++)
		passed.fds[passed.n++] = SD_LISTEN_FDS_START + i;
	*ret_passed = passed;
	return 0;
}

void passed_deinit(struct passed *passed)
{
	for (size_t i = 0; i < passed->n; i++) {
		closep(&passed->fds[i]);
		free(passed->names[i]);
	}
	free(passed->names);
	free(passed->fds);
	*passed = (struct passed){ 0 };
}
