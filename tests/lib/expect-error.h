/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_EXPECT_ERROR_H
#define TESTS_EXPECT_ERROR_H

#include <glib.h>

#include "ferry/error.h"

/* *err is MIG_ERROR with this code, and has text in its message; clear it. */
void expect_error(GError **err, MigErrorCode code, const char *text);

#endif
