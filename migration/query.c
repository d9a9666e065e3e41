/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From counters and clock readings to what people want to know.  Both locks
 * are taken together, so that state and counters belong to one moment.
 */
#include "migration/internal.h"

static int64_t ms_between(int64_t from, int64_t to)
{
    return from && to ? (to - from) / NS_PER_MS : 0;
}

static void fill_times_locked(Migration *m, MigInfo *info)
{
    int64_t until = m->end_time ? m->end_time : clock_now(m->clock);

    info->total_time_ms = ms_between(m->start_time, until);
    info->setup_time_ms = ms_between(m->start_time, m->active_time);
    info->downtime_ms = ms_between(m->stop_time, m->handover_time);
}

static void fill_ram_locked(Migration *m, MigInfo *info, const StatsData *d)
{
    double seconds = (double)info->total_time_ms / 1000;
    uint64_t pages = d->pages.zero + d->pages.normal + d->pages.compressed;
    double rate = d->bytes_per_second;
    double page_rate = d->pages_per_second;

    if (m->end_time) {
        rate = seconds > 0 ? (double)d->transferred / seconds : 0;
        page_rate = seconds > 0 ? (double)pages / seconds : 0;
    }
    info->ram = (MigRamInfo){
        .transferred = d->transferred,
        .remaining = d->remaining * MIG_PAGE_SIZE,
        .total = m->total_bytes,
        .duplicate = d->pages.zero,
        .normal = d->pages.normal,
        .dirty_sync_count = d->sync_count,
        .dirty_pages_rate = d->dirty_rate,
        .pages_per_second = (uint64_t)page_rate,
        .precopy_bytes = d->precopy_bytes,
        .downtime_bytes = d->transferred - d->precopy_bytes,
        .mbps = rate * 8 / 1e6,
    };
}

static void fill_compression(MigInfo *info, const StatsData *d)
{
    uint64_t raw = d->pages.compressed * MIG_PAGE_SIZE;
    uint64_t bytes = d->pages.compressed_bytes;

    info->compression = (MigCompressionInfo){
        .pages = d->pages.compressed,
        .busy = d->busy,
        .busy_rate = d->jobs ? (double)d->busy / (double)d->jobs : 0,
        .compressed_size = bytes,
        .rate = bytes ? (double)raw / (double)bytes : 0,
    };
}

void mig_query(Migration *m, MigInfo *info)
{
    StatsData d;

    pthread_mutex_lock(&m->lock);
    stats_read(m->stats, &d);
    *info = (MigInfo){
        .state = m->state,
        .incoming = m->peer.incoming,
        .compress = m->options.value[MIG_OPT_COMPRESS],
        .expected_downtime_ms = d.expected_downtime_ms,
        .cpu_throttle = m->throttle,
    };
    if (m->state == MIG_STATE_FAILED) {
        info->error = g_strdup(m->error->message);
    }
    fill_times_locked(m, info);
    fill_ram_locked(m, info, &d);
    fill_compression(info, &d);
    pthread_mutex_unlock(&m->lock);
}

void mig_info_clear(MigInfo *info)
{
    g_clear_pointer(&info->error, g_free);
}
