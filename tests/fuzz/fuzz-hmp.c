/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HMP: lines that are typed, and those that somebody has completed. */
#include <string.h>

#include "monitor/hmp.h"
#include "tests/fuzz/fuzz-monitor.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    size_t start;

    g_ptr_array_unref(hmp_complete(text, &start));
    g_assert_cmpuint(start, <=, strlen(text));
    fuzz_monitor(MON_HMP, data, size);
    return 0;
}
