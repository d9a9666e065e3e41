/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first stream is read to its end, and with its memory at hand the second
 * one, and with the memory of that one the two are compared.
 */
#include "tools/inspect/inspect-diff.h"

#include "tools/inspect/guest-diff.h"
#include "tools/inspect/inspect-inputs.h"
#include "tools/inspect/inspect-progress.h"
#include "tools/inspect/json-out.h"
#include "util/thread.h"

#define STREAMS 2u

typedef struct Comparison {
    const InspectArgs *args;
    unsigned reading; /* which stream */
    Input *input;     /* and from where */
    Progress progress;
    Guest guest[STREAMS];
    bool same;
    GError *second; /* why the second one could not be read */
} Comparison;

static bool read_guest(Comparison *c, unsigned i, GError **errp);

static void show_progress(void *opaque)
{
    Comparison *c = opaque;

    progress_update(&c->progress, input_position(c->input));
}

static void compare(Comparison *c)
{
    Out out = { .first = true };

    progress_clear(&c->progress);
    c->same = guest_diff(&c->guest[0], &c->guest[1],
                         c->args->json ? &diff_json : &diff_text, &out);
}

static bool have_guest(void *opaque, const InspectReport *report,
                       const InspectRam *ram, GError **errp)
{
    Comparison *c = opaque;

    c->guest[c->reading].report = report;
    c->guest[c->reading].ram = ram;
    if (c->reading + 1 < STREAMS) {
        progress_clear(&c->progress);
        read_guest(c, c->reading + 1, &c->second);
        return true; /* the first one is good */
    }
    compare(c);
    return true;
}

static bool read_stream(Comparison *c, Input *input, GError **errp)
{
    const char *scratch = g_getenv("TMPDIR");
    const InspectConfig config = {
        .convert = have_guest,
        .scratch = scratch ? scratch : "/var/tmp",
        .threads = thread_count(
            c->args->options.value[MIG_OPT_DECOMPRESS_THREADS]),
        .to_the_end = input_size(input) > 0,
        .progress = show_progress,
        .opaque = c,
    };
    InspectReport report;
    bool ok;

    inspect_report_init(&report);
    progress_init(&c->progress, input_size(input));
    ok = inspect_stream(input, &config, &report, errp);
    progress_clear(&c->progress);
    inspect_report_destroy(&report);
    return ok;
}

static bool read_guest(Comparison *c, unsigned i, GError **errp)
{
    const InspectOperand *operand =
        &g_array_index(c->args->operands, InspectOperand, i);
    const GPtrArray *snapshots = c->args->snapshots;
    const char *snapshot =
        snapshots->len ? snapshots->pdata[MIN(i, snapshots->len - 1)] : NULL;
    Input *input;
    bool ok;

    c->reading = i;
    c->guest[i].name = operand->name;
    input = inputs_open_one(operand, snapshot, errp);
    if (!input) {
        return false;
    }
    c->input = input;
    ok = input_has_stream(input);
    if (!ok) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "the image has several snapshots: say which one by "
                    "--snapshot NAME");
    }
    ok = ok && read_stream(c, input, errp);
    input_free(input);
    return ok;
}

bool inspect_diff(const InspectArgs *args, bool *same, const char **name,
                  GError **errp)
{
    Comparison c = { .args = args };
    bool ok = read_guest(&c, 0, errp);

    if (c.second) {
        g_propagate_error(errp, c.second);
        ok = false;
    }
    *same = c.same;
    *name = c.guest[c.reading].name;
    return ok;
}
