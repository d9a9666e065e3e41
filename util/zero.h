/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef UTIL_ZERO_H
#define UTIL_ZERO_H

#include <stdbool.h>
#include <stddef.h>

/* Are all bytes zero?  buf is aligned to 8, size is a multiple of 64.  Another
 * thread may write to buf meanwhile; then either answer may come. */
bool buffer_is_zero(const void *buf, size_t size);

#endif
