/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/relay/relay-report.h"

#include <json-glib/json-glib.h>

#include "util/clock.h"

static void add_int(JsonBuilder *json, const char *name, int64_t value)
{
    json_builder_set_member_name(json, name);
    json_builder_add_int_value(json, value);
}

static void add_string(JsonBuilder *json, const char *name, const char *text)
{
    json_builder_set_member_name(json, name);
    json_builder_add_string_value(json, text);
}

static void add_wait(JsonBuilder *json, const char *name,
                     const RelayReport *r, RelayWait what)
{
    add_int(json, name, relay_stats_time(r->stats, what) / NS_PER_MS);
}

static void add_findings(JsonBuilder *json, const RelayFindings *findings)
{
    if (findings->has_ram) {
        json_builder_set_member_name(json, "return-path");
        json_builder_add_boolean_value(json, findings->return_path);
    }
    if (findings->passed_on) {
        add_string(json, "passed-on", findings->passed_on);
    }
}

static void add_encoding(JsonBuilder *json, RelayStats *stats)
{
    const char *method = atomic_load(&stats->method);
    const char *reason = atomic_load(&stats->reason);

    if (method) {
        add_string(json, "method", method);
        add_int(json, "level", atomic_load(&stats->level));
    }
    if (reason) {
        add_string(json, "method-reason", reason);
    }
}

static void add_progress(JsonBuilder *json, RelayStats *stats)
{
    add_int(json, "ram", (int64_t)relay_stats_get(&stats->ram));
    add_int(json, "passes", (int64_t)relay_stats_get(&stats->passes));
    add_int(json, "pages-again", (int64_t)relay_stats_get(&stats->pages_again));
    add_int(json, "dirty-rate", (int64_t)relay_stats_get(&stats->dirty_rate));
}

static void add_numbers(JsonBuilder *json, const RelayReport *r)
{
    RelayStats *stats = r->stats;
    uint64_t in = relay_stats_get(&stats->bytes_in);
    uint64_t out = relay_stats_get(&stats->bytes_out);
    bool unpacks = r->role == RELAY_ROLE_RECEIVE ||
                   r->role == RELAY_ROLE_FROM_QEMU;
    uint64_t plain = unpacks ? out : in, packed = unpacks ? in : out;

    add_int(json, "bytes-in", (int64_t)in);
    add_int(json, "bytes-out", (int64_t)out);
    json_builder_set_member_name(json, "ratio");
    json_builder_add_double_value(json, packed ? (double)plain / (double)packed
                                               : 1.0);
    add_int(json, "pages", (int64_t)relay_stats_get(&stats->pages));
    add_int(json, "history", (int64_t)relay_stats_get(&stats->history));
    add_int(json, "reverse-bytes",
            (int64_t)relay_stats_get(&stats->reverse_bytes));
    add_int(json, "total-time", r->time / NS_PER_MS);
    add_wait(json, "wait-qemu", r, RELAY_WAIT_QEMU);
    add_wait(json, "wait-link", r, RELAY_WAIT_LINK);
    add_wait(json, "wait-cpu", r, RELAY_WAIT_CPU);
    add_int(json, "resumes", r->line.resumes);
    add_int(json, "bytes-sent-again", (int64_t)r->line.sent_again);
    add_int(json, "link-down", r->line.down / NS_PER_MS);
}

char *relay_report(const RelayReport *r)
{
    g_autoptr(JsonBuilder) json = json_builder_new();
    g_autoptr(JsonNode) root = NULL;

    json_builder_begin_object(json);
    add_int(json, "migration", r->findings->number);
    add_string(json, "role", relay_role_name(r->role));
    if (r->route) {
        add_string(json, "route", r->route->name);
    }
    add_string(json, "status", relay_outcome_name(r->outcome));
    if (r->why) {
        add_string(json, r->outcome == RELAY_FAILED ? "error" : "reason",
                   r->why);
    }
    add_int(json, "connections", r->connections);
    add_numbers(json, r);
    add_encoding(json, r->stats);
    if (r->findings->has_ram) {
        add_progress(json, r->stats);
    }
    add_findings(json, r->findings);
    json_builder_end_object(json);
    root = json_builder_get_root(json);
    return json_to_string(root, FALSE);
}
