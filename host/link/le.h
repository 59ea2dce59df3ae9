/* SPDX-License-Identifier: MIT */
/*
 * The only way to a field of <manyport/stream.h>. For sparse __le16 and its like are types of their
 * own, which nothing but these functions converts; so code that forgets one does not pass, on
 * whatever machine it is checked.
 */
#ifndef HOST_LINK_LE_H
#define HOST_LINK_LE_H

#include <endian.h>
#include <stdint.h>

#include <linux/types.h>

#ifdef __CHECKER__
#define LE_FORCE __attribute__((force))
#else
#define LE_FORCE
#endif

static inline uint16_t le16_get(__le16 value)
{
	return le16toh((LE_FORCE uint16_t)value);
}

static inline uint32_t le32_get(__le32 value)
{
	return le32toh((LE_FORCE uint32_t)value);
}

static inline uint64_t le64_get(__le64 value)
{
	return le64toh((LE_FORCE uint64_t)value);
}

static inline __le16 le16_make(uint16_t value)
{
	return (LE_FORCE __le16)htole16(value);
}

static inline __le32 le32_make(uint32_t value)
{
	return (LE_FORCE __le32)htole32(value);
}

static inline __le64 le64_make(uint64_t value)
{
	return (LE_FORCE __le64)htole64(value);
}

#endif
