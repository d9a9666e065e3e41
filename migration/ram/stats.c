/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One lock, taken once for each batch of pages.  Rates are those of the last
 * whole window, so that they neither jump with every batch nor remember the
 * beginning for ever.  The first window begins after the first pages, because
 * the rate limit lets these pass at once.
 */
#include "migration/ram/stats.h"

#include <pthread.h>

#define WINDOW (100 * NS_PER_MS)

struct Stats {
    const Clock *clock; /* constant */
    pthread_mutex_t lock;
    /* All below: lock.  Set by the threads that own streams; any thread reads
     * data. */
    StatsData data;
    bool stopped;  /* the guest is stopped */
    bool windowed; /* the first window has begun */
    int64_t window_start;
    uint64_t window_bytes; /* data.transferred at window_start */
    uint64_t window_pages; /* handled since window_start */
};

Stats *stats_new(const Clock *clock)
{
    Stats *stats = g_new0(Stats, 1);

    stats->clock = clock;
    stats->data.expected_downtime_ms = -1;
    stats->data.downtime_floor_ms = -1;
    pthread_mutex_init(&stats->lock, NULL);
    return stats;
}

void stats_free(Stats *stats)
{
    if (stats) {
        pthread_mutex_destroy(&stats->lock);
        g_free(stats);
    }
}

static void begin_window_locked(Stats *stats, int64_t now)
{
    stats->windowed = true;
    stats->window_start = now;
    stats->window_bytes = stats->data.transferred;
    stats->window_pages = 0;
}

static void roll_window_locked(Stats *stats)
{
    int64_t now = clock_now(stats->clock);
    int64_t length = now - stats->window_start;
    StatsData *d = &stats->data;

    if (!stats->windowed) {
        if (stats->window_pages > 0) {
            begin_window_locked(stats, now);
        }
        return;
    }
    if (length < WINDOW) {
        return;
    }
    d->bytes_per_second = (double)(d->transferred - stats->window_bytes) *
                          NS_PER_S / (double)length;
    d->pages_per_second = (double)stats->window_pages * NS_PER_S /
                          (double)length;
    begin_window_locked(stats, now);
}

void stats_account(StatsChannel *channel, const PageCounts *more,
                   uint64_t position)
{
    Stats *stats = channel->stats;
    uint64_t pages = page_counts_all(more);
    uint64_t bytes = position - channel->position;
    StatsData *d = &stats->data;

    channel->position = position;
    pthread_mutex_lock(&stats->lock);
    d->pages.zero += more->zero;
    d->pages.normal += more->normal;
    d->pages.compressed += more->compressed;
    d->pages.compressed_bytes += more->compressed_bytes;
    d->pages.zero_bytes += more->zero_bytes;
    d->pages.xbzrle += more->xbzrle;
    d->pages.xbzrle_bytes += more->xbzrle_bytes;
    d->pages.unchanged += more->unchanged;
    d->pages.xbzrle_misses += more->xbzrle_misses;
    d->pages.xbzrle_overflow += more->xbzrle_overflow;
    d->remaining -= MIN(pages, d->remaining);
    d->transferred += bytes;
    d->precopy_bytes += stats->stopped ? 0 : bytes;
    stats->window_pages += pages;
    roll_window_locked(stats);
    pthread_mutex_unlock(&stats->lock);
}

void stats_found(Stats *stats, uint64_t pages)
{
    pthread_mutex_lock(&stats->lock);
    stats->data.remaining += pages;
    pthread_mutex_unlock(&stats->lock);
}

void stats_moved(StatsChannel *channel, uint64_t position)
{
    stats_account(channel, &(PageCounts){ 0 }, position);
}

void stats_job(Stats *stats, bool busy)
{
    pthread_mutex_lock(&stats->lock);
    stats->data.jobs++;
    stats->data.busy += busy;
    pthread_mutex_unlock(&stats->lock);
}

void stats_encoding(Stats *stats, const StatsEncoding *encoding)
{
    pthread_mutex_lock(&stats->lock);
    stats->data.encoding = *encoding;
    pthread_mutex_unlock(&stats->lock);
}

void stats_history(Stats *stats, uint64_t bytes)
{
    pthread_mutex_lock(&stats->lock);
    stats->data.history = bytes;
    pthread_mutex_unlock(&stats->lock);
}

void stats_sync(Stats *stats, uint64_t remaining, uint64_t dirty_rate)
{
    pthread_mutex_lock(&stats->lock);
    stats->data.remaining = remaining;
    stats->data.dirty_rate = dirty_rate;
    stats->data.sync_count++;
    pthread_mutex_unlock(&stats->lock);
}

void stats_expect(Stats *stats, int64_t downtime_ms, int64_t floor_ms)
{
    pthread_mutex_lock(&stats->lock);
    stats->data.expected_downtime_ms = downtime_ms;
    stats->data.downtime_floor_ms = floor_ms;
    pthread_mutex_unlock(&stats->lock);
}

void stats_stopped(Stats *stats)
{
    pthread_mutex_lock(&stats->lock);
    stats->stopped = true;
    pthread_mutex_unlock(&stats->lock);
}

void stats_read(Stats *stats, StatsData *data)
{
    pthread_mutex_lock(&stats->lock);
    *data = stats->data;
    pthread_mutex_unlock(&stats->lock);
}
