/* unit.h: what the unit tests share. */

#pragma once

#include "protocol.h"

#include <check.h>
#include <string.h>

/*
 * `text` with ' turned into ", so that JSON can be read in a test. Good for the next few calls;
 * text with a real ' in it is not for here.
 */
static inline const char *q(const char *text)
{
	static char texts[8][2048];
	static unsigned turn;
	char *copy = texts[turn++ % ARRAY_SIZE(texts)];
	size_t size = strlen(text);

	ck_assert_uint_lt(size, sizeof(texts[0]));
	for (size_t i = 0; i <= size; i++)
		copy[i] = (char)(text[i] == '\'' ? '"' : text[i]);
	return copy;
}

/* The JSON value that `text` (with ' for ") stands for. */
static inline json_t *json_of(const char *text)
{
	json_error_t error;
	json_t *value = json_loads(q(text), JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);

	ck_assert_msg(value != NULL, "%s: %s", text, error.text);
	return value;
}

/* Asserts that the value is the one that `text` stands for. */
static inline void assert_json(const json_t *value, const char *text)
{
	_cleanup_(json_decrefp) json_t *expected = json_of(text);
	_cleanup_(freep) char *found = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

	ck_assert_msg(json_equal(value, expected), "%s, expected %s", found ? found : "nothing",
		      q(text));
}

/*
 * Runs `tests`, a list that ends with NULL, each followed by `teardown` (NULL: nothing), and
 * returns the exit status of the program.
 */
static inline int unit_run(const char *name, const TTest *const *tests, void (*teardown)(void))
{
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create(name);
	SRunner *runner;
	int failed;

	/* Under valgrind, on a machine with something else to do. */
	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, NULL, teardown);
	for (; *tests; tests++)
		tcase_add_test(tcase, *tests);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
