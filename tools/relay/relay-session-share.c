/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks: the one of all shares is for who may join what, and each share's for
 * its channels.  The reader of the link takes the latter, so nobody writes to
 * the link under it: the link may stand still until its reader goes on.  So
 * numbers are given and OPEN is written under a lock of their own.
 */
#include "tools/relay/relay-session-share.h"

#include "tools/relay/relay-return.h"
#include "util/clock.h"
#include "util/thread.h"

#define LOOK_NS (NS_PER_S / 10) /* how often a wait looks for an abort */

struct Shares {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    GPtrArray *all; /* lock; of Share that can be joined, now or soon */
};

struct Share {
    Shares *shares;
    Session *leader;
    const RelayRoute *route; /* or NULL */
    bool opened;      /* shares' lock: link and trunk are there */
    unsigned members; /* shares' lock; without the leader */
    char *passed_on;  /* shares' lock: why not all that members have sent was
                       * packed as it might have been; or NULL */
    LinkWriter *link; /* these two: set before opened */
    Trunk *trunk;
    pthread_mutex_t opening; /* while a number is given, and OPEN is written */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool broken;      /* lock */
    unsigned count;   /* lock; of channels */
    ShareChannel *channel[RELAY_CHANNELS]; /* lock; [count] */
};

Shares *shares_new(void)
{
    Shares *shares = g_new0(Shares, 1);

    pthread_mutex_init(&shares->lock, NULL);
    thread_cond_init(&shares->changed);
    shares->all = g_ptr_array_new();
    return shares;
}

void shares_free(Shares *shares)
{
    if (shares) {
        g_ptr_array_unref(shares->all);
        pthread_cond_destroy(&shares->changed);
        pthread_mutex_destroy(&shares->lock);
        g_free(shares);
    }
}

/* Who joins what */

static Share *share_new(Session *leader)
{
    Share *share = g_new0(Share, 1);

    share->shares = leader->shares;
    share->leader = leader;
    share->route = leader->route;
    pthread_mutex_init(&share->opening, NULL);
    pthread_mutex_init(&share->lock, NULL);
    thread_cond_init(&share->changed);
    return share;
}

static void channel_free(ShareChannel *c)
{
    if (c) {
        outlet_free(c->outlet);
        credit_destroy(&c->credit);
        g_free(c);
    }
}

void share_free(Share *share)
{
    if (share) {
        for (unsigned i = 0; i < share->count; i++) {
            channel_free(share->channel[i]);
        }
        pthread_cond_destroy(&share->changed);
        pthread_mutex_destroy(&share->lock);
        pthread_mutex_destroy(&share->opening);
        g_free(share->passed_on);
        g_free(share);
    }
}

Session *share_leader(const Share *share)
{
    return share->leader;
}

Trunk *share_trunk(const Share *share)
{
    return share->trunk;
}

/* The last one: a migration may have one before it whose peer was silent. */
static Share *find_locked(const Shares *shares, const RelayRoute *route)
{
    for (unsigned i = shares->all->len; i-- > 0; ) {
        Share *share = shares->all->pdata[i];

        if (share->route == route) {
            return share;
        }
    }
    return NULL;
}

/* Wait until the one there is, if there is one, has opened or is gone. */
static Share *settle_locked(Shares *shares, Session *s)
{
    Share *share;

    while ((share = find_locked(shares, s->route)) && !share->opened &&
           !session_failed(s)) {
        clock_monotonic.wait(&clock_monotonic, &shares->changed, &shares->lock,
                             clock_now(&clock_monotonic) + LOOK_NS);
    }
    return share;
}

static bool is_another_locked(const Session *s, const Share *share)
{
    return share && atomic_load(&s->is_main) &&
           atomic_load(&share->leader->is_main);
}

/* The one before may just be about to end. */
static Share *wait_for_end_locked(Shares *shares, Session *s)
{
    int64_t until = clock_now(&clock_monotonic) + LOOK_NS;
    Share *share = settle_locked(shares, s);

    while (is_another_locked(s, share) && clock_now(&clock_monotonic) < until) {
        clock_monotonic.wait(&clock_monotonic, &shares->changed, &shares->lock,
                             until);
        share = settle_locked(shares, s);
    }
    return share;
}

Share *share_find(Session *s, GError **errp)
{
    Shares *shares = s->shares;
    Share *share;

    pthread_mutex_lock(&shares->lock);
    share = wait_for_end_locked(shares, s);
    if (!share || (atomic_load(&s->is_main) &&
                   !atomic_load(&share->leader->is_main))) {
        share = share_new(s);
        g_ptr_array_add(shares->all, share);
    } else if (session_failed(s) || is_another_locked(s, share)) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_BUSY,
                    "migration %u is on its way here, and there is only one "
                    "destination", share->leader->findings.number);
        share = NULL;
    } else {
        share->members++;
    }
    pthread_mutex_unlock(&shares->lock);
    return share;
}

void share_close(Share *share)
{
    Shares *shares = share->shares;

    pthread_mutex_lock(&shares->lock);
    if (g_ptr_array_remove(shares->all, share)) {
        pthread_cond_broadcast(&shares->changed);
    }
    pthread_mutex_unlock(&shares->lock);
}

/* End the connections of those who have not left: all, or those on which
 * nothing was said. */
static void end_connections_locked(Share *share, bool all)
{
    for (unsigned i = 0; i < share->count; i++) {
        Session *s = share->channel[i]->session;

        if (s && (all || !atomic_load(&s->spoke))) {
            io_channel_abort(s->near);
        }
    }
}

/* The leader has left, or its connection has failed. */
static void end_members(Share *share, bool all)
{
    pthread_mutex_lock(&share->lock);
    end_connections_locked(share, all);
    pthread_mutex_unlock(&share->lock);
}

/* Wait for them, forever or for RELAY_LINGER_NS. */
static bool wait_for_members(Share *share, bool forever)
{
    Shares *shares = share->shares;
    int64_t until = clock_now(&clock_monotonic) + RELAY_LINGER_NS;
    bool alone;

    pthread_mutex_lock(&shares->lock);
    while (share->members > 0 &&
           (forever || clock_now(&clock_monotonic) < until)) {
        if (forever) {
            pthread_cond_wait(&shares->changed, &shares->lock);
        } else {
            clock_monotonic.wait(&clock_monotonic, &shares->changed,
                                 &shares->lock, until);
        }
    }
    alone = share->members == 0;
    pthread_mutex_unlock(&shares->lock);
    return alone;
}

void share_wait_alone(Share *share)
{
    Shares *shares = share->shares;
    bool is_main = atomic_load(&share->leader->is_main);

    if (is_main) {
        end_members(share, false);
    }
    if (!wait_for_members(share, !is_main)) {
        end_members(share, true);
        wait_for_members(share, true);
    }
    pthread_mutex_lock(&shares->lock);
    if (!share->leader->findings.passed_on) {
        share->leader->findings.passed_on = g_steal_pointer(&share->passed_on);
    }
    share->leader->connections = MAX(share->count, 1);
    pthread_mutex_unlock(&shares->lock);
}

/* Channels */

/* A QEMU that reads no more is no failure: the other direction shows how the
 * migration ends. */
static void on_ended(void *opaque, GError *err)
{
    ShareChannel *c = opaque;

    g_clear_error(&err);
    pthread_mutex_lock(&c->share->lock);
    c->answered = true;
    pthread_cond_broadcast(&c->share->changed);
    pthread_mutex_unlock(&c->share->lock);
}

static void end_channel_locked(ShareChannel *c)
{
    c->over = true;
    credit_end(&c->credit);
    pthread_cond_broadcast(&c->share->changed);
}

/* Add a channel.  The lock `opening` is held, and so the number is the next. */
static ShareChannel *add_channel(Share *share, Session *s, GError **errp)
{
    ShareChannel *c = g_new0(ShareChannel, 1);
    const OutletConfig outlet = {
        .channel = share->count,
        .link = share->link,
        .ended = on_ended,
        .opaque = c,
    };

    c->share = share;
    c->session = s;
    c->number = share->count;
    credit_init(&c->credit, relay_window(c->number));
    c->outlet = outlet_new(&outlet, errp);
    if (!c->outlet) {
        channel_free(c);
        return NULL;
    }
    outlet_connect(c->outlet, io_channel_is_two_way(s->near) ? s->near : NULL);
    pthread_mutex_lock(&share->lock);
    share->channel[share->count++] = c;
    if (share->broken) {
        end_channel_locked(c);
    }
    pthread_mutex_unlock(&share->lock);
    return c;
}

ShareChannel *share_open(Share *share, LinkWriter *link, Trunk *trunk,
                         GError **errp)
{
    Shares *shares = share->shares;
    ShareChannel *c;

    share->link = link;
    share->trunk = trunk;
    c = add_channel(share, share->leader, errp);
    if (c) {
        pthread_mutex_lock(&shares->lock);
        share->opened = true;
        pthread_cond_broadcast(&shares->changed);
        pthread_mutex_unlock(&shares->lock);
    }
    return c;
}

ShareChannel *share_join(Share *share, Session *s, GError **errp)
{
    ShareChannel *c = NULL;

    pthread_mutex_lock(&share->opening);
    if (share->count == RELAY_CHANNELS) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_BUSY,
                    "the migration has %u connections already",
                    RELAY_CHANNELS);
    } else {
        c = add_channel(share, s, errp);
        if (c && !link_write_open(share->link, c->number, errp)) {
            c = NULL; /* the share's */
        }
    }
    pthread_mutex_unlock(&share->opening);
    return c;
}

void share_leave(Share *share, Session *s)
{
    Shares *shares = share->shares;
    Outlet *outlet = NULL;

    pthread_mutex_lock(&share->lock);
    for (unsigned i = 0; i < share->count; i++) {
        if (share->channel[i]->session == s) {
            share->channel[i]->session = NULL;
            outlet = g_steal_pointer(&share->channel[i]->outlet);
        }
    }
    pthread_mutex_unlock(&share->lock);
    outlet_free(outlet);
    pthread_mutex_lock(&shares->lock);
    if (share->leader != s) {
        share->members--;
        if (!share->passed_on) {
            share->passed_on = g_strdup(s->findings.passed_on);
        }
    }
    pthread_cond_broadcast(&shares->changed);
    pthread_mutex_unlock(&shares->lock);
}

/* Nothing more can come of the link. */
static void end_all_locked(Share *share)
{
    share->broken = true;
    for (unsigned i = 0; i < share->count; i++) {
        end_channel_locked(share->channel[i]);
    }
}

void share_break(Share *share)
{
    pthread_mutex_lock(&share->lock);
    end_all_locked(share);
    end_connections_locked(share, true);
    pthread_mutex_unlock(&share->lock);
}

bool share_wait_over(ShareChannel *c)
{
    Share *share = c->share;
    bool ok;

    pthread_mutex_lock(&share->lock);
    while (!c->over || (c->is_delivered && !c->answered)) {
        pthread_cond_wait(&share->changed, &share->lock);
    }
    ok = c->is_delivered;
    pthread_mutex_unlock(&share->lock);
    return ok;
}

bool share_give_up(ShareChannel *c)
{
    bool was_over;

    pthread_mutex_lock(&c->share->lock);
    was_over = c->over;
    end_channel_locked(c);
    pthread_mutex_unlock(&c->share->lock);
    return !was_over;
}

/* The link's reader */

static ShareChannel *find_channel(Share *share, unsigned number, GError **errp)
{
    ShareChannel *c = NULL;

    pthread_mutex_lock(&share->lock);
    if (number < share->count) {
        c = share->channel[number];
    }
    pthread_mutex_unlock(&share->lock);
    if (!c) {
        link_bad_frame(errp);
    }
    return c;
}

static bool take_data(ShareChannel *c, LinkReader *link, const FrameHead *head,
                      GError **errp)
{
    Session *leader = c->share->leader;
    const ReverseWatch watch = { &leader->stats,
                                 c->number ? NULL : &leader->watch };
    uint8_t buf[RELAY_LITERAL_MAX];
    GOutputVector bytes = { buf, head->bytes };
    bool ok;

    if (!link_read_plain(link, head, buf, errp)) {
        return false;
    }
    reverse_see(&watch, buf, head->bytes);
    pthread_mutex_lock(&c->share->lock);
    ok = c->over || !c->outlet || outlet_put(c->outlet, &bytes, 1);
    pthread_mutex_unlock(&c->share->lock);
    return ok || link_bad_frame(errp);
}

static bool take_end(ShareChannel *c, LinkReader *link, const FrameHead *head,
                     GError **errp)
{
    if (!link_read_end(link, head, errp)) {
        return false;
    }
    if (c->ended) {
        return link_bad_frame(errp);
    }
    c->ended = true;
    pthread_mutex_lock(&c->share->lock);
    if (c->outlet) {
        outlet_end(c->outlet);
    }
    pthread_mutex_unlock(&c->share->lock);
    return true;
}

static bool take_delivered(ShareChannel *c, LinkReader *link,
                           const FrameHead *head, GError **errp)
{
    uint64_t total;

    if (!link_read_total(link, head, &total, errp)) {
        return false;
    }
    if (!c->ended) {
        return link_bad_frame(errp);
    }
    pthread_mutex_lock(&c->share->lock);
    c->is_delivered = !c->over;
    c->delivered = total;
    end_channel_locked(c);
    pthread_mutex_unlock(&c->share->lock);
    return true;
}

static bool take_credit(ShareChannel *c, LinkReader *link,
                        const FrameHead *head, GError **errp)
{
    uint64_t limit;

    if (!link_read_total(link, head, &limit, errp)) {
        return false;
    }
    credit_grant(&c->credit, limit);
    return true;
}

static bool take_reset(ShareChannel *c, LinkReader *link,
                       const FrameHead *head, GError **errp)
{
    g_autofree char *reason = link_read_reason(link, head, errp);

    if (!reason) {
        return false;
    }
    relay_log(&c->share->leader->findings, "connection %u: the other relay "
              "says: %s", c->number, reason);
    pthread_mutex_lock(&c->share->lock);
    end_channel_locked(c);
    if (c->session) {
        io_channel_abort(c->session->near);
    }
    pthread_mutex_unlock(&c->share->lock);
    return true;
}

static bool take_frame(Share *share, LinkReader *link, const FrameHead *head,
                       GError **errp)
{
    ShareChannel *c = find_channel(share, head->channel, errp);

    if (!c) {
        return false;
    }
    switch (head->type) {
    case RELAY_DATA:
        return take_data(c, link, head, errp);
    case RELAY_END:
        return take_end(c, link, head, errp);
    case RELAY_DELIVERED:
        return take_delivered(c, link, head, errp);
    case RELAY_CREDIT:
        return take_credit(c, link, head, errp);
    case RELAY_RESET:
        return take_reset(c, link, head, errp);
    case RELAY_ABORT:
        link_read_abort(link, head, errp);
        return false;
    default:
        return link_bad_frame(errp);
    }
}

bool share_read_link(Share *share, Stream *from, GError **errp)
{
    LinkReader link = { .stream = from };
    GError *err = NULL;
    FrameHead head;
    bool done = true;

    while (link_read_head(&link, &head, &err) &&
           take_frame(share, &link, &head, &err)) {
        continue;
    }
    pthread_mutex_lock(&share->lock);
    for (unsigned i = 0; i < share->count; i++) {
        done = done && share->channel[i]->over;
    }
    end_all_locked(share);
    pthread_mutex_unlock(&share->lock);
    if (done) {
        g_error_free(err); /* the link has done its work */
    } else {
        g_propagate_error(errp, err);
    }
    return done;
}
