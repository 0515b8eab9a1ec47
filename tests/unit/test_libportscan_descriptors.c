/* Whose descriptors are whose, and that none is left behind: with a daemon that the test plays. */

#include "libportscan_test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static struct portscan *p;
static int peer;
static unsigned n_before;

static unsigned count_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void setup(void)
{
	int sockets[2];

	n_before = count_descriptors();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	ck_assert_int_eq(portscan_new_from_fd(&p, sockets[0]), 0);
	peer = sockets[1];
}

static void teardown(void)
{
	portscan_free(p);
	close(peer);
	ck_assert_uint_eq(count_descriptors(), n_before);
}

/* `text` in a message of its own, with `n` descriptors of one pipe, whose inode is returned. */
static ino_t play(const char *text, unsigned n)
{
	struct iovec part = { .iov_base = (char *)text, .iov_len = strlen(text) };
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(8 * sizeof(int))];
	} control = { 0 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	int pipes[2], fds[8];
	struct stat status;

	ck_assert_int_eq(pipe(pipes), 0);
	ck_assert_int_eq(fstat(pipes[0], &status), 0);
	for (unsigned i = 0; i < n; i++)
		fds[i] = pipes[0];
	if (n > 0) {
		control.header = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
						   .cmsg_type = SCM_RIGHTS,
						   .cmsg_len = CMSG_LEN(n * sizeof(int)) };
		memcpy(CMSG_DATA(&control.header), fds, n * sizeof(int));
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(n * sizeof(int));
	}
	ck_assert_int_eq(sendmsg(peer, &message, 0), (ssize_t)strlen(text));
	close(pipes[0]);
	close(pipes[1]);
	return status.st_ino;
}

#define BEGIN                                                                                      \
	"{\"jsonrpc\":\"2.0\",\"result\":{\"lease\":{\"lease\":\"0123456789abcdef\",\"name\":"     \
	"null,\"protocol\":\"tcp\",\"address\":\"*\",\"ports\":[7],\"hold\":\"shared\","           \
	"\"until\":\"claimed\",\"state\":\"held\",\"uid\":0,\"pid\":1,\"age_ms\":0,"               \
	"\"expires_in_ms\":null,\"lost\":[]},\"port\":7,\"fds\":"
#define CHECKED                                                                                    \
	"{\"jsonrpc\":\"2.0\",\"result\":{\"host\":\"h\",\"address\":\"a\",\"port\":1,\"status\":" \
	"\"open\",\"reason\":\"accepted\",\"elapsed_us\":1},\"id\":"

/* What came of the calls, by their ids. */
static struct {
	bool is_done;
	int status;
	size_t n_fds;
	ino_t inode; /* of the first */
} ended[8];

static void on_leased(struct portscan *handle, struct portscan_reply *reply, void *userdata)
{
	struct stat status = { 0 };

	(void)handle;
	(void)userdata;
	ck_assert(!ended[reply->id].is_done);
	ended[reply->id].is_done = true;
	ended[reply->id].status = reply->status;
	if (reply->status < 0)
		return;
	ended[reply->id].n_fds = reply->lease->n_fds;
	for (size_t i = 0; i < reply->lease->n_fds; i++) {
		ck_assert_int_eq(fcntl(reply->lease->fds[i], F_GETFD), FD_CLOEXEC);
		ck_assert_int_eq(fstat(reply->lease->fds[i], &status), 0);
	}
	ended[reply->id].inode = status.st_ino;
}

static void start_leases(unsigned n)
{
	struct portscan_lease_args args = { .pass_fd = true };

	memset(ended, 0, sizeof(ended));
	for (unsigned i = 0; i < n; i++)
		ck_assert_int_eq(portscan_lease_start(p, &args, on_leased, NULL, NULL), 0);
}

START_TEST(test_each_has_its_own)
{
	ino_t first, second;

	start_leases(4);
	/* All are there before the first is read: in one piece, for who doesn't look closely. */
	play(BEGIN "[]},\"id\":3}\n", 0);
	first = play(BEGIN "[7]},\"id\":1}\n", 1);
	second = play(BEGIN "[7,7]},\"id\":4}\n", 2);
	play(BEGIN "[]},\"id\":2}\n", 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(portscan_dispatch(p), 0);
	for (int id = 1; id <= 4; id++)
		ck_assert(ended[id].is_done && ended[id].status == 0);
	ck_assert_uint_eq(ended[1].n_fds, 1);
	ck_assert_uint_eq(ended[1].inode, first);
	ck_assert_uint_eq(ended[4].n_fds, 2);
	ck_assert_uint_eq(ended[4].inode, second);
	ck_assert_uint_eq(ended[2].n_fds + ended[3].n_fds, 0);
}
END_TEST

START_TEST(test_answer_in_pieces)
{
	ino_t first, second;

	start_leases(2);
	first = play(BEGIN "[7", 1);
	ck_assert_int_eq(portscan_dispatch(p), 0);
	play("]},\"id\"", 0);
	ck_assert_int_eq(portscan_dispatch(p), 0);
	ck_assert(!ended[1].is_done);
	/* The rest of the one and the whole of the next are read at once. */
	play(":1}\n", 0);
	second = play(BEGIN "[7]},\"id\":2}\n", 1);
	ck_assert_int_eq(portscan_dispatch(p), 0);
	ck_assert_int_eq(portscan_dispatch(p), 0);
	ck_assert_uint_eq(ended[1].inode, first);
	ck_assert_uint_eq(ended[2].inode, second);
}
END_TEST

START_TEST(test_other_than_said)
{
	char request[4096];
	ssize_t size;

	start_leases(3);
	play(BEGIN "[7,7]},\"id\":1}\n", 1);
	play(BEGIN "[7]},\"id\":2}\n", 2);
	play(BEGIN "[7]},\"id\":3}\n", 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(portscan_dispatch(p), 0);
	for (int id = 1; id <= 3; id++)
		ck_assert_int_eq(ended[id].status, -EBADMSG);
	ck_assert_uint_eq(count_descriptors(), n_before + 2);
	/* What is of no use is given back. */
	size = read(peer, request, sizeof(request) - 1);
	ck_assert_int_gt(size, 0);
	request[size] = '\0';
	ck_assert_ptr_nonnull(strstr(request, "\"method\":\"release\",\"params\":"
					      "{\"lease\":\"0123456789abcdef\"}"));
}
END_TEST

START_TEST(test_nobody_wants_them)
{
	struct portscan_check_args args = { .port = 1 };
	char *text;

	/* A call without descriptors, one that doesn't exist, an error, and a notification. */
	start_leases(1);
	ck_assert_int_eq(portscan_check_start(p, &args, NULL, NULL, NULL), 0);
	play(CHECKED "2}\n", 1);
	play(BEGIN "[7]},\"id\":77}\n", 1);
	play("{\"jsonrpc\":\"2.0\",\"error\":{\"code\":11,\"message\":\"m\"},\"id\":1}\n", 2);
	play("{\"jsonrpc\":\"2.0\",\"method\":\"progress\",\"params\":{\"id\":9}}\n", 2);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(portscan_dispatch(p), 0);
	ck_assert_int_eq(ended[1].status, -EREMOTEIO);
	ck_assert_uint_eq(count_descriptors(), n_before + 2);

	play(BEGIN "[7]},\"id\":3}\n", 1);
	ck_assert_int_eq(portscan_call(p, "lease", "{\"pass_fd\":true}", &text), 0);
	free(text);
	ck_assert_uint_eq(count_descriptors(), n_before + 2);
}
END_TEST

/* Read, unread, and read in part: all go with the handle. */
START_TEST(test_end_of_the_handle)
{
	start_leases(2);
	play(BEGIN "[7]},\"id\":1}\n" BEGIN, 1);
	play("[", 3);
	ck_assert_int_eq(portscan_dispatch(p), 0);
	play("7", 3);
	portscan_free(p);
	p = NULL;
	ck_assert_int_eq(ended[2].status, -ECANCELED);
	ck_assert_uint_eq(count_descriptors(), n_before + 1);
}
END_TEST

START_TEST(test_too_many)
{
	start_leases(1);
	for (int i = 0; i < 100; i++)
		play(" ", 8);
	while (portscan_dispatch(p) == 0)
		;
	ck_assert_int_eq(ended[1].status, -EBADMSG);
}
END_TEST

static void on_freeing(struct portscan *handle, struct portscan_reply *reply, void *userdata)
{
	(void)userdata;
	ck_assert_int_eq(reply->status, 0);
	portscan_free(handle);
	/* Still good. */
	ck_assert_int_eq(fcntl(reply->lease->fds[0], F_GETFD), FD_CLOEXEC);
}

START_TEST(test_handle_freed_in_a_completion)
{
	struct portscan_lease_args args = { .pass_fd = true };

	ck_assert_int_eq(portscan_lease_start(p, &args, on_freeing, NULL, NULL), 0);
	play(BEGIN "[7]},\"id\":1}\n", 1);
	play(BEGIN "[7]},\"id\":2}\n", 1);
	ck_assert_int_eq(portscan_dispatch(p), -ECANCELED);
	p = NULL;
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("libportscan descriptors");
	TCase *tcase = tcase_create("libportscan descriptors");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 20);
	tcase_add_test(tcase, test_each_has_its_own);
	tcase_add_test(tcase, test_answer_in_pieces);
	tcase_add_test(tcase, test_other_than_said);
	tcase_add_test(tcase, test_nobody_wants_them);
	tcase_add_test(tcase, test_end_of_the_handle);
	tcase_add_test(tcase, test_too_many);
	tcase_add_test(tcase, test_handle_freed_in_a_completion);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
