/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VMM_SOFT_SOFT_STATE_H
#define VMM_SOFT_SOFT_STATE_H

#include <glib.h>
#include <stdbool.h>
#include <unicorn/unicorn.h>

#include "vmm/cpu.h"

/*
 * A Unicorn engine does not show all of a CPU's state: load leaves in shadow
 * what save needs in addition.  The field halted is left alone.
 */
bool soft_state_load(uc_engine *uc, CpuState *shadow, const CpuState *state,
                     GError **errp);
void soft_state_save(uc_engine *uc, const CpuState *shadow, CpuState *state);

#endif
