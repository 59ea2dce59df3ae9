/* SPDX-License-Identifier: MIT */
/* The input of a fuzzer, read as a program of small steps: zeros when it is used up. */
#ifndef TESTS_FUZZ_INPUT_H
#define TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>

#define CHECK(condition) do { if (!(condition)) __builtin_trap(); } while (0)

/* Looks only: no input is better for the branches that it takes. */
#define LOOKS __attribute__((no_sanitize("coverage")))

static const uint8_t *input;
static size_t input_left;

static inline uint8_t next(void)
{
	if (!input_left)
		return 0;
	input_left--;
	return *input++;
}

static inline uint16_t next16(void)
{
	return next() | next() << 8;
}

#endif
