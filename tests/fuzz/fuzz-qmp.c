/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP: bytes from a client. */
#include "tests/fuzz/fuzz-monitor.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_monitor(MON_QMP, data, size);
    return 0;
}
