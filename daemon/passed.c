#include "passed.h"

#include "util.h"

#include <systemd/sd-daemon.h>

int passed_take(struct passed *ret_passed)
{
	char **names = NULL;
	int *fds, n;

	n = sd_listen_fds_with_names(1, &names);
	if (n < 0)
		return n;
	fds = calloc((size_t)n + 1, sizeof(*fds));
	if (!fds) {
		for (int i = 0; i < n; i++)
			free(names[i]);
		free(names);
		return -ENOMEM;
	}
	for (int i = 0; i < n; i++)
		fds[i] = SD_LISTEN_FDS_START + i;
	*ret_passed = (struct passed){ .fds = fds, .names = names, .n = (size_t)n };
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
