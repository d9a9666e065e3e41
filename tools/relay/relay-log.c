/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/relay/relay-log.h"

#include <stdio.h>

void relay_log(const RelayFindings *findings, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    fprintf(stderr, "ferry-relay: migration %u: %s\n", findings->number,
            text);
}

void relay_found_ram(RelayFindings *findings, bool has_return_path)
{
    findings->has_ram = true;
    findings->return_path = has_return_path;
    if (!has_return_path) {
        relay_log(findings,
                  "WARNING: the source has no return path: it will say "
                  "'completed', and give up the guest, before the destination "
                  "has got everything; turn on the capability return-path");
    }
}

void relay_found_rest(RelayFindings *findings, const char *reason)
{
    findings->past_ram = true;
    if (reason) {
        findings->passed_on = g_strdup(reason);
        relay_log(findings, "passing on the rest as it is, uncompressed: %s",
                  reason);
    }
}

void relay_findings_clear(RelayFindings *findings)
{
    g_clear_pointer(&findings->passed_on, g_free);
}
