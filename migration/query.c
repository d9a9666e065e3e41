/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From counters and clock readings to what people want to know.  A query holds
 * all the locks together, so that state and counters belong to one moment.  It
 * holds event_lock too, so that nobody sees a state before the host has got its
 * event.
 */
#include "migration/internal.h"
#include "migration/pack/codec.h"

/* Facts that only the thread knows */

void migration_set_total(Migration *m, uint64_t bytes)
{
    pthread_mutex_lock(&m->lock);
    m->total_bytes = bytes;
    pthread_mutex_unlock(&m->lock);
}

void migration_set_throttle(Migration *m, unsigned percent)
{
    pthread_mutex_lock(&m->lock);
    m->throttle = percent;
    pthread_mutex_unlock(&m->lock);
}

void migration_mark_stopped(Migration *m)
{
    pthread_mutex_lock(&m->lock);
    m->stop_time = clock_now(m->clock);
    pthread_mutex_unlock(&m->lock);
}

/* The query */

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

/* A destination does not know what the guest writes, nor when it stops. */
static void fill_source_ram(MigRamInfo *ram, const StatsData *d)
{
    ram->remaining = d->remaining * MIG_PAGE_SIZE;
    ram->dirty_sync_count = d->sync_count;
    ram->dirty_pages_rate = d->dirty_rate;
    ram->precopy_bytes = d->precopy_bytes;
    ram->downtime_bytes = d->transferred - d->precopy_bytes;
}

static void fill_ram_locked(Migration *m, MigInfo *info, const StatsData *d)
{
    double seconds = (double)info->total_time_ms / 1000;
    uint64_t pages = page_counts_all(&d->pages);
    double rate = d->bytes_per_second;
    double page_rate = d->pages_per_second;

    if (m->end_time) {
        rate = seconds > 0 ? (double)d->transferred / seconds : 0;
        page_rate = seconds > 0 ? (double)pages / seconds : 0;
    }
    info->ram = (MigRamInfo){
        .transferred = d->transferred,
        .total = m->total_bytes,
        .duplicate = d->pages.zero,
        .normal = d->pages.normal,
        .pages_per_second = (uint64_t)page_rate,
        .mbps = rate * 8 / 1e6,
    };
    if (!m->peer.incoming) {
        fill_source_ram(&info->ram, d);
    }
}

const char *mig_encoder(const MigOptions *options)
{
    const Codec *codec =
        codec_without_packs(options->value[MIG_OPT_COMPRESS_METHOD]);

    return codec->available
               ? codec->encoder_name(
                     (unsigned)options->value[MIG_OPT_COMPRESS_LEVEL])
               : NULL;
}

/* What is at work; until the destination is known, what all can read. */
static void fill_encoding(const Migration *m, MigCompressionInfo *info,
                          const StatsEncoding *encoding)
{
    const uint64_t *value = m->options.value;

    if (encoding->method) {
        info->method = encoding->method;
        info->level = encoding->level;
        info->reason = encoding->reason;
        info->encoder = encoding->encoder;
        return;
    }
    info->method = codec_without_packs(value[MIG_OPT_COMPRESS_METHOD])->name;
    info->level = (unsigned)value[MIG_OPT_COMPRESS_LEVEL];
    info->encoder = mig_encoder(&m->options);
}

static void fill_compression(const Migration *m, MigInfo *info,
                             const StatsData *d)
{
    uint64_t raw = d->pages.compressed * MIG_PAGE_SIZE;
    uint64_t bytes = d->pages.compressed_bytes;

    info->compression = (MigCompressionInfo){
        .pages = d->pages.compressed,
        .unchanged = d->pages.unchanged,
        .busy = d->busy,
        .busy_rate = d->jobs ? (double)d->busy / (double)d->jobs : 0,
        .compressed_size = bytes,
        .rate = bytes ? (double)raw / (double)bytes : 0,
        .history = d->history,
    };
    if (!m->peer.incoming) {
        fill_encoding(m, &info->compression, &d->encoding);
    }
}

static void fill_xbzrle(const Migration *m, MigInfo *info, const StatsData *d)
{
    const PageCounts *p = &d->pages;
    uint64_t looked_up = p->xbzrle + p->xbzrle_overflow + p->xbzrle_misses;

    if (!info->xbzrle) {
        return;
    }
    info->xbzrle_cache = (MigXbzrleInfo){
        .cache_size = m->options.value[MIG_OPT_XBZRLE_CACHE_SIZE],
        .pages = p->xbzrle,
        .bytes = p->xbzrle_bytes,
        .cache_miss = p->xbzrle_misses,
        .overflow = p->xbzrle_overflow,
        .cache_miss_rate = looked_up ? (double)p->xbzrle_misses /
                                           (double)looked_up : 0,
        .encoding_rate = p->xbzrle_bytes
                             ? (double)(p->xbzrle * MIG_PAGE_SIZE) /
                                   (double)p->xbzrle_bytes : 0,
    };
}

/* A destination takes compressed pages whatever its options say. */
static bool is_compressing(const Migration *m, const StatsData *d)
{
    return m->options.value[MIG_OPT_COMPRESS] ||
           (m->peer.incoming && d->pages.compressed > 0);
}

/* Before the first estimate: the limit that the downtime will be held to. */
static int64_t expected_downtime_locked(const Migration *m,
                                        const StatsData *d)
{
    return d->expected_downtime_ms >= 0 ? d->expected_downtime_ms
                                        : (int64_t)m->downtime_limit_ms;
}

/* Only a floor above the limit is worth telling. */
static int64_t downtime_floor_locked(const Migration *m, const StatsData *d)
{
    return d->downtime_floor_ms > (int64_t)m->downtime_limit_ms
               ? d->downtime_floor_ms : 0;
}

void mig_query(Migration *m, MigInfo *info)
{
    StatsData d;

    pthread_mutex_lock(&m->event_lock);
    pthread_mutex_lock(&m->lock);
    stats_read(m->stats, &d);
    *info = (MigInfo){
        .state = m->state,
        .incoming = m->peer.incoming,
        .compress = is_compressing(m, &d),
        .expected_downtime_ms = expected_downtime_locked(m, &d),
        .downtime_floor_ms = downtime_floor_locked(m, &d),
        .cpu_throttle = m->throttle,
        .xbzrle = !m->peer.incoming && m->options.value[MIG_OPT_XBZRLE],
    };
    if (m->state == MIG_STATE_FAILED) {
        info->error = g_strdup(m->error->message);
    }
    fill_times_locked(m, info);
    fill_ram_locked(m, info, &d);
    fill_compression(m, info, &d);
    fill_xbzrle(m, info, &d);
    pthread_mutex_unlock(&m->lock);
    pthread_mutex_unlock(&m->event_lock);
}

void mig_info_clear(MigInfo *info)
{
    g_clear_pointer(&info->error, g_free);
}
