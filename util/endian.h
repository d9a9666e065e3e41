/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Big-endian loads and stores at any alignment. */
#ifndef UTIL_ENDIAN_H
#define UTIL_ENDIAN_H

#include <glib.h>
#include <stdint.h>
#include <string.h>

#define UTIL_ENDIAN_ACCESSORS(bits)                                         \
    static inline void store_be##bits(void *p, uint##bits##_t v)            \
    {                                                                       \
        v = GUINT##bits##_TO_BE(v);                                         \
        memcpy(p, &v, sizeof(v));                                           \
    }                                                                       \
                                                                            \
    static inline uint##bits##_t load_be##bits(const void *p)               \
    {                                                                       \
        uint##bits##_t v;                                                   \
                                                                            \
        memcpy(&v, p, sizeof(v));                                           \
        return GUINT##bits##_FROM_BE(v);                                    \
    }

UTIL_ENDIAN_ACCESSORS(16)
UTIL_ENDIAN_ACCESSORS(32)
UTIL_ENDIAN_ACCESSORS(64)

#undef UTIL_ENDIAN_ACCESSORS

#endif
