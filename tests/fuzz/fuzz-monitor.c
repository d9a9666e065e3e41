/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/fuzz-monitor.h"

#include "tests/unit/test-monitor-fixture.h"

static GIOStream *client_stream(const uint8_t *data, size_t size)
{
    g_autoptr(GInputStream) in =
        g_memory_input_stream_new_from_data(data, (gssize)size, NULL);
    g_autoptr(GOutputStream) out = g_memory_output_stream_new_resizable();

    return g_simple_io_stream_new(in, out);
}

void fuzz_monitor(MonKind kind, const uint8_t *data, size_t size)
{
    FakeMachine *machine = fake_machine_new();
    g_autoptr(GIOStream) stream = client_stream(data, size);

    fake_machine_set_info(machine, MIG_STATE_ACTIVE);
    mon_add_session(machine->monitor, kind, stream);
    /* Until nothing is left to do; a wait for the migration's end has begun
     * then, and does not matter. */
    while (g_main_context_iteration(NULL, FALSE)) {
        continue;
    }
    mon_emit(machine->monitor, "STOP", 0);
    fake_machine_free(machine);
    while (g_main_context_iteration(NULL, FALSE)) {
        continue;
    }
}
