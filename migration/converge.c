/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The last pass takes (dirty pages) * (bytes of stream per page) / (bytes of
 * stream per second).  Bytes are those of the stream, after compression: an
 * estimate in raw bytes against a wire rate would be too high by the
 * compression ratio, and cost passes that gain nothing.  The measured rate
 * has everything in it that slows a pass down, the compression's CPU time
 * too; where max-bandwidth has just been lowered below it, that counts.
 */
#include "migration/converge.h"

ConvergeDecision converge_decide(const ConvergeInput *in)
{
    double rate = in->bytes_per_second;
    double ms;

    if (in->dirty_pages == 0) {
        return (ConvergeDecision){ true, 0 };
    }
    if (in->max_bandwidth && rate > (double)in->max_bandwidth) {
        rate = (double)in->max_bandwidth;
    }
    if (rate <= 0) {
        return (ConvergeDecision){ false, -1 };
    }
    ms = (double)in->dirty_pages * in->bytes_per_page / rate * 1000;
    return (ConvergeDecision){
        .switch_over = ms <= (double)in->downtime_limit_ms,
        .expected_downtime_ms = ms < (double)INT64_MAX ? (int64_t)ms
                                                       : INT64_MAX,
    };
}
