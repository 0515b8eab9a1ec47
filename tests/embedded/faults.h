/*
 * faults.h: allocations that fail when they are told to: those of the daemon, and of the libraries
 * that let theirs be replaced (c-ares here, jansson and libev by the daemon). The linker puts these in place of the
 * C library's: see meson.build.
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Before anything else: has c-ares allocate here. */
void faults_init(void);

/*
 * The n-th allocation fails, counted from 1, and `more` after it too; 0: none does. Only those
 * count, and fail, that are between faults_begin() and faults_end(): the test allocates as well.
 */
void faults_arm(unsigned n, unsigned more);
void faults_begin(void);
void faults_end(void);

/* None fails any more. Whether one did. */
bool faults_disarm(void);

/* Blocks allocated and not yet freed. */
size_t faults_alive(void);
