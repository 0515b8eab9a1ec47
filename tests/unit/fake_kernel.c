#include "fake_kernel.h"

void fake_init(struct fake_kernel *kernel, uint64_t seed)
{
	*kernel = (struct fake_kernel){ .random = seed };
}

uint64_t fake_random(struct fake_kernel *kernel)
{
	uint64_t bits = kernel->random += UINT64_C(0x632be59bd9b4e019);

	bits = (bits ^ bits >> 33) * UINT64_C(0xff51afd7ed558ccd);
	bits = (bits ^ bits >> 29) * UINT64_C(0xc4ceb9fe1a85ec53);
	return bits ^ bits >> 32;
}

static int hold(void *userdata, const struct lease *lease, uint16_t port, void **ret_holder)
{
	struct fake_kernel *kernel = userdata;

	(void)lease;
	kernel->n_hold_calls++;
	if (kernel->hold_error)
		return kernel->hold_error;
	if (kernel->taken[port])
		return -EADDRINUSE;

	check_that(!kernel->held[port]);
	kernel->held[port] = true;
	kernel->n_held++;
	*ret_holder = &kernel->held[port];
	return 0;
}

static int hold_again(void *userdata, const struct lease *lease, uint16_t port, void **ret_holder)
{
	struct fake_kernel *kernel = userdata;

	return kernel->kept[port] ? 0 : hold(userdata, lease, port, ret_holder);
}

static void drop(void *userdata, const struct lease *lease, uint16_t port, void *holder)
{
	struct fake_kernel *kernel = userdata;

	(void)lease;
	if (!holder)
		return;
	check_that(kernel->held[port]);
	check_that(holder == &kernel->held[port]);
	kernel->held[port] = false;
	kernel->n_held--;
}

static int listens(void *userdata, const struct lease *lease, uint16_t port)
{
	struct fake_kernel *kernel = userdata;

	(void)lease;
	kernel->n_listens_calls++;
	return kernel->listens_error ? kernel->listens_error : kernel->listening[port];
}

static int record(void *userdata, const struct lease *lease)
{
	struct fake_kernel *kernel = userdata;

	if (kernel->record_error)
		return kernel->record_error;
	kernel->n_recorded++;
	kernel->last_recorded = lease->state;
	return 0;
}

static void erase(void *userdata, const struct lease *lease)
{
	struct fake_kernel *kernel = userdata;

	kernel->n_erased++;
	kernel->last_erased = lease->id;
}

static uint64_t next_random(void *userdata)
{
	struct fake_kernel *kernel = userdata;

	kernel->n_random_calls++;
	return fake_random(kernel);
}

const struct lease_ops fake_ops = {
	.hold = hold,
	.hold_again = hold_again,
	.drop = drop,
	.listens = listens,
	.record = record,
	.erase = erase,
	.random = next_random,
};

struct lease_table *fake_table(struct fake_kernel *kernel)
{
	const struct port_range pool = { POOL_FIRST, POOL_LAST };
	const struct lease_config config = {
		.pool = &pool,
		.n_pool = 1,
		.quarantine_ms = 10000,
		.claim_grace_ms = 5000,
	};
	struct lease_table *table;

	ck_assert_int_eq(lease_table_new(&table, &config, &fake_ops, kernel), 0);
	return table;
}

struct lease_request fake_request(void)
{
	return (struct lease_request){
		.uid = 1000,
		.count = 1,
		.protocol = LEASE_TCP,
		.hold = LEASE_SHARED,
		.until = LEASE_RELEASED,
		.address = "*",
	};
}

int fake_run(TCase *tests)
{
	Suite *suite = suite_create("leases");
	SRunner *runner;
	int n_failed;

	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed > 0;
}
