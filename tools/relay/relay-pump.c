/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/relay/relay-pump.h"

#include <string.h>

#include "tools/relay/relay-greeting.h"
#include "util/clock.h"

struct Pump {
    Pool *pool;
    unsigned jobs; /* in the ring */
    PumpOutput output;
    int64_t write_time; /* ns for a job, each counting half the one after */
    bool write_failed;
    uint8_t first[GREETING_MAX];
    size_t first_size;
};

Pump *pump_new(const PoolConfig *config, const PumpOutput *output,
               GError **errp)
{
    PoolConfig with_jobs = *config;
    Pump *pump;
    Pool *pool;

    with_jobs.jobs = 2 * config->workers + 2;
    pool = pool_new(&with_jobs, errp);
    if (!pool) {
        return NULL;
    }
    pump = g_new0(Pump, 1);
    pump->pool = pool;
    pump->jobs = with_jobs.jobs;
    pump->output = *output;
    return pump;
}

void pump_free(Pump *pump)
{
    if (pump) {
        pool_free(pump->pool);
        g_free(pump);
    }
}

int64_t pump_write_time(const Pump *pump)
{
    return pump->write_time;
}

bool pump_write_failed(const Pump *pump)
{
    return pump->write_failed;
}

const uint8_t *pump_first(const Pump *pump, size_t *size)
{
    *size = pump->first_size;
    return pump->first;
}

static void keep_first(Pump *pump, const PumpJob *job)
{
    size_t part = MIN(GREETING_MAX - pump->first_size, job->out_size);

    memcpy(pump->first + pump->first_size, job->out, part);
    pump->first_size += part;
}

static bool write_job(Pump *pump, const PumpJob *job, GError **errp)
{
    GOutputVector vector = { job->out, job->out_size };
    const PumpOutput *to = &pump->output;
    int64_t since = clock_now(&clock_monotonic), took;

    if (job->fault) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "%s, at byte %" G_GUINT64_FORMAT " of the stream",
                    job->fault, job->fault_at);
        return false;
    }
    keep_first(pump, job);
    pump->write_failed = !io_channel_writev(to->channel, &vector, 1, errp);
    took = clock_now(&clock_monotonic) - since;
    pump->write_time = (pump->write_time + took) / 2;
    relay_stats_waited(to->stats, to->wait, since);
    if (pump->write_failed) {
        return false;
    }
    relay_stats_add(&to->stats->bytes_out, job->out_size);
    relay_stats_add(&to->stats->pages, job->pages);
    return true;
}

/* Write the oldest job; *written is false where there is none, or, with wait
 * false, where it is not done. */
static bool write_oldest(Pump *pump, bool wait, bool *written, GError **errp)
{
    int64_t since = clock_now(&clock_monotonic);
    const PumpJob *job = pool_collect(pump->pool, wait);
    bool ok;

    *written = job != NULL;
    if (!job) {
        return true;
    }
    relay_stats_waited(pump->output.stats, RELAY_WAIT_CPU, since);
    ok = write_job(pump, job, errp);
    pool_release(pump->pool);
    return ok;
}

/* How many jobs may be in use before another one is. */
static unsigned most_pending(const Pump *pump)
{
    int64_t jobs = PUMP_QUEUE_NS / MAX(pump->write_time, 1);

    return (unsigned)CLAMP(jobs, 1, pump->jobs - 1);
}

void *pump_next(Pump *pump, GError **errp)
{
    bool written = true;

    while (written && pool_pending(pump->pool) > most_pending(pump)) {
        if (!write_oldest(pump, true, &written, errp)) {
            return NULL;
        }
    }
    return pool_next(pump->pool);
}

static bool write_all(Pump *pump, bool wait, GError **errp)
{
    bool written;

    do {
        if (!write_oldest(pump, wait, &written, errp)) {
            return false;
        }
    } while (written);
    return true;
}

bool pump_submit(Pump *pump, GError **errp)
{
    pool_submit(pump->pool);
    return write_all(pump, false, errp);
}

bool pump_flush_idle(Pump *pump, const Stream *from, GError **errp)
{
    bool written = true;

    while (written && !stream_has_input(from)) {
        if (!write_oldest(pump, true, &written, errp)) {
            return false;
        }
    }
    return true;
}

bool pump_flush(Pump *pump, GError **errp)
{
    return write_all(pump, true, errp);
}
