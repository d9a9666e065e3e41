/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/vmm-kit.h"

bool vmm_kit_open(VmmKit *kit, const char *line)
{
    g_autofree char *all = g_strconcat("ferry-vm -accel soft -m 16 ", line,
                                       NULL);
    g_auto(GStrv) argv = g_strsplit(all, " ", -1);
    g_autoptr(GError) err = NULL;

    g_assert_true(vm_args_parse(&kit->args, g_strv_length(argv), argv, NULL));
    kit->machine = machine_new(&kit->args, &err);
    if (!kit->machine) {
        g_test_skip(err->message);
        vm_args_clear(&kit->args);
        return false;
    }
    machine_init_mon_host(&kit->host, kit->machine);
    return true;
}

void vmm_kit_close(VmmKit *kit)
{
    machine_free(kit->machine);
    vm_args_clear(&kit->args);
}
