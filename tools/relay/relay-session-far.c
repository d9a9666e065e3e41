/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The forward thread reads the link and puts bytes into outlets, whose threads
 * write to QEMU.  Each channel has one more thread, which connects, and moves
 * QEMU's bytes back.  QEMU is connected to in the order in which the source's
 * QEMU has connected, because QEMU before 8.0 needs that.
 *
 * A channel is delivered when QEMU was given all that it was sent, and has
 * closed its own direction.  Whoever comes to that last says so.
 *
 * When a connection breaks, only that one is reset, and QEMU decides what that
 * means, as it would without relays.  Without the first connection there is no
 * migration, and the session fails.
 */
#include "tools/relay/relay-session-far.h"

#include "util/clock.h"
#include "util/thread.h"

typedef struct FarChannel {
    Far *far;
    unsigned number;
    Outlet *outlet;
    Credit credit;     /* for what QEMU says */
    pthread_t thread;  /* connects, and moves bytes back */
    bool ended;        /* forward thread: END has come */
    uint64_t total;    /* if ended; set before the outlet learns of that */
    /* All these under far's lock. */
    IoChannel *qemu;   /* NULL: not connected */
    bool taken;        /* QEMU was given everything */
    bool answered;     /* QEMU has said everything */
    bool silent;       /* nothing more is read from QEMU */
    bool over;         /* delivered, or reset */
    bool left;         /* thread is about to end */
} FarChannel;

struct Far {
    Session *s;
    LinkWriter *link;
    ReceiveSink sink;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    GCancellable *stop; /* ends what connects, once aborted */
    bool aborted;       /* lock */
    unsigned connected; /* lock; channels that were connected to QEMU */
    unsigned count;     /* forward thread writes, under lock */
    FarChannel *channel[RELAY_CHANNELS];
};

/* The end of a channel, and of the session */

static const char *who(const FarChannel *c)
{
    return c->number ? "a connection to the destination" : "the destination";
}

/* Set a bool of the channel's.  Was it the last that is needed? */
static bool note(FarChannel *c, bool *flag)
{
    bool last;

    pthread_mutex_lock(&c->far->lock);
    *flag = true;
    last = c->taken && c->answered && !c->over;
    pthread_cond_broadcast(&c->far->changed);
    pthread_mutex_unlock(&c->far->lock);
    return last;
}

static void end_channel(FarChannel *c)
{
    pthread_mutex_lock(&c->far->lock);
    c->over = true;
    pthread_cond_broadcast(&c->far->changed);
    pthread_mutex_unlock(&c->far->lock);
    credit_end(&c->credit);
}

static bool wait_for_locked(Far *far, const bool *flag, int64_t ns)
{
    int64_t until = clock_now(&clock_monotonic) + ns;

    while (!*flag && clock_now(&clock_monotonic) < until) {
        clock_monotonic.wait(&clock_monotonic, &far->changed, &far->lock,
                             until);
    }
    return *flag;
}

/* The session has failed, and the other relay is told why.  It closes the link,
 * and what it still sends is read meanwhile. */
static void give_up(Far *far, const char *why)
{
    Session *s = far->s;

    line_set_patience(s->line, s->args->patience_stopped);
    link_write_abort(far->link, why);
    far_abort(far);
    if (!session_wait_flag(s, &s->link_ended, false, RELAY_LINGER_NS)) {
        session_abort_both(s);
    }
}

/* Takes err. */
static void fail_session(Far *far, GError *err)
{
    g_autofree char *text = g_strdup(err->message);

    if (session_fail(far->s, err)) {
        give_up(far, text);
    }
}

/* The channel is over now, and its connection breaks.  False when it was over
 * before. */
static bool break_channel(FarChannel *c)
{
    bool was_over;

    pthread_mutex_lock(&c->far->lock);
    was_over = c->over || c->far->aborted;
    c->over = true;
    if (c->qemu) {
        io_channel_abort(c->qemu);
    }
    pthread_cond_broadcast(&c->far->changed);
    pthread_mutex_unlock(&c->far->lock);
    credit_end(&c->credit);
    return !was_over;
}

/* Takes err. */
static void fail_channel(FarChannel *c, GError *err)
{
    if (c->number == 0) {
        fail_session(c->far, err);
        return;
    }
    if (break_channel(c)) {
        relay_log(&c->far->s->findings, "connection %u: %s", c->number,
                  err->message);
        link_write_reset(c->far->link, c->number, err->message);
    }
    g_error_free(err);
}

/* Both directions have ended. */
static void deliver(FarChannel *c)
{
    Session *s = c->far->s;
    GError *err = NULL;

    if (c->number == 0) {
        /* All is here: the sender only wants to hear of it. */
        line_set_patience(s->line, s->args->patience);
        if (!session_wait_destination(s)) {
            give_up(c->far, s->error->message);
            return;
        }
    }
    end_channel(c); /* before the other relay can end the link */
    if (!link_write_total(c->far->link, c->number, RELAY_DELIVERED, c->total,
                          &err)) {
        session_fail(s, err);
    }
}

/* From the link to QEMU */

/* The outlet's thread.  What a destination says last says why it takes no
 * more. */
static void on_outlet_ended(void *opaque, GError *err)
{
    FarChannel *c = opaque;
    Far *far = c->far;

    if (err) {
        link_blame(&err, who(c));
        pthread_mutex_lock(&far->lock);
        wait_for_locked(far, &c->silent, RELAY_LINGER_NS);
        pthread_mutex_unlock(&far->lock);
        fail_channel(c, err);
    } else if (note(c, &c->taken)) {
        deliver(c);
    }
}

/* The channel's thread */

static bool wait_turn(FarChannel *c)
{
    Far *far = c->far;
    bool ok;

    pthread_mutex_lock(&far->lock);
    while (far->connected < c->number && !far->aborted) {
        pthread_cond_wait(&far->changed, &far->lock);
    }
    ok = !far->aborted;
    pthread_mutex_unlock(&far->lock);
    return ok;
}

/* It was tried, at least: qemu may be NULL. */
static void set_connected(FarChannel *c, IoChannel *qemu)
{
    Far *far = c->far;

    pthread_mutex_lock(&far->lock);
    c->qemu = qemu;
    far->connected = c->number + 1;
    pthread_cond_broadcast(&far->changed);
    if (qemu && (far->aborted || c->over)) {
        io_channel_abort(qemu);
    }
    pthread_mutex_unlock(&far->lock);
    outlet_connect(c->outlet, qemu);
}

static bool connect_qemu(FarChannel *c)
{
    Session *s = c->far->s;
    GError *err = NULL;
    IoChannel *qemu;

    if (c->number == 0) {
        set_connected(c, s->far);
        return true;
    }
    if (!wait_turn(c)) {
        return false;
    }
    qemu = session_connect_qemu(s, c->far->stop, &err);
    set_connected(c, qemu);
    if (!qemu) {
        fail_channel(c, err);
    }
    return qemu != NULL;
}

static void move_back(FarChannel *c)
{
    Session *s = c->far->s;
    const ReverseWatch watch = { &s->stats, c->number ? NULL : &s->watch };
    GError *err = NULL;
    bool ok = reverse_to_link(c->qemu, c->far->link, c->number, &c->credit,
                              &watch, &err);

    note(c, &c->silent);
    if (!ok) {
        fail_channel(c, err);
    } else if (note(c, &c->answered)) {
        deliver(c);
    }
}

/* QEMU is to see now that its connection has ended. */
static void close_if_reset(FarChannel *c)
{
    IoChannel *qemu = NULL;

    pthread_mutex_lock(&c->far->lock);
    if (c->number && c->over && !(c->taken && c->answered)) {
        qemu = g_steal_pointer(&c->qemu);
    }
    pthread_mutex_unlock(&c->far->lock);
    if (qemu) {
        outlet_stop(c->outlet);
        io_channel_free(qemu);
    }
}

static void *channel_main(void *opaque)
{
    FarChannel *c = opaque;

    if (connect_qemu(c)) {
        move_back(c);
        close_if_reset(c);
    }
    note(c, &c->left);
    return NULL;
}

static void channel_free(FarChannel *c)
{
    if (c) {
        outlet_free(c->outlet);
        credit_destroy(&c->credit);
        g_free(c);
    }
}

static bool add_channel(Far *far, GError **errp)
{
    FarChannel *c = g_new0(FarChannel, 1);
    const OutletConfig outlet = {
        .channel = far->count,
        .link = far->link,
        .stats = &far->s->stats,
        .ended = on_outlet_ended,
        .opaque = c,
    };

    c->far = far;
    c->number = far->count;
    credit_init(&c->credit, relay_window(c->number));
    c->outlet = outlet_new(&outlet, errp);
    if (!c->outlet || !thread_start(&c->thread, "relay/channel",
                                    channel_main, c, errp)) {
        channel_free(c);
        return false;
    }
    pthread_mutex_lock(&far->lock);
    far->channel[far->count++] = c;
    if (far->aborted) {
        credit_end(&c->credit);
    }
    pthread_mutex_unlock(&far->lock);
    return true;
}

/* The sink: in the forward thread */

static FarChannel *find_channel(const Far *far, unsigned number, GError **errp)
{
    if (number < far->count) {
        return far->channel[number];
    }
    link_bad_frame(errp);
    return NULL;
}

static bool is_over(FarChannel *c)
{
    bool over;

    pthread_mutex_lock(&c->far->lock);
    over = c->over;
    pthread_mutex_unlock(&c->far->lock);
    return over;
}

static bool on_open(void *opaque, unsigned number, GError **errp)
{
    Far *far = opaque;

    if (number != far->count || number == RELAY_CHANNELS) {
        return link_bad_frame(errp);
    }
    far->s->connections++;
    return add_channel(far, errp);
}

static bool on_put(void *opaque, unsigned number, const GOutputVector *bytes,
                   size_t count, GError **errp)
{
    FarChannel *c = find_channel(opaque, number, errp);

    if (!c) {
        return false;
    }
    if (!is_over(c) && !outlet_put(c->outlet, bytes, count)) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "more bytes than were asked for");
        return false;
    }
    return true;
}

static bool on_end(void *opaque, unsigned number, uint64_t total,
                   GError **errp)
{
    FarChannel *c = find_channel(opaque, number, errp);

    if (!c) {
        return false;
    }
    if (c->ended) {
        return link_bad_frame(errp);
    }
    c->ended = true;
    c->total = total;
    outlet_end(c->outlet);
    return true;
}

static bool on_reset(void *opaque, unsigned number, const char *reason,
                     GError **errp)
{
    FarChannel *c = find_channel(opaque, number, errp);

    if (!c) {
        return false;
    }
    relay_log(&c->far->s->findings, "connection %u: the other relay says: %s",
              number, reason);
    break_channel(c);
    return true;
}

static bool on_credit(void *opaque, unsigned number, uint64_t limit,
                      GError **errp)
{
    FarChannel *c = find_channel(opaque, number, errp);

    if (!c) {
        return false;
    }
    credit_grant(&c->credit, limit);
    return true;
}

static bool on_is_over(void *opaque)
{
    const Far *far = opaque;

    for (unsigned i = 0; i < far->count; i++) {
        if (!is_over(far->channel[i])) {
            return false;
        }
    }
    return true;
}

const ReceiveSink *far_sink(const Far *far)
{
    return &far->sink;
}

/* The whole */

Far *far_new(Session *s, LinkWriter *link, GError **errp)
{
    Far *far = g_new0(Far, 1);

    far->s = s;
    far->link = link;
    far->sink = (ReceiveSink){
        .open = on_open,
        .put = on_put,
        .end = on_end,
        .reset = on_reset,
        .credit = on_credit,
        .is_over = on_is_over,
        .opaque = far,
    };
    pthread_mutex_init(&far->lock, NULL);
    thread_cond_init(&far->changed);
    far->stop = g_cancellable_new();
    if (!add_channel(far, errp)) {
        far_free(far);
        return NULL;
    }
    return far;
}

void far_free(Far *far)
{
    if (far) {
        for (unsigned i = 0; i < far->count; i++) {
            channel_free(far->channel[i]);
        }
        g_object_unref(far->stop);
        pthread_cond_destroy(&far->changed);
        pthread_mutex_destroy(&far->lock);
        g_free(far);
    }
}

void far_drain(Far *far)
{
    int64_t until = clock_now(&clock_monotonic) + RELAY_LINGER_NS;

    for (unsigned i = 0; i < far->count; i++) {
        outlet_drain(far->channel[i]->outlet,
                     until - clock_now(&clock_monotonic));
    }
}

void far_abort(Far *far)
{
    pthread_mutex_lock(&far->lock);
    far->aborted = true;
    for (unsigned i = 0; i < far->count; i++) {
        credit_end(&far->channel[i]->credit);
        if (far->channel[i]->qemu) {
            io_channel_abort(far->channel[i]->qemu);
        }
    }
    pthread_cond_broadcast(&far->changed);
    pthread_mutex_unlock(&far->lock);
    g_cancellable_cancel(far->stop);
}

bool far_is_quiet(Far *far)
{
    bool quiet = true;

    pthread_mutex_lock(&far->lock);
    for (unsigned i = 0; quiet && i < far->count; i++) {
        quiet = wait_for_locked(far, &far->channel[i]->left, RELAY_LINGER_NS);
    }
    pthread_mutex_unlock(&far->lock);
    return quiet;
}

static void close_channel(FarChannel *c)
{
    IoChannel *qemu;

    thread_join(c->thread);
    g_clear_pointer(&c->outlet, outlet_free);
    pthread_mutex_lock(&c->far->lock);
    qemu = g_steal_pointer(&c->qemu);
    pthread_mutex_unlock(&c->far->lock);
    if (c->number && qemu) {
        io_channel_finish(qemu, NULL);
        io_channel_wait_command(qemu, RELAY_COMMAND_MS, c->far->stop, NULL);
        io_channel_free(qemu);
    }
}

void far_join(Far *far)
{
    for (unsigned i = 0; i < far->count; i++) {
        close_channel(far->channel[i]);
    }
}
