/* fuzz.h: what the fuzz targets share. */

#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Unlike assert(), it is there in every build. */
#define must(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* libFuzzer's entry, which fuzz_replay.c calls too. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
