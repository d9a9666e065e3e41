/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small machine in the test's own process. */
#ifndef TESTS_VMM_KIT_H
#define TESTS_VMM_KIT_H

#include "vmm/machine.h"

typedef struct VmmKit {
    VmArgs args;
    Machine *machine;
    MonHost host;
} VmmKit;

/* line is what follows on its command line.  False, and the test is skipped,
 * where there is no software CPU. */
bool vmm_kit_open(VmmKit *kit, const char *line);
void vmm_kit_close(VmmKit *kit);

#endif
