/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzers: each is a file with this one function, which feeds a parser of
 * hostile bytes.  A crash, a sanitizer's report, a hang or a leak is a bug;
 * that the input is refused is not.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

/* Always returns 0.  data may be NULL when size is 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
