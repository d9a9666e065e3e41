/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/relay/relay-outlet.h"

#include <string.h>

#include "tools/relay/relay-kept.h"
#include "util/thread.h"

/* At most, in one write: what comes of QEMU's speed is known that often. */
#define WRITE_MAX ((size_t)256 << 10)

struct Outlet {
    OutletConfig config; /* constant */
    pthread_t thread;
    bool running;        /* thread is to be joined */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* All these under lock. */
    bool connected;
    IoChannel *to;       /* if connected; NULL: nobody listens */
    Kept queue;          /* what was put is written; QEMU was sent the rest */
    uint64_t granted;
    bool full;           /* the queue has not been empty since the last grant */
    bool ending, closing;
    /* The thread's. */
    bool failed;
    int64_t byte_ps;     /* picoseconds that QEMU lately needed for a byte */
};

static bool has_work_locked(const Outlet *o)
{
    return o->closing ||
           (o->connected && (o->queue.sent < o->queue.written || o->ending));
}

/* More than QEMU takes soon does not help, unless it has waited for more. */
static uint64_t room_locked(const Outlet *o)
{
    uint64_t soon;

    if (!o->full || o->byte_ps == 0) {
        return o->queue.size;
    }
    soon = (uint64_t)(OUTLET_QUEUE_NS * 1000 / o->byte_ps);
    return CLAMP(soon, OUTLET_LEAST, o->queue.size);
}

/* Grant more, if it is worth saying.  Returns what to say, or 0. */
static uint64_t grant_locked(Outlet *o)
{
    uint64_t room = room_locked(o), now = o->queue.sent + room;

    if (now < o->granted + room / 4) {
        return 0;
    }
    o->granted = now;
    o->full = o->queue.sent < o->queue.written;
    return now;
}

static void note_time(Outlet *o, size_t size, int64_t time)
{
    int64_t ps = time * 1000 / (int64_t)size;

    o->byte_ps = o->byte_ps ? (o->byte_ps + ps) / 2 : ps;
}

static void fail(Outlet *o, GError *err)
{
    o->failed = true;
    o->config.ended(o->config.opaque, err);
}

/* Write a piece, or drop it. */
static void write_piece(Outlet *o, const uint8_t *bytes, size_t size)
{
    GOutputVector vector = { bytes, size };
    int64_t since = clock_now(&clock_monotonic);
    GError *err = NULL;

    if (o->failed || !o->to) {
        return;
    }
    if (!io_channel_writev(o->to, &vector, 1, &err)) {
        fail(o, err);
        return;
    }
    note_time(o, size, clock_now(&clock_monotonic) - since);
    if (o->config.stats) {
        relay_stats_waited(o->config.stats, RELAY_WAIT_QEMU, since);
    }
}

/* The lock is held before and after. */
static void pass_piece_locked(Outlet *o)
{
    const uint8_t *bytes;
    size_t size = MIN(kept_next(&o->queue, &bytes), WRITE_MAX);
    uint64_t granted;

    pthread_mutex_unlock(&o->lock);
    write_piece(o, bytes, size);
    pthread_mutex_lock(&o->lock);
    kept_did_send(&o->queue, size);
    kept_ack(&o->queue, o->queue.sent);
    if (o->queue.sent == o->queue.written) {
        o->full = false;
    }
    pthread_cond_broadcast(&o->changed);
    granted = grant_locked(o);
    if (granted) {
        pthread_mutex_unlock(&o->lock);
        link_write_total(o->config.link, o->config.channel, RELAY_CREDIT,
                         granted, NULL);
        pthread_mutex_lock(&o->lock);
    }
}

static void finish(Outlet *o)
{
    GError *err = NULL;

    if (!o->failed) {
        if (o->to) {
            io_channel_finish(o->to, &err);
        }
        o->config.ended(o->config.opaque, err);
    }
}

static void *outlet_main(void *opaque)
{
    Outlet *o = opaque;
    bool closing;

    pthread_mutex_lock(&o->lock);
    for (;;) {
        while (!has_work_locked(o)) {
            pthread_cond_wait(&o->changed, &o->lock);
        }
        if (o->closing || o->queue.sent == o->queue.written) {
            break;
        }
        pass_piece_locked(o);
    }
    closing = o->closing;
    pthread_mutex_unlock(&o->lock);
    if (!closing) {
        finish(o);
    }
    return NULL;
}

Outlet *outlet_new(const OutletConfig *config, GError **errp)
{
    Outlet *o = g_new0(Outlet, 1);

    o->config = *config;
    o->granted = relay_window(config->channel);
    pthread_mutex_init(&o->lock, NULL);
    thread_cond_init(&o->changed);
    if (!kept_init(&o->queue, o->granted, errp) ||
        !thread_start(&o->thread, "relay/outlet", outlet_main, o, errp)) {
        outlet_free(o);
        return NULL;
    }
    o->running = true;
    return o;
}

void outlet_stop(Outlet *o)
{
    pthread_mutex_lock(&o->lock);
    o->closing = true;
    pthread_cond_broadcast(&o->changed);
    pthread_mutex_unlock(&o->lock);
    if (o->running) {
        thread_join(o->thread);
        o->running = false;
    }
}

void outlet_free(Outlet *o)
{
    if (!o) {
        return;
    }
    outlet_stop(o);
    kept_destroy(&o->queue);
    pthread_cond_destroy(&o->changed);
    pthread_mutex_destroy(&o->lock);
    g_free(o);
}

void outlet_connect(Outlet *o, IoChannel *to)
{
    pthread_mutex_lock(&o->lock);
    o->connected = true;
    o->to = to;
    pthread_cond_broadcast(&o->changed);
    pthread_mutex_unlock(&o->lock);
}

/* The caller has looked whether there is room. */
static void copy_locked(Outlet *o, const uint8_t *from, size_t size)
{
    while (size) {
        uint8_t *to;
        size_t part = MIN(kept_space(&o->queue, &to), size);

        memcpy(to, from, part);
        kept_wrote(&o->queue, part);
        from += part;
        size -= part;
    }
}

bool outlet_put(Outlet *o, const GOutputVector *bytes, size_t count)
{
    uint64_t size = 0;
    bool ok;

    for (size_t i = 0; i < count; i++) {
        size += bytes[i].size;
    }
    pthread_mutex_lock(&o->lock);
    ok = o->closing ||
         (!o->ending && o->queue.written + size <= o->granted);
    for (size_t i = 0; ok && !o->closing && i < count; i++) {
        copy_locked(o, bytes[i].buffer, bytes[i].size);
    }
    pthread_cond_broadcast(&o->changed);
    pthread_mutex_unlock(&o->lock);
    return ok;
}

void outlet_end(Outlet *o)
{
    pthread_mutex_lock(&o->lock);
    o->ending = true;
    pthread_cond_broadcast(&o->changed);
    pthread_mutex_unlock(&o->lock);
}

void outlet_drain(Outlet *o, int64_t ns)
{
    int64_t until = clock_now(&clock_monotonic) + ns;

    pthread_mutex_lock(&o->lock);
    while (o->connected && !o->closing &&
           o->queue.sent < o->queue.written &&
           clock_now(&clock_monotonic) < until) {
        clock_monotonic.wait(&clock_monotonic, &o->changed, &o->lock, until);
    }
    pthread_mutex_unlock(&o->lock);
}
