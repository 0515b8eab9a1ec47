/* exec.h: a daemon of one's own, for one connection. */

#pragma once

/*
 * Starts portscand, from $PATH or from where it was installed, with one end of a socket pair as
 * its descriptor 3. Returns 0 and the other end, the caller's, in *ret_fd; -ENOENT if there is no
 * program that can be run; or -errno. Blocks until the program runs.
 */
int exec_daemon(int *ret_fd);
