/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All but sample_take() are functions of numbers alone.
 *
 * Only the first pass has an end that can be foretold.  Behind it the source
 * goes on until the guest changes few enough pages, by a limit that it tells
 * nobody; what can be told is whether it gets there.
 */
#include "tools/relay/relay-sample.h"

#include "util/clock.h"

#define MIB 1048576.0

/* A wait that is a smaller part of the time is not worth a word. */
#define WAIT_PERCENT 10

/* What has passed in less time says little about the rest. */
#define ESTIMATE_FROM_NS NS_PER_S

void sample_take(RelaySample *sample, RelayStats *stats)
{
    uint64_t in = relay_stats_get(&stats->bytes_in);
    uint64_t out = relay_stats_get(&stats->bytes_out);
    bool unpacks = sample->role == RELAY_ROLE_RECEIVE ||
                   sample->role == RELAY_ROLE_FROM_QEMU;

    sample->plain = unpacks ? out : in;
    sample->packed = unpacks ? in : out;
    sample->pages = relay_stats_get(&stats->pages);
    sample->pages_again = relay_stats_get(&stats->pages_again);
    sample->history = relay_stats_get(&stats->history);
    sample->reverse_bytes = relay_stats_get(&stats->reverse_bytes);
    sample->ram = relay_stats_get(&stats->ram);
    sample->ram_passed = relay_stats_get(&stats->ram_passed);
    sample->passes = relay_stats_get(&stats->passes);
    sample->dirty_rate = relay_stats_get(&stats->dirty_rate);
    sample->pass_rate = relay_stats_get(&stats->pass_rate);
    sample->phase = atomic_load_explicit(&stats->phase, memory_order_relaxed);
    sample->pass_began = atomic_load_explicit(&stats->pass_began,
                                              memory_order_relaxed);
    sample->method = atomic_load_explicit(&stats->method,
                                          memory_order_relaxed);
    sample->level = atomic_load_explicit(&stats->level, memory_order_relaxed);
    for (unsigned i = 0; i < RELAY_WAIT__COUNT; i++) {
        sample->waited[i] = relay_stats_time(stats, i);
    }
}

double sample_rate(const RelaySample *before, const RelaySample *now,
                   uint64_t was, uint64_t is)
{
    int64_t time = now->time - before->time;

    return before->time && time > 0 && is > was
               ? (double)(is - was) * (double)NS_PER_S / (double)time : 0;
}

double sample_ratio(const RelaySample *now)
{
    return now->packed ? (double)now->plain / (double)now->packed : 1;
}

/* Has the first pass come to a page? */
static bool is_in_first_pass(const RelaySample *now)
{
    return now->phase == RELAY_PHASE_FIRST && now->ram_passed > 0 &&
           now->ram_passed <= now->ram;
}

int64_t sample_time_left(const RelaySample *now)
{
    int64_t time = now->time - now->pass_began;

    if (!is_in_first_pass(now) || time < ESTIMATE_FROM_NS) {
        return -1;
    }
    return (int64_t)((double)(now->ram - now->ram_passed) /
                     (double)now->ram_passed * (double)time /
                     (double)NS_PER_S + 0.5);
}

bool sample_converges(const RelaySample *now)
{
    return now->dirty_rate < now->pass_rate;
}

const char *sample_phase_name(RelayPhase phase)
{
    static const char *const name[RELAY_PHASE__COUNT] = {
        [RELAY_PHASE_UNKNOWN] = "unknown",
        [RELAY_PHASE_FIRST] = "first-pass",
        [RELAY_PHASE_AGAIN] = "again",
        [RELAY_PHASE_STOPPED] = "stopped",
        [RELAY_PHASE_POSTCOPY] = "postcopy",
        [RELAY_PHASE_HANDED_OVER] = "handed-over",
    };

    return name[phase];
}

/* Where it is, in few words, as far as is known. */
static void add_place(GString *text, const RelaySample *now)
{
    switch (now->phase) {
    case RELAY_PHASE_UNKNOWN:
        return;
    case RELAY_PHASE_FIRST:
        if (is_in_first_pass(now)) {
            g_string_append_printf(text, " %.0f %%",
                                   100 * ((double)now->ram_passed /
                                          (double)now->ram));
        } else {
            g_string_append(text, " begins");
        }
        return;
    case RELAY_PHASE_AGAIN:
        g_string_append_printf(text, " pass %" G_GUINT64_FORMAT, now->passes);
        return;
    case RELAY_PHASE_STOPPED:
        g_string_append(text, " guest stopped");
        return;
    case RELAY_PHASE_POSTCOPY:
        g_string_append(text, " postcopy");
        return;
    case RELAY_PHASE_HANDED_OVER:
        g_string_append(text, " handed over");
        return;
    case RELAY_PHASE__COUNT:
        break;
    }
    g_assert_not_reached();
}

static void add_first_pass(GString *text, const RelaySample *now)
{
    int64_t left = sample_time_left(now);

    if (now->phase == RELAY_PHASE_FIRST) {
        g_string_append_printf(text, " of %.1f MiB,", (double)now->ram / MIB);
    }
    if (left >= 0) {
        g_string_append_printf(text, " %" G_GINT64_FORMAT " s left of the "
                               "first pass,", left);
    }
}

static void add_link(GString *text, const RelaySample *before,
                     const RelaySample *now)
{
    g_string_append_printf(text, " link %.1f MiB/s, ratio %.2f",
                           sample_rate(before, now, before->packed,
                                       now->packed) / MIB, sample_ratio(now));
    if (now->method) {
        g_string_append_printf(text, ", %s", now->method);
        if (now->level) {
            g_string_append_printf(text, " level %u", now->level);
        }
    }
}

static void add_again(GString *text, const RelaySample *before,
                      const RelaySample *now)
{
    if (now->pages_again) {
        g_string_append_printf(text, ", %" G_GUINT64_FORMAT " pages again "
                               "(%.1f MiB/s)", now->pages_again,
                               sample_rate(before, now, before->pages_again,
                                           now->pages_again) *
                                   MIG_PAGE_SIZE / MIB);
    }
    if (now->pass_rate && now->phase == RELAY_PHASE_AGAIN) {
        g_string_append_printf(text, ", the guest changes %.1f MiB/s: %s",
                               (double)now->dirty_rate / MIB,
                               sample_converges(now)
                                   ? "converges"
                                   : "does not converge at this rate");
    }
}

/* What the time between the two was spent on most. */
static void add_wait(GString *text, const RelaySample *before,
                     const RelaySample *now)
{
    static const char *const name[RELAY_WAIT__COUNT] = {
        [RELAY_WAIT_QEMU] = "QEMU",
        [RELAY_WAIT_LINK] = "the link",
        [RELAY_WAIT_CPU] = "the CPU",
    };
    int64_t time = now->time - before->time, most = 0;
    unsigned what = 0;

    for (unsigned i = 0; i < RELAY_WAIT__COUNT; i++) {
        int64_t waited = now->waited[i] - before->waited[i];

        if (waited > most) {
            most = waited;
            what = i;
        }
    }
    if (before->time && time > 0 && most * 100 >= time * WAIT_PERCENT) {
        g_string_append_printf(text, ", waits for %s %.0f %%", name[what],
                               100.0 * (double)MIN(most, time) /
                                   (double)time);
    }
}

static void add_resumes(GString *text, const LineCounts *line)
{
    if (line->resumes) {
        g_string_append_printf(text, ", resumes: %u", line->resumes);
    }
}

char *sample_text(const RelaySample *before, const RelaySample *now)
{
    GString *text = g_string_new(NULL);

    g_string_append_printf(text, "migration %u", now->number);
    if (now->route) {
        g_string_append_printf(text, " (%s)", now->route);
    }
    g_string_append(text, ":");
    add_place(text, now);
    if (now->phase > RELAY_PHASE_FIRST) {
        g_string_append(text, ",");
    }
    add_first_pass(text, now);
    add_link(text, before, now);
    add_again(text, before, now);
    add_wait(text, before, now);
    add_resumes(text, &now->line);
    return g_string_free(text, FALSE);
}

char *sample_short_text(const RelaySample *now)
{
    GString *text = g_string_new(NULL);

    if (now->route) {
        g_string_append(text, now->route);
    } else {
        g_string_append_printf(text, "%u", now->number);
    }
    add_place(text, now);
    return g_string_free(text, FALSE);
}
