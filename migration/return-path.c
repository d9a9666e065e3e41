/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The destination says little: PONG to each PING, and at the end SHUT with 0
 * or not 0.  A Ferry also says what it can do (a PONG before that of HELLO)
 * and, before a SHUT that is not 0, why it failed.  The thread reads until
 * SHUT, the end of the channel or an error, and leaves the outcome for
 * return_path_wait().
 *
 * The source may be blocked at that time, in a write or in the wait for the
 * rate limit.  Therefore it is told of an outcome that is not success, and
 * aborts the channel.  The channel's error then says less than the one found
 * here.
 */
#include "migration/return-path.h"

#include <pthread.h>

#include "migration/wire/stream.h"
#include "migration/wire/wire.h"
#include "util/clock.h"
#include "util/text.h"
#include "util/thread.h"

/* A destination that fails says so before it closes the channel.  What it has
 * said may take this long to come. */
#define CAUSE_WAIT NS_PER_S

struct ReturnPath {
    /* Constant while the thread runs. */
    IoChannel *channel;  /* borrowed */
    const ReturnPathEar *ear;
    void *opaque;
    pthread_t thread;    /* the owner's */

    /* The thread's; freed by the owner when it has joined the thread. */
    Stream *stream;
    char *reason;        /* what the destination said; NULL: nothing */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* answered or ended was set */
    /* All below: lock.  Set by the thread and read by the owner, but for
     * all_sent. */
    bool ended;         /* no more will come */
    bool answered;      /* the PONG of HELLO has come */
    uint16_t features;  /* complete when answered is set */
    bool all_sent;      /* SHUT 0 can be true; set by the owner, read by the
                         * thread */
    bool refused;       /* SHUT has come, and was not 0 */
    GError *error;      /* set with ended; NULL: it ended in success */
};

/* Every Ferry waits for GO, and says so among its features.  If that bit got
 * lost, the destination would wait for GO in vain, and the guest be lost. */
static bool check_pong(uint32_t value, GError **errp)
{
    if (value != WIRE_FERRY_HELLO && value != WIRE_FERRY_WORK &&
        ((value & WIRE_FERRY_MASK) != WIRE_FERRY_FEATURES ||
         !(value & WIRE_FERRY_HANDOVER))) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM,
                    "return path: a PONG 0x%08x that no PING asked for",
                    value);
        return false;
    }
    return true;
}

static bool get_pong(ReturnPath *rp, GError **errp)
{
    uint32_t value;

    if (!stream_get_be32(rp->stream, &value, errp) ||
        !check_pong(value, errp)) {
        return false;
    }
    pthread_mutex_lock(&rp->lock);
    if ((value & WIRE_FERRY_MASK) == WIRE_FERRY_FEATURES) {
        rp->features = value & ~WIRE_FERRY_MASK;
    }
    rp->answered |= value == WIRE_FERRY_HELLO;
    pthread_cond_broadcast(&rp->changed);
    pthread_mutex_unlock(&rp->lock);
    return true;
}

static bool get_reason(ReturnPath *rp, uint16_t length, GError **errp)
{
    g_autofree char *text = g_malloc0(length + 1u);

    if (!stream_get_bytes(rp->stream, text, length, errp)) {
        return false;
    }
    g_free(rp->reason);
    rp->reason = text_printable(text);
    return true;
}

static bool check_all_sent(ReturnPath *rp, GError **errp)
{
    bool all_sent;

    pthread_mutex_lock(&rp->lock);
    all_sent = rp->all_sent;
    pthread_mutex_unlock(&rp->lock);
    if (!all_sent) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_PEER,
                    "the destination says that it has loaded everything, "
                    "before it was sent");
    }
    return all_sent;
}

static bool get_shut(ReturnPath *rp, GError **errp)
{
    uint32_t value;

    if (!stream_get_be32(rp->stream, &value, errp)) {
        return false;
    }
    if (value) {
        pthread_mutex_lock(&rp->lock);
        rp->refused = true;
        pthread_mutex_unlock(&rp->lock);
        g_set_error(errp, MIG_ERROR, MIG_ERROR_PEER,
                    "the destination failed: %s",
                    rp->reason ? rp->reason : "it did not say why");
        return false;
    }
    return check_all_sent(rp, errp);
}

/* Who sends messages of this type, if that is known; or "". */
static const char *foreign_message(uint16_t type)
{
    switch (type) {
    case WIRE_RP_REQ_PAGES_ID:
    case WIRE_RP_REQ_PAGES:
    case WIRE_RP_RECV_BITMAP:
    case WIRE_RP_RESUME_ACK:
        return ", but postcopy's";
    case WIRE_RP_SWITCHOVER_ACK:
        return ", but switchover-ack's";
    case WIRE_TLS_ALERT:
    case WIRE_TLS:
        return ", but TLS (tls-creds is not set here)";
    case WIRE_RELAY >> 16:
        return ", but a ferry-relay's (that one expects another ferry-relay "
               "here)";
    default:
        return "";
    }
}

static bool bad_message(uint16_t type, uint16_t length, GError **errp)
{
    g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM,
                "return path: message %u with %u bytes is not one that a "
                "destination may send%s", type, length,
                foreign_message(type));
    return false;
}

/* One message; *done when it was the last. */
static bool get_message(ReturnPath *rp, bool *done, GError **errp)
{
    uint16_t type, length;

    if (!stream_get_be16(rp->stream, &type, errp) ||
        !stream_get_be16(rp->stream, &length, errp)) {
        g_prefix_error(errp, "return path: ");
        return false;
    }
    if (type == WIRE_RP_PONG && length == 4) {
        return get_pong(rp, errp);
    }
    if (type == WIRE_RP_SHUT && length == 4) {
        *done = true;
        return get_shut(rp, errp);
    }
    if (type == WIRE_RP_FERRY_REASON && length <= WIRE_REASON_MAX) {
        return get_reason(rp, length, errp);
    }
    return bad_message(type, length, errp);
}

static void *return_path_main(void *arg)
{
    ReturnPath *rp = arg;
    GError *err = NULL;
    bool done = false;

    while (!done && get_message(rp, &done, &err)) {
        rp->ear->alive(rp->opaque);
    }
    if (err) {
        rp->ear->failed(rp->opaque);
    }
    pthread_mutex_lock(&rp->lock);
    rp->error = err;
    rp->ended = true;
    pthread_cond_broadcast(&rp->changed);
    pthread_mutex_unlock(&rp->lock);
    return NULL;
}

ReturnPath *return_path_new(IoChannel *channel, const ReturnPathEar *ear,
                            void *opaque, GError **errp)
{
    ReturnPath *rp = g_new0(ReturnPath, 1);

    rp->channel = channel;
    rp->ear = ear;
    rp->opaque = opaque;
    rp->stream = stream_new(channel);
    pthread_mutex_init(&rp->lock, NULL);
    thread_cond_init(&rp->changed);
    if (!thread_start(&rp->thread, "mig/src/rp", return_path_main, rp,
                      errp)) {
        pthread_cond_destroy(&rp->changed);
        pthread_mutex_destroy(&rp->lock);
        stream_free(rp->stream);
        g_free(rp);
        return NULL;
    }
    return rp;
}

bool return_path_wait_answer(ReturnPath *rp, GError **errp)
{
    bool answered;

    pthread_mutex_lock(&rp->lock);
    while (!rp->answered && !rp->ended) {
        pthread_cond_wait(&rp->changed, &rp->lock);
    }
    answered = rp->answered;
    if (!answered && errp) {
        *errp = g_error_copy(rp->error);
    }
    pthread_mutex_unlock(&rp->lock);
    return answered;
}

void return_path_expect_shut(ReturnPath *rp)
{
    pthread_mutex_lock(&rp->lock);
    rp->all_sent = true;
    pthread_mutex_unlock(&rp->lock);
}

bool return_path_wait(ReturnPath *rp, GError **errp)
{
    bool ok;

    pthread_mutex_lock(&rp->lock);
    while (!rp->ended) {
        pthread_cond_wait(&rp->changed, &rp->lock);
    }
    ok = !rp->error;
    if (!ok && errp) {
        *errp = g_error_copy(rp->error);
    }
    pthread_mutex_unlock(&rp->lock);
    return ok;
}

/* Give a message that may be on its way a moment to come. */
static void await_end_locked(ReturnPath *rp)
{
    int64_t deadline = clock_now(&clock_monotonic) + CAUSE_WAIT;

    while (!rp->ended && clock_now(&clock_monotonic) < deadline) {
        clock_monotonic.wait(&clock_monotonic, &rp->changed, &rp->lock,
                             deadline);
    }
}

bool return_path_has_refused(ReturnPath *rp)
{
    bool refused;

    pthread_mutex_lock(&rp->lock);
    await_end_locked(rp);
    refused = rp->refused;
    pthread_mutex_unlock(&rp->lock);
    return refused;
}

bool return_path_find_cause(ReturnPath *rp, GError **errp)
{
    bool found;

    pthread_mutex_lock(&rp->lock);
    await_end_locked(rp);
    found = rp->error && !g_error_matches(rp->error, MIG_ERROR,
                                          MIG_ERROR_CANCELLED);
    if (found) {
        *errp = g_error_copy(rp->error);
    }
    pthread_mutex_unlock(&rp->lock);
    return found;
}

uint16_t return_path_features(ReturnPath *rp)
{
    uint16_t features;

    pthread_mutex_lock(&rp->lock);
    features = rp->features;
    pthread_mutex_unlock(&rp->lock);
    return features;
}

bool return_path_has(ReturnPath *rp, uint16_t feature)
{
    return rp && (return_path_features(rp) & feature);
}

void return_path_free(ReturnPath *rp)
{
    if (!rp) {
        return;
    }
    io_channel_abort(rp->channel);
    thread_join(rp->thread);
    g_clear_error(&rp->error);
    pthread_cond_destroy(&rp->changed);
    pthread_mutex_destroy(&rp->lock);
    stream_free(rp->stream);
    g_free(rp->reason);
    g_free(rp);
}
