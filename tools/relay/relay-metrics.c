/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The format wants all values of a metric together, so the numbers of each
 * migration are put into an array first.  A value that is not known is NAN
 * there, and is left out.
 *
 * What KubeVirt has, too (kubevirt_vmi_migration_...), has the same end of its
 * name, unit and meaning.  docs/relay.md has the table.
 */
#include "tools/relay/relay-metrics.h"

#include <math.h>

#include "util/clock.h"

#define PREFIX "ferry_relay_migration_"

typedef enum {
    /* KubeVirt's */
    DATA_TOTAL, DATA_PROCESSED, DIRTY_RATE, TRANSFER_RATE, START_TIME, END_TIME,
    SUCCEEDED, FAILED,
    /* ours */
    UNKNOWN, FIRST_PASS, TIME_LEFT, PASSES, CONVERGES, PAGES, PAGES_AGAIN,
    LINK_BYTES, LINK_RATE, RATIO, REVERSE, HISTORY, WAIT_QEMU, WAIT_LINK,
    WAIT_CPU, RESUMES, SENT_AGAIN, LINK_DOWN,
    METRIC__COUNT
} Metric;

static const struct {
    const char *name, *type, *help;
} metrics[METRIC__COUNT] = {
    [DATA_TOTAL] = { "data_total_bytes", "gauge",
        "RAM of the guest, as the stream says." },
    [DATA_PROCESSED] = { "data_processed_bytes", "gauge",
        "Bytes of QEMU's stream that have passed, not packed." },
    [DIRTY_RATE] = { "dirty_memory_rate_bytes", "gauge",
        "Bytes a second that the guest changes." },
    [TRANSFER_RATE] = { "memory_transfer_rate_bytes", "gauge",
        "Bytes a second of QEMU's stream, not packed." },
    [START_TIME] = { "start_time_seconds", "gauge",
        "When the source connected, in Unix time." },
    [END_TIME] = { "end_time_seconds", "gauge",
        "When the migration ended, in Unix time." },
    [SUCCEEDED] = { "succeeded", "gauge", "1: it has completed." },
    [FAILED] = { "failed", "gauge", "1: it has failed." },
    [UNKNOWN] = { "outcome_unknown", "gauge",
        "1: it has ended, and nothing shows how." },
    [FIRST_PASS] = { "first_pass_bytes", "gauge",
        "RAM that the first pass is through." },
    [TIME_LEFT] = { "first_pass_left_seconds", "gauge",
        "Seconds until the first pass ends." },
    [PASSES] = { "passes_total", "counter",
        "Passes through RAM, with the present one." },
    [CONVERGES] = { "converges", "gauge",
        "1: the passes get shorter; 0: they do not." },
    [PAGES] = { "pages_total", "counter",
        "Pages, or blocks, that were packed or unpacked." },
    [PAGES_AGAIN] = { "pages_again_total", "counter",
        "Pages that came behind the first pass." },
    [LINK_BYTES] = { "link_bytes_total", "counter", "Bytes on the link." },
    [LINK_RATE] = { "link_rate_bytes", "gauge",
        "Bytes a second on the link." },
    [RATIO] = { "compression_ratio", "gauge",
        "Bytes of QEMU's stream by bytes on the link." },
    [REVERSE] = { "reverse_bytes_total", "counter",
        "QEMU's bytes from destination to source." },
    [HISTORY] = { "history_bytes", "gauge", "Memory for earlier pages." },
    [WAIT_QEMU] = { "wait_qemu_seconds_total", "counter",
        "Time spent waiting for QEMU." },
    [WAIT_LINK] = { "wait_link_seconds_total", "counter",
        "Time spent waiting for the link." },
    [WAIT_CPU] = { "wait_cpu_seconds_total", "counter",
        "Time spent waiting for threads that pack." },
    [RESUMES] = { "resumes_total", "counter",
        "How often the link came back." },
    [SENT_AGAIN] = { "sent_again_bytes_total", "counter",
        "Bytes that were sent once more after that." },
    [LINK_DOWN] = { "link_down_seconds_total", "counter",
        "Time without a link." },
};

/* What a scanned stream shows. */
static void set_progress(const RelaySample *now, double *value)
{
    int64_t left = sample_time_left(now);

    if (now->phase == RELAY_PHASE_UNKNOWN) {
        return;
    }
    value[DATA_TOTAL] = (double)now->ram;
    value[FIRST_PASS] = (double)now->ram_passed;
    value[PASSES] = (double)now->passes;
    value[PAGES_AGAIN] = (double)now->pages_again;
    if (left >= 0) {
        value[TIME_LEFT] = (double)left;
    }
    if (now->pass_rate) {
        value[DIRTY_RATE] = (double)now->dirty_rate;
        value[CONVERGES] = sample_converges(now);
    }
}

static void set_outcome(const MetricsEntry *e, double *value)
{
    bool ended = e->ended != 0;

    value[START_TIME] = (double)e->began / G_USEC_PER_SEC;
    if (ended) {
        value[END_TIME] = (double)e->ended / G_USEC_PER_SEC;
    }
    value[SUCCEEDED] = ended && e->outcome == RELAY_COMPLETED;
    value[FAILED] = ended && e->outcome == RELAY_FAILED;
    value[UNKNOWN] = ended && e->outcome == RELAY_UNKNOWN;
}

static void set_values(const MetricsEntry *e, double *value)
{
    const RelaySample *before = &e->before, *now = &e->now;

    for (unsigned i = 0; i < METRIC__COUNT; i++) {
        value[i] = NAN;
    }
    set_progress(now, value);
    set_outcome(e, value);
    value[DATA_PROCESSED] = (double)now->plain;
    value[TRANSFER_RATE] = sample_rate(before, now, before->plain, now->plain);
    value[PAGES] = (double)now->pages;
    value[LINK_BYTES] = (double)now->packed;
    value[LINK_RATE] = sample_rate(before, now, before->packed, now->packed);
    value[RATIO] = sample_ratio(now);
    value[REVERSE] = (double)now->reverse_bytes;
    value[HISTORY] = (double)now->history;
    value[WAIT_QEMU] = ns_to_seconds(now->waited[RELAY_WAIT_QEMU]);
    value[WAIT_LINK] = ns_to_seconds(now->waited[RELAY_WAIT_LINK]);
    value[WAIT_CPU] = ns_to_seconds(now->waited[RELAY_WAIT_CPU]);
    value[RESUMES] = now->line.resumes;
    value[SENT_AGAIN] = (double)now->line.sent_again;
    value[LINK_DOWN] = ns_to_seconds(now->line.down);
}

static const MetricsEntry *entry_at(const GArray *entries, unsigned i)
{
    return &g_array_index(entries, MetricsEntry, i);
}

/* Names of routes are letters, digits and - _ . so nothing is to be escaped. */
static void add_labels(GString *text, const MetricsEntry *e)
{
    g_string_append_printf(text, "migration=\"%u\",role=\"%s\"",
                           e->now.number, relay_role_name(e->now.role));
    if (e->now.route) {
        g_string_append_printf(text, ",route=\"%s\"", e->now.route);
    }
}

static void add_head(GString *text, const char *name, const char *type,
                     const char *help)
{
    g_string_append_printf(text, "# HELP %s %s\n# TYPE %s %s\n", name, help,
                           name, type);
}

/* Without a locale's decimal point. */
static void add_value(GString *text, const MetricsEntry *e, const char *name,
                      double value)
{
    char number[G_ASCII_DTOSTR_BUF_SIZE];

    g_ascii_formatd(number, sizeof(number), "%.15g", value);
    g_string_append_printf(text, PREFIX "%s{", name);
    add_labels(text, e);
    g_string_append_printf(text, "} %s\n", number);
}

static void add_metric(GString *text, const GArray *entries,
                       const double *values, Metric m)
{
    g_autofree char *name = g_strconcat(PREFIX, metrics[m].name, NULL);

    add_head(text, name, metrics[m].type, metrics[m].help);
    for (unsigned i = 0; i < entries->len; i++) {
        double value = values[i * METRIC__COUNT + m];

        if (!isnan(value)) {
            add_value(text, entry_at(entries, i), metrics[m].name, value);
        }
    }
}

/* States: the one that holds has the value 1. */
static void add_phases(GString *text, const GArray *entries)
{
    add_head(text, PREFIX "phase", "gauge", "1: where it is.");
    for (unsigned i = 0; i < entries->len; i++) {
        const MetricsEntry *e = entry_at(entries, i);

        g_string_append(text, PREFIX "phase{");
        add_labels(text, e);
        g_string_append_printf(text, ",phase=\"%s\"} 1\n",
                               e->ended ? "ended"
                                        : sample_phase_name(e->now.phase));
    }
}

static void add_encodings(GString *text, const GArray *entries)
{
    add_head(text, PREFIX "encoding", "gauge", "1: how pages are packed.");
    for (unsigned i = 0; i < entries->len; i++) {
        const MetricsEntry *e = entry_at(entries, i);

        if (e->now.method) {
            g_string_append(text, PREFIX "encoding{");
            add_labels(text, e);
            g_string_append_printf(text, ",method=\"%s\",level=\"%u\"} 1\n",
                                   e->now.method, e->now.level);
        }
    }
}

static void add_relay(GString *text, const GArray *entries)
{
    unsigned running = 0;

    for (unsigned i = 0; i < entries->len; i++) {
        running += entry_at(entries, i)->ended == 0;
    }
    add_head(text, "ferry_relay_info", "gauge", "1: the version that runs.");
    g_string_append(text, "ferry_relay_info{version=\"" FERRY_VERSION
                    "\"} 1\n");
    add_head(text, "ferry_relay_migrations", "gauge",
             "Migrations that are on their way.");
    g_string_append_printf(text, "ferry_relay_migrations %u\n", running);
}

char *metrics_text(const GArray *entries)
{
    g_autofree double *values = g_new(double,
                                      (entries->len + 1) * METRIC__COUNT);
    GString *text = g_string_new(NULL);

    for (unsigned i = 0; i < entries->len; i++) {
        set_values(entry_at(entries, i), values + i * METRIC__COUNT);
    }
    add_relay(text, entries);
    for (unsigned m = 0; m < METRIC__COUNT; m++) {
        add_metric(text, entries, values, m);
    }
    add_phases(text, entries);
    add_encodings(text, entries);
    return g_string_free(text, FALSE);
}
