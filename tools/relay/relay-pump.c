/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/relay/relay-pump.h"

#include <string.h>

#include "tools/relay/relay-greeting.h"
#include "util/clock.h"

struct Pump {
    Pipeline *pipeline;
    PumpOutput output;
    int64_t counted; /* the part of pipeline_waited() in the statistics */
    atomic_bool write_failed; /* any thread may read */
    uint8_t first[GREETING_MAX];
    size_t first_size;
};

void pump_free(Pump *pump)
{
    if (pump) {
        pipeline_free(pump->pipeline);
        g_free(pump);
    }
}

int64_t pump_write_time(const Pump *pump)
{
    return pipeline_sink_time(pump->pipeline);
}

unsigned pump_pending(const Pump *pump)
{
    return pipeline_pending(pump->pipeline);
}

unsigned pump_ready(const Pump *pump)
{
    return pipeline_ready(pump->pipeline);
}

bool pump_write_failed(const Pump *pump)
{
    return atomic_load(&pump->write_failed);
}

const uint8_t *pump_first(const Pump *pump, size_t *size)
{
    *size = pump->first_size;
    return pump->first;
}

static void keep_first(Pump *pump, const PumpJob *job)
{
    for (unsigned i = 0; i < job->pieces; i++) {
        size_t part = MIN(GREETING_MAX - pump->first_size, job->piece[i].size);

        memcpy(pump->first + pump->first_size, job->piece[i].buffer, part);
        pump->first_size += part;
    }
}

static size_t size_of(const PumpJob *job)
{
    size_t size = 0;

    for (unsigned i = 0; i < job->pieces; i++) {
        size += job->piece[i].size;
    }
    return size;
}

static void count_waited(Pump *pump)
{
    int64_t waited = pipeline_waited(pump->pipeline);
    int64_t more = waited - pump->counted;

    pump->counted = waited;
    atomic_fetch_add_explicit(&pump->output.stats->waited[RELAY_WAIT_CPU],
                              more, memory_order_relaxed);
}

static bool write_job(void *opaque, void *opaque_pump, GError **errp)
{
    PumpJob *job = opaque;
    Pump *pump = opaque_pump;
    const PumpOutput *to = &pump->output;
    int64_t since;
    size_t size;
    bool ok;

    count_waited(pump);
    if (to->finish) {
        to->finish(job, to->opaque);
    }
    if (job->fault) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "%s, at byte %" G_GUINT64_FORMAT " of the stream",
                    job->fault, job->fault_at);
        return false;
    }
    keep_first(pump, job);
    size = size_of(job); /* writing changes the pieces */
    since = clock_now(&clock_monotonic);
    if (to->budget) {
        budget_pace(to->budget, size);
    }
    ok = to->channel ? io_channel_writev(to->channel, job->piece, job->pieces,
                                         errp)
                     : to->write(job, to->opaque, errp);
    relay_stats_waited(to->stats, to->wait, since);
    if (!ok) {
        atomic_store(&pump->write_failed, true);
        return false;
    }
    relay_stats_add(&to->stats->bytes_out, size);
    relay_stats_add(&to->stats->pages, job->pages);
    return true;
}

Pump *pump_new(const PoolConfig *pool, const PumpOutput *output,
               GError **errp)
{
    Pump *pump = g_new0(Pump, 1);
    PipelineConfig config = {
        .pool = *pool,
        .sink = write_job,
        .opaque = pump,
        .queue_ns = PUMP_QUEUE_NS,
    };

    pump->output = *output;
    pump->pipeline = pipeline_new(&config, errp);
    if (!pump->pipeline) {
        g_free(pump);
        return NULL;
    }
    return pump;
}

void *pump_next(Pump *pump, GError **errp)
{
    return pipeline_next(pump->pipeline, errp);
}

bool pump_submit(Pump *pump, GError **errp)
{
    pipeline_submit(pump->pipeline);
    return pipeline_finish_done(pump->pipeline, errp);
}

bool pump_finish_oldest(Pump *pump, GError **errp)
{
    bool any, ok = pipeline_finish_oldest(pump->pipeline, &any, errp);

    g_assert(any);
    return ok;
}

bool pump_flush_idle(Pump *pump, const Stream *from, const atomic_uint *wanted,
                     GError **errp)
{
    bool any = true;

    while (any && !(from && stream_has_input(from)) &&
           !(wanted && atomic_load(wanted))) {
        if (!pipeline_finish_oldest(pump->pipeline, &any, errp)) {
            return false;
        }
    }
    return true;
}

bool pump_flush(Pump *pump, GError **errp)
{
    return pipeline_flush(pump->pipeline, errp);
}
