/* SPDX-License-Identifier: MIT */
/*
 * A stream of bytes that both ends can make and check from a seed and an
 * offset: a byte lost, doubled, moved or changed shows, and where.
 */
#ifndef GUEST_PATTERN_H
#define GUEST_PATTERN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t pattern_word(uint64_t seed, uint64_t index)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15ULL + index * 0xd1342543de82ef95ULL + 1;

	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ULL;
	return x ^ (x >> 29);
}

static inline uint8_t pattern_byte(uint64_t seed, uint64_t offset)
{
	return pattern_word(seed, offset / 8) >> (8 * (offset % 8));
}

/* Fills @buf with the bytes at @offset of the stream of @seed. */
static inline void pattern_fill(void *buf, size_t len, uint64_t seed, uint64_t offset)
{
	uint8_t *to = buf;
	uint64_t word;

	for (; len && offset % 8; len--)
		*to++ = pattern_byte(seed, offset++);
	for (; len >= 8; len -= 8, to += 8, offset += 8) {
		word = pattern_word(seed, offset / 8);
		memcpy(to, &word, 8);
	}
	for (; len; len--)
		*to++ = pattern_byte(seed, offset++);
}

/* Returns how many bytes of @buf are right, from its start: @len when all are. */
static inline size_t pattern_check(const void *buf, size_t len, uint64_t seed, uint64_t offset)
{
	const uint8_t *from = buf;
	size_t i = 0;
	uint64_t word;

	while (i < len) {
		if (!((offset + i) % 8) && len - i >= 8) {
			word = pattern_word(seed, (offset + i) / 8);
			if (!memcmp(from + i, &word, 8)) {
				i += 8;
				continue;
			}
		}
		if (from[i] != pattern_byte(seed, offset + i))
			return i;
		i++;
	}
	return i;
}

#endif
