/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Each direction of a connection is a row of records: BYTES of the direction's
 * stream, HAVE (how many bytes of the other direction have arrived), PATIENCE
 * and BYE.  docs/relay.md has their form.
 *
 * Up to six threads come here.  The reader and the writer are the user's.  The
 * beater acknowledges, says something when nobody else does, and sends what is
 * left after a new connection.  The keeper never waits for a connection: it
 * sees when the peer is silent and when patience is over.  The dialer exists
 * while a line that dials has no connection.  The deputy reads where the user
 * does not, but only when the writer needs to hear from the peer:
 * acknowledgements stand behind bytes that nobody wants yet.  These are put
 * aside (`ahead`).  The peer never sends more than its window before they are
 * taken, because HAVE counts what the user has.  Otherwise nothing is read
 * ahead, because that would hide a slow destination from the source.
 *
 * A thread that uses the connection says so (reading, writing) and does it
 * without the lock.  The first one that fails aborts the connection, so that
 * the other one fails, too; and both wait for what comes.  A connection is
 * replaced only when nobody uses it.
 *
 * States: LINE_UP, there is a connection; LINE_DOWN, there is none, or it is
 * broken; LINE_OVER, for good.
 */
#include "tools/relay/relay-line.h"

#include <string.h>

#include "ferry/error.h"
#include "io/channel-kind.h"
#include "tools/relay/relay-kept.h"
#include "tools/relay/relay-wire.h"
#include "util/endian.h"
#include "util/thread.h"

#define TICK_NS      (NS_PER_S / 10)
#define ATTEMPT_NS   (10 * NS_PER_S) /* for one new connection */
#define RETRY_NS     (NS_PER_S / 10) /* before the second attempt; then twice */
#define RETRY_MAX_NS (2 * NS_PER_S)  /* as long, up to this */
#define LEAVE_NS     (NS_PER_S / 5)  /* at most, to say goodbye */
#define BEATS        5 /* in the time after which silence counts as broken */
#define AGAIN_MAX    ((size_t)64 << 10) /* of one record, when sent again */
#define HAVE_EVERY   ((uint64_t)1 << 20) /* bytes */
#define AHEAD_EACH   128 /* what a GBytes needs besides its bytes */
#define MARGIN_NS    (5 * NS_PER_S)  /* the receiver is more patient by this */
#define BUFFER_SIZE  ((size_t)64 << 10)

typedef enum { LINE_UP, LINE_DOWN, LINE_OVER } LineState;

typedef struct Line {
    IoChannel base;
    LineConfig config;  /* constant, but for connection, which is unused */
    gulong on_abort;    /* set by line_new() */
    pthread_t keeper, beater, deputy; /* set by line_new() */
    unsigned threads;         /* how many of these run */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_cond_t stuck; /* the deputy is needed */
    /* All of these: lock. */
    LineState state;
    IoChannel *connection; /* used without the lock while reading, writing */
    bool reading, writing; /* a thread uses it */
    int64_t write_began;   /* the last write to it */
    bool short_of_room;    /* the writer waits for an acknowledgement */
    GQueue ahead;          /* of GBytes, of this connection: to be read */
    size_t ahead_from;     /* of the first of them, so many were read */
    size_t ahead_size;     /* what they need, see AHEAD_EACH */
    bool stopped;       /* line_stop() was called, and line_go_on() was not */
    bool closing;       /* io_channel_free() was called */
    bool finishing;     /* acknowledge at once */
    bool leaving, left_word; /* BYE is to be said; it was said */
    int64_t leave_until; /* if leaving */
    uint64_t sent_most; /* bytes that were sent, by any connection */
    int64_t again_at;   /* no bytes are sent again before */
    GError *why;        /* why the line is down, or over */
    int64_t patience;
    bool patience_told;
    int64_t down_since;
    bool troubled;      /* from a break until a later connection has proved to
                         * be of use: patience is counted all the while, */
    int64_t trouble_since;
    int64_t until;      /* troubled: and over then; FOREVER: never */
    bool holding;       /* line_hold() was called, and nothing was sent since
                         * from hold_from on */
    uint64_t hold_from;
    uint64_t resumed_at; /* troubled: so much had arrived at the other relay
                          * when the present connection began */
    int64_t heard;      /* when something came last, or the reader began */
    int64_t said;       /* when something was written last */
    Kept kept;
    uint64_t received;  /* the reader has handed these on */
    uint64_t told;      /* of these, acknowledged */
    bool goodbye;       /* BYE has come */
    LineCounts counts;

    pthread_t dialer;   /* the keeper's */
    bool dialing;       /* the keeper's; dialer is to be joined */
    bool dialed;        /* lock; the dialer is done */
    GCancellable *attempt; /* lock; of the dialer, or NULL */
    int64_t attempt_until; /* lock */

    /* The reader's, and while nobody reads, whoever replaces the connection. */
    uint8_t buffer[BUFFER_SIZE];
    size_t from, to;    /* of buffer: to be read */
    uint32_t left;      /* of the BYTES record that has begun */
} Line;

static Line *line_of(IoChannel *channel)
{
    return (Line *)channel;
}

static void tell(Line *line, bool down, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static void tell(Line *line, bool down, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    if (!line->config.tell) {
        return;
    }
    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    line->config.tell(line->config.opaque, down, text);
}

/* What happens to a line */

/* Takes err. */
static void end_locked(Line *line, GError *err)
{
    if (line->state == LINE_OVER) {
        g_error_free(err);
        return;
    }
    line->state = LINE_OVER;
    g_clear_error(&line->why);
    line->why = err;
    if (line->connection) {
        io_channel_abort(line->connection);
    }
    if (line->attempt) {
        g_cancellable_cancel(line->attempt);
    }
    pthread_cond_broadcast(&line->changed);
}

static int64_t later(int64_t time, int64_t patience)
{
    return patience == LINE_FOREVER ? LINE_FOREVER : time + patience;
}

/* A path that lets only a greeting through, or only short packets, breaks again
 * and again: its time counts as one. */
static void begin_trouble_locked(Line *line, int64_t now)
{
    if (!line->troubled) {
        line->troubled = true;
        line->trouble_since = now;
        line->until = later(now, line->patience);
    }
}

/* An acknowledgement has come. */
static void end_trouble_locked(Line *line)
{
    if (line->state == LINE_UP &&
        (line->kept.acked == line->kept.written ||
         line->kept.acked > line->resumed_at)) {
        line->troubled = false;
    }
}

/* Time that has passed already does not count against a patience that is made
 * shorter, but no wait gets longer by that. */
static void change_patience_locked(Line *line, int64_t patience)
{
    int64_t now = clock_now(&clock_monotonic);

    line->until = patience < line->patience
                      ? MIN(line->until, later(now, patience))
                      : later(line->trouble_since, patience);
    line->patience = patience;
}

/* Takes err. */
static void break_locked(Line *line, GError *err)
{
    if (line->state != LINE_UP) {
        g_error_free(err);
        return;
    }
    if (line->patience == 0 || line->goodbye ||
        g_error_matches(err, G_IO_ERROR, G_IO_ERROR_INVALID_DATA)) {
        end_locked(line, err);
        return;
    }
    line->state = LINE_DOWN;
    line->why = err;
    line->down_since = clock_now(&clock_monotonic);
    begin_trouble_locked(line, line->down_since);
    io_channel_abort(line->connection);
    if (line->patience == LINE_FOREVER) {
        tell(line, true, "the link has broken (%s); trying to go on for ever",
             err->message);
    } else {
        tell(line, true, "the link has broken (%s); trying to go on for %.0f s",
             err->message,
             ns_to_seconds(MAX(line->until - line->down_since, 0)));
    }
    pthread_cond_broadcast(&line->changed);
}

static int64_t silence_of(const Line *line)
{
    return line->config.silence ? line->config.silence : LINE_SILENCE_NS;
}

static bool is_in_use(const Line *line)
{
    return line->reading || line->writing;
}

static void drop_ahead_locked(Line *line)
{
    g_queue_clear_full(&line->ahead, (GDestroyNotify)g_bytes_unref);
    line->ahead_from = line->ahead_size = 0;
}

/* Take a connection to which the other relay sends from our `received` on.  The
 * line is over when that relay wants what is not kept any more. */
static void go_on_locked(Line *line, IoChannel *connection, uint64_t arrived)
{
    uint64_t sent = line->kept.sent;
    uint64_t again = sent > arrived ? sent - arrived : 0;
    int64_t now = clock_now(&clock_monotonic);

    g_assert(line->state == LINE_DOWN && !is_in_use(line));
    if (!kept_rewind(&line->kept, arrived)) {
        io_channel_free(connection);
        end_locked(line, g_error_new(G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                                     "the other relay wants to go on where the "
                                     "link cannot"));
        return;
    }
    io_channel_free(line->connection);
    line->connection = connection;
    line->from = line->to = line->left = 0;
    drop_ahead_locked(line); /* they come again */
    line->heard = now;
    line->said = now - silence_of(line); /* say something: it shows of what use
                                          * the connection is */
    line->told = line->received;
    line->resumed_at = arrived;
    line->patience_told = !line->config.dial;
    line->counts.resumes++;
    line->counts.sent_again += again;
    line->counts.down += now - line->down_since;
    tell(line, false, "the link goes on after %.1f s; %.1f MiB are sent again",
         ns_to_seconds(now - line->down_since), (double)again / 1048576);
    g_clear_error(&line->why);
    line->state = LINE_UP;
    pthread_cond_broadcast(&line->changed);
}

static void wait_until_locked(Line *line, int64_t time)
{
    clock_monotonic.wait(&clock_monotonic, &line->changed, &line->lock, time);
}

static int64_t next_tick(void)
{
    return clock_now(&clock_monotonic) + TICK_NS;
}

static void wait_a_tick_locked(Line *line)
{
    wait_until_locked(line, next_tick());
}

static bool is_over(const Line *line, GError **errp)
{
    if (line->state == LINE_OVER) {
        g_propagate_error(errp, g_error_copy(line->why));
    }
    return line->state == LINE_OVER;
}

/* Writing */

static void put_record(uint8_t to[LINE_HEAD_SIZE], unsigned type, size_t size)
{
    store_be32(to, type << 24 | (uint32_t)size);
}

/* Acknowledge all that was received.  Returns the record's size. */
static size_t put_have_locked(Line *line, uint8_t *to)
{
    put_record(to, LINE_HAVE, LINE_HAVE_SIZE);
    store_be64(to + LINE_HEAD_SIZE, line->received);
    line->told = line->received;
    return LINE_HEAD_SIZE + LINE_HAVE_SIZE;
}

/* A HAVE and a PATIENCE, if they are due, to be written before anything else.
 * Returns their size. */
static size_t news_locked(Line *line, uint8_t to[LINE_NEWS_MAX])
{
    uint8_t *at = to;

    if (line->received > line->told) {
        at += put_have_locked(line, at);
    }
    if (!line->patience_told) {
        int64_t ms = line->patience / NS_PER_MS;

        put_record(at, LINE_PATIENCE, LINE_PATIENCE_SIZE);
        store_be32(at + LINE_HEAD_SIZE,
                   line->patience == LINE_FOREVER
                       ? UINT32_MAX : (uint32_t)MIN(ms, UINT32_MAX - 1));
        at += LINE_HEAD_SIZE + LINE_PATIENCE_SIZE;
        line->patience_told = true;
    }
    return (size_t)(at - to);
}

static void add_vector(GOutputVector *vectors, unsigned *count,
                       const uint8_t *bytes, size_t size)
{
    if (size) {
        vectors[(*count)++] = (GOutputVector){ bytes, size };
    }
}

static bool is_sent_again(const Line *line)
{
    return line->config.pace && line->kept.sent < line->sent_most;
}

/* Is it time to send what is kept? */
static bool is_time_to_send(const Line *line)
{
    return !is_sent_again(line) ||
           clock_now(&clock_monotonic) >= line->again_at;
}

/* The bytes that may be sent now, in one piece. */
static size_t next_bytes_locked(Line *line, const uint8_t **bytes)
{
    size_t kept = kept_next(&line->kept, bytes);
    size_t size = MIN(kept, LINE_BYTES_MAX);
    int64_t wait;

    if (size && is_sent_again(line)) {
        size = MIN(size, AGAIN_MAX);
        size = (size_t)MIN(size, line->sent_most - line->kept.sent);
        wait = line->config.pace(line->config.opaque, size);
        if (wait > 0) {
            line->again_at = clock_now(&clock_monotonic) + wait;
            return 0;
        }
    }
    return size;
}

/* Bytes up to this place are about to be sent. */
static void note_sent_locked(Line *line, uint64_t end)
{
    if (line->holding && end > line->hold_from) {
        line->holding = false;
        change_patience_locked(line, LINE_FOREVER);
        line->patience_told = !line->config.dial;
        if (line->config.held) {
            line->config.held(line->config.opaque);
        }
    }
}

/* Write some of what is to be sent, with the news, or the news only.  The lock
 * is not held meanwhile; the line is up, and nobody writes. */
static void write_locked(Line *line, const uint8_t *more, size_t more_size)
{
    uint8_t heads[LINE_NEWS_MAX + LINE_HEAD_SIZE];
    size_t heads_size = news_locked(line, heads);
    const uint8_t *bytes;
    size_t size = next_bytes_locked(line, &bytes);
    GOutputVector vectors[3];
    unsigned count = 0;
    IoChannel *connection = line->connection;
    GError *err = NULL;
    bool ok;

    if (size) {
        put_record(heads + heads_size, LINE_BYTES, size);
        heads_size += LINE_HEAD_SIZE;
    }
    note_sent_locked(line, line->kept.sent + size);
    add_vector(vectors, &count, heads, heads_size);
    add_vector(vectors, &count, bytes, size);
    add_vector(vectors, &count, more, more_size);
    if (count == 0) {
        return;
    }
    line->writing = true;
    line->write_began = clock_now(&clock_monotonic);
    pthread_mutex_unlock(&line->lock);
    ok = io_channel_writev(connection, vectors, count, &err);
    pthread_mutex_lock(&line->lock);
    line->writing = false;
    if (ok) {
        line->said = clock_now(&clock_monotonic);
        kept_did_send(&line->kept, size);
        line->sent_most = MAX(line->sent_most, line->kept.sent);
    } else {
        break_locked(line, err);
    }
    pthread_cond_broadcast(&line->changed);
}

/* Send all that is kept and was not sent. */
static bool push_locked(Line *line, GError **errp)
{
    while (line->kept.sent < line->kept.written) {
        if (is_over(line, errp)) {
            return false;
        }
        if (line->state == LINE_UP && !line->writing && is_time_to_send(line)) {
            write_locked(line, NULL, 0);
        } else if (line->state == LINE_UP && !line->writing) {
            wait_until_locked(line, line->again_at);
        } else {
            pthread_cond_wait(&line->changed, &line->lock);
        }
    }
    return !is_over(line, errp);
}

/* Wait for room. */
static size_t space_locked(Line *line, uint8_t **to, GError **errp)
{
    size_t room;

    while ((room = kept_space(&line->kept, to)) == 0) {
        if (!push_locked(line, errp)) {
            return 0;
        }
        if (kept_space(&line->kept, to) == 0) {
            line->short_of_room = true;
            pthread_cond_signal(&line->stuck);
            pthread_cond_wait(&line->changed, &line->lock);
            line->short_of_room = false;
        }
    }
    return is_over(line, errp) ? 0 : room;
}

/* Keep a copy, whose room only this thread touches. */
static bool keep_locked(Line *line, const uint8_t *from, size_t size,
                        GError **errp)
{
    while (size) {
        uint8_t *to;
        size_t part = space_locked(line, &to, errp);

        if (part == 0) {
            return false;
        }
        part = MIN(part, size);
        pthread_mutex_unlock(&line->lock);
        memcpy(to, from, part);
        pthread_mutex_lock(&line->lock);
        kept_wrote(&line->kept, part);
        from += part;
        size -= part;
    }
    return true;
}

/* Returns when everything was written to a connection: so a slow link holds up
 * its writer, as any channel does. */
static bool line_writev(IoChannel *channel, GOutputVector *vectors,
                        size_t count, GError **errp)
{
    Line *line = line_of(channel);
    bool ok = true;

    pthread_mutex_lock(&line->lock);
    for (size_t i = 0; ok && i < count; i++) {
        ok = keep_locked(line, vectors[i].buffer, vectors[i].size, errp);
    }
    ok = ok && push_locked(line, errp);
    pthread_mutex_unlock(&line->lock);
    return ok;
}

/* Reading */

static GError *damaged(void)
{
    return g_error_new(G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                       "a record of the link that is not allowed here");
}

static bool read_some(Line *line, IoChannel *connection, uint8_t *buf,
                      size_t size, size_t *got, GError **errp)
{
    if (!io_channel_read(connection, buf, size, got, errp)) {
        return false;
    }
    if (*got == 0) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_EOF, "the connection has ended");
        return false;
    }
    pthread_mutex_lock(&line->lock);
    line->heard = clock_now(&clock_monotonic);
    pthread_mutex_unlock(&line->lock);
    return true;
}

/* Read more into the buffer, from its beginning if it is empty. */
static bool fill(Line *line, IoChannel *connection, GError **errp)
{
    size_t got;

    if (line->from == line->to) {
        line->from = line->to = 0;
    } else if (line->to == BUFFER_SIZE) {
        memmove(line->buffer, line->buffer + line->from,
                line->to - line->from);
        line->to -= line->from;
        line->from = 0;
    }
    if (!read_some(line, connection, line->buffer + line->to,
                   BUFFER_SIZE - line->to, &got, errp)) {
        return false;
    }
    line->to += got;
    return true;
}

/* The next so many bytes, in the buffer; they are used up. */
static const uint8_t *take(Line *line, IoChannel *connection, size_t size,
                           GError **errp)
{
    while (line->to - line->from < size) {
        if (!fill(line, connection, errp)) {
            return NULL;
        }
    }
    line->from += size;
    return line->buffer + line->from - size;
}

static bool take_have(Line *line, uint64_t position)
{
    bool ok;

    pthread_mutex_lock(&line->lock);
    ok = kept_ack(&line->kept, position);
    end_trouble_locked(line);
    pthread_cond_broadcast(&line->changed);
    pthread_mutex_unlock(&line->lock);
    return ok;
}

/* The sender decides how long to wait.  The receiver, which loses nothing by
 * that, waits a little longer than the sender ever would while its guest runs:
 * what the sender has told last may not have arrived. */
static void take_patience(Line *line, uint32_t ms)
{
    if (line->config.dial) {
        return;
    }
    pthread_mutex_lock(&line->lock);
    change_patience_locked(line,
                           ms == 0 ? 0 : line->config.patience + MARGIN_NS);
    pthread_mutex_unlock(&line->lock);
}

static void take_bye(Line *line)
{
    pthread_mutex_lock(&line->lock);
    line->goodbye = true;
    pthread_cond_broadcast(&line->changed);
    pthread_mutex_unlock(&line->lock);
}

/* Read a record's head, and all of a record other than BYTES. */
static bool take_record(Line *line, IoChannel *connection, bool *ended,
                        GError **errp)
{
    const uint8_t *bytes = take(line, connection, LINE_HEAD_SIZE, errp);
    uint32_t head, size;
    bool ok = false;

    if (!bytes) {
        return false;
    }
    head = load_be32(bytes);
    size = head & 0xffffff;
    switch (head >> 24) {
    case LINE_BYTES:
        line->left = size;
        ok = size > 0 && size <= LINE_BYTES_MAX;
        break;
    case LINE_HAVE:
        if (size == LINE_HAVE_SIZE) {
            bytes = take(line, connection, size, errp);
            if (!bytes) {
                return false;
            }
            ok = take_have(line, load_be64(bytes));
        }
        break;
    case LINE_PATIENCE:
        if (size == LINE_PATIENCE_SIZE) {
            bytes = take(line, connection, size, errp);
            if (!bytes) {
                return false;
            }
            take_patience(line, load_be32(bytes));
            ok = true;
        }
        break;
    case LINE_BYE:
        ok = *ended = size == 0;
        if (ok) {
            take_bye(line);
        }
        break;
    }
    if (!ok) {
        g_propagate_error(errp, damaged());
    }
    return ok;
}

/* Read 1..size bytes of the other direction, or its end: *nread is 0. */
static bool read_bytes(Line *line, IoChannel *connection, uint8_t *buf,
                       size_t size, size_t *nread, GError **errp)
{
    bool ended = false;

    while (line->left == 0 && !ended) {
        if (!take_record(line, connection, &ended, errp)) {
            return false;
        }
    }
    if (ended) {
        return true;
    }
    size = MIN(size, line->left);
    if (line->from < line->to) {
        *nread = MIN(size, line->to - line->from);
        memcpy(buf, line->buffer + line->from, *nread);
        line->from += *nread;
    } else if (!read_some(line, connection, buf, size, nread, errp)) {
        *nread = 0;
        return false;
    }
    line->left -= *nread;
    return true;
}

static IoChannel *begin_reading_locked(Line *line)
{
    line->reading = true;
    line->heard = clock_now(&clock_monotonic);
    return line->connection;
}

/* May the user have what was read ahead?  Not while the line is down: how much
 * has arrived was told already. */
static bool has_ahead(const Line *line)
{
    return line->ahead.length > 0 &&
           (line->state == LINE_UP || line->goodbye);
}

/* Wait for a connection that nobody else reads from, and say that it is used.
 * *connection is NULL when something was read ahead, and when the peer has said
 * goodbye (*ended).  False when the line is over. */
static bool begin_reading(Line *line, IoChannel **connection, bool *ended,
                          GError **errp)
{
    bool ok = true;

    *connection = NULL;
    pthread_mutex_lock(&line->lock);
    while (!has_ahead(line) && !line->goodbye &&
           (line->state == LINE_DOWN ||
            (line->state == LINE_UP && line->reading))) {
        pthread_cond_wait(&line->changed, &line->lock);
    }
    *ended = line->goodbye && !has_ahead(line);
    if (!*ended && !has_ahead(line)) {
        ok = !is_over(line, errp);
        *connection = ok ? begin_reading_locked(line) : NULL;
    }
    pthread_mutex_unlock(&line->lock);
    return ok;
}

static void did_receive_locked(Line *line, size_t nread)
{
    line->received += nread;
    if (line->received - line->told >= HAVE_EVERY) {
        pthread_cond_broadcast(&line->changed);
    }
}

/* Takes err, which is NULL after a success. */
static void end_reading(Line *line, size_t nread, GError *err)
{
    pthread_mutex_lock(&line->lock);
    line->reading = false;
    did_receive_locked(line, nread);
    if (err) {
        break_locked(line, err);
    }
    if (line->state != LINE_UP) { /* somebody waits until nobody reads */
        pthread_cond_broadcast(&line->changed);
    }
    pthread_mutex_unlock(&line->lock);
}

/* Returns how much of what was read ahead is now in buf. */
static size_t take_ahead(Line *line, uint8_t *buf, size_t size)
{
    size_t part = 0;

    pthread_mutex_lock(&line->lock);
    if (has_ahead(line)) {
        GBytes *first = g_queue_peek_head(&line->ahead);
        const uint8_t *bytes = g_bytes_get_data(first, NULL);
        size_t left = g_bytes_get_size(first) - line->ahead_from;

        part = MIN(size, left);
        memcpy(buf, bytes + line->ahead_from, part);
        line->ahead_from += part;
        if (part == left) {
            line->ahead_size -= g_bytes_get_size(first) + AHEAD_EACH;
            line->ahead_from = 0;
            g_bytes_unref(g_queue_pop_head(&line->ahead));
        }
        did_receive_locked(line, part);
    }
    pthread_mutex_unlock(&line->lock);
    return part;
}

static bool line_read(IoChannel *channel, void *buf, size_t size,
                      size_t *nread, GError **errp)
{
    Line *line = line_of(channel);
    bool ended = false;

    *nread = 0;
    while (*nread == 0 && !ended) {
        IoChannel *connection;
        GError *err = NULL;

        if (!begin_reading(line, &connection, &ended, errp)) {
            return false;
        }
        if (connection) {
            ended = read_bytes(line, connection, buf, size, nread, &err) &&
                    *nread == 0;
            end_reading(line, *nread, err);
        } else {
            *nread = take_ahead(line, buf, size);
        }
    }
    return true;
}

/* Is the next record in the buffer, with its body, and not BYTES? */
static bool is_news_here(const Line *line)
{
    size_t size = line->to - line->from;
    uint32_t head = size >= LINE_HEAD_SIZE
                        ? load_be32(line->buffer + line->from) : 0;

    return size >= LINE_HEAD_SIZE &&
           (head >> 24 == LINE_BYTES ||
            size >= LINE_HEAD_SIZE + MIN(head & 0xffffff, LINE_HAVE_SIZE));
}

/* Does a read return at once?  Records other than BYTES are taken, because
 * behind them the reader would wait.  Does not wait. */
static bool look_for_bytes(Line *line, IoChannel *connection, GError **errp)
{
    bool ended = false;

    while (!ended) {
        if (line->left > 0) {
            return line->from < line->to || io_channel_has_input(connection);
        }
        if (is_news_here(line)) {
            if (!take_record(line, connection, &ended, errp)) {
                return true;
            }
        } else if (!io_channel_has_input(connection)) {
            return false;
        } else if (!fill(line, connection, errp)) {
            return true;
        }
    }
    return true;
}

/* The reader calls it. */
static bool line_has_input(IoChannel *channel)
{
    Line *line = line_of(channel);
    IoChannel *connection = NULL;
    GError *err = NULL;
    bool has, broke = false;

    pthread_mutex_lock(&line->lock);
    has = line->state == LINE_OVER || line->goodbye || has_ahead(line);
    if (!has && line->state == LINE_UP && !line->reading) {
        connection = begin_reading_locked(line);
    }
    pthread_mutex_unlock(&line->lock);
    if (connection) {
        has = look_for_bytes(line, connection, &err);
        broke = err != NULL;
        end_reading(line, 0, err);
    }
    return broke ? line_has_input(channel) : has; /* on what there is now */
}

/* The deputy */

/* A write that takes so long may be one to a connection that has broken, which
 * only a reader finds out. */
static bool is_writer_stuck(const Line *line)
{
    return line->short_of_room ||
           (line->writing && clock_now(&clock_monotonic) - line->write_began >=
                                 silence_of(line) / BEATS);
}

static void read_ahead_locked(Line *line)
{
    IoChannel *connection = begin_reading_locked(line);
    uint8_t *bytes = g_malloc(BUFFER_SIZE);
    GError *err = NULL;
    size_t size = 0;

    pthread_mutex_unlock(&line->lock);
    read_bytes(line, connection, bytes, BUFFER_SIZE, &size, &err);
    bytes = g_realloc(bytes, size);
    pthread_mutex_lock(&line->lock);
    line->reading = false;
    if (size) {
        g_queue_push_tail(&line->ahead, g_bytes_new_take(bytes, size));
        line->ahead_size += size + AHEAD_EACH;
    }
    if (err) {
        break_locked(line, err);
    }
    pthread_cond_broadcast(&line->changed);
}

static void *deputy_main(void *opaque)
{
    Line *line = opaque;

    pthread_mutex_lock(&line->lock);
    while (!line->closing) {
        if (line->state == LINE_UP && !line->reading && !line->goodbye &&
            line->ahead_size < LINE_WINDOW && is_writer_stuck(line)) {
            read_ahead_locked(line);
        } else {
            clock_monotonic.wait(&clock_monotonic, &line->stuck, &line->lock,
                                 clock_now(&clock_monotonic) + TICK_NS);
        }
    }
    pthread_mutex_unlock(&line->lock);
    return NULL;
}

/* Keeping */

static bool is_news_due(const Line *line)
{
    int64_t quiet = clock_now(&clock_monotonic) - line->said;
    uint64_t new = line->received - line->told;

    return !line->patience_told || new >= HAVE_EVERY ||
           quiet >= silence_of(line) / BEATS ||
           (new > 0 && (line->finishing || quiet >= TICK_NS));
}

/* A HAVE, whether or not it is news. */
static void beat_locked(Line *line)
{
    uint8_t have[LINE_HEAD_SIZE + LINE_HAVE_SIZE];

    write_locked(line, have, put_have_locked(line, have));
}

static void say_bye_locked(Line *line)
{
    uint8_t bye[LINE_HEAD_SIZE];

    put_record(bye, LINE_BYE, 0);
    line->patience = 0; /* nothing is left to go on with */
    write_locked(line, bye, sizeof(bye));
    line->left_word = true;
    pthread_cond_broadcast(&line->changed);
}

static bool is_time_to_send_on(const Line *line)
{
    return line->kept.sent < line->kept.written && is_time_to_send(line);
}

static void *beater_main(void *opaque)
{
    Line *line = opaque;

    pthread_mutex_lock(&line->lock);
    while (!line->closing) {
        bool may_write = line->state == LINE_UP && !line->writing;

        if (may_write && line->leaving && !line->left_word) {
            say_bye_locked(line);
        } else if (may_write && is_news_due(line)) {
            beat_locked(line);
        } else if (may_write && is_time_to_send_on(line)) {
            write_locked(line, NULL, 0);
        } else {
            wait_until_locked(line, may_write && is_sent_again(line)
                                        ? MIN(line->again_at, next_tick())
                                        : next_tick());
        }
    }
    pthread_mutex_unlock(&line->lock);
    return NULL;
}

static void keep_up_locked(Line *line)
{
    int64_t silence = clock_now(&clock_monotonic) - line->heard;

    if (line->reading && silence > silence_of(line)) {
        break_locked(line, g_error_new(G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                                       "nothing has come for %.0f s",
                                       ns_to_seconds(silence)));
    }
}

/* One attempt.  False when there is no point in another one. */
static bool dial_locked(Line *line)
{
    uint64_t received = line->received, arrived;
    IoChannel *connection;
    GError *err = NULL;
    bool again;

    line->attempt = g_cancellable_new();
    line->attempt_until = clock_now(&clock_monotonic) + ATTEMPT_NS;
    pthread_mutex_unlock(&line->lock);
    connection = line->config.dial(line->config.opaque, received, &arrived,
                                   line->attempt, &err);
    pthread_mutex_lock(&line->lock);
    g_clear_object(&line->attempt);
    if (line->state != LINE_DOWN) {
        io_channel_free(connection);
        g_clear_error(&err);
        return false;
    }
    if (connection) {
        go_on_locked(line, connection, arrived);
        return false;
    }
    again = !g_error_matches(err, MIG_ERROR, MIG_ERROR_PEER) ||
            line->patience == LINE_FOREVER;
    if (!again) {
        end_locked(line, g_steal_pointer(&err));
    }
    g_clear_error(&err);
    return again;
}

static void *dialer_main(void *opaque)
{
    Line *line = opaque;
    int64_t pause = RETRY_NS;

    pthread_mutex_lock(&line->lock);
    while (line->state == LINE_DOWN && is_in_use(line)) {
        pthread_cond_wait(&line->changed, &line->lock);
    }
    while (line->state == LINE_DOWN && dial_locked(line)) {
        int64_t until = clock_now(&clock_monotonic) + pause;

        while (line->state == LINE_DOWN &&
               clock_now(&clock_monotonic) < until) {
            clock_monotonic.wait(&clock_monotonic, &line->changed, &line->lock,
                                 until);
        }
        pause = MIN(2 * pause, RETRY_MAX_NS);
    }
    line->dialed = true;
    pthread_cond_broadcast(&line->changed);
    pthread_mutex_unlock(&line->lock);
    return NULL;
}

static void keep_down_locked(Line *line)
{
    int64_t now = clock_now(&clock_monotonic);
    GError *err = NULL;

    if (!is_in_use(line)) {
        /* The other relay is to see that it has broken. */
        g_clear_pointer(&line->connection, io_channel_free);
    }
    if (now >= line->until) {
        end_locked(line, g_error_new(G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                                     "the link broke (%s), and did not go on "
                                     "within %.0f s", line->why->message,
                                     ns_to_seconds(now -
                                                   line->trouble_since)));
    } else if (line->attempt && now >= line->attempt_until) {
        g_cancellable_cancel(line->attempt);
    } else if (line->config.dial && !line->dialing) {
        line->dialing = thread_start(&line->dialer, "relay/dial", dialer_main,
                                     line, &err);
        if (!line->dialing) {
            end_locked(line, err);
        }
    }
}

static void tell_wait_locked(Line *line)
{
    if (line->config.waits && line->state == LINE_DOWN) {
        pthread_mutex_unlock(&line->lock);
        line->config.waits(line->config.opaque);
        pthread_mutex_lock(&line->lock);
    }
}

static void join_dialer_locked(Line *line)
{
    if (line->dialing) {
        pthread_mutex_unlock(&line->lock);
        thread_join(line->dialer);
        pthread_mutex_lock(&line->lock);
        line->dialing = line->dialed = false;
    }
}

static void *keeper_main(void *opaque)
{
    Line *line = opaque;

    pthread_mutex_lock(&line->lock);
    while (!line->closing) {
        if (line->dialed) {
            join_dialer_locked(line);
        }
        if (line->state == LINE_UP) {
            keep_up_locked(line);
        } else if (line->state == LINE_DOWN) {
            keep_down_locked(line);
            tell_wait_locked(line);
        }
        if (!line->closing) {
            wait_a_tick_locked(line);
        }
    }
    join_dialer_locked(line);
    pthread_mutex_unlock(&line->lock);
    return NULL;
}

/* The end */

/* Nobody else reads any more, so the acknowledgements are read here. */
static bool wait_until_arrived(Line *line, GError **errp)
{
    uint8_t rest[256];
    size_t nread = 1;
    bool done = false;

    while (nread > 0) {
        pthread_mutex_lock(&line->lock);
        done = line->kept.acked == line->kept.written;
        pthread_mutex_unlock(&line->lock);
        if (done) {
            break;
        }
        if (!line_read(&line->base, rest, sizeof(rest), &nread, errp)) {
            return false;
        }
    }
    return true;
}

static void begin_to_leave_locked(Line *line)
{
    if (!line->leaving) {
        line->leaving = true;
        line->leave_until = clock_now(&clock_monotonic) + LEAVE_NS;
        pthread_cond_broadcast(&line->changed);
    }
}

void line_begin_to_leave(IoChannel *channel)
{
    Line *line = line_of(channel);

    pthread_mutex_lock(&line->lock);
    begin_to_leave_locked(line);
    pthread_mutex_unlock(&line->lock);
}

/* The beater says it, so that nobody waits long for a writer. */
void line_leave(IoChannel *channel)
{
    Line *line = line_of(channel);

    pthread_mutex_lock(&line->lock);
    begin_to_leave_locked(line);
    while (line->state == LINE_UP && !line->left_word &&
           clock_now(&clock_monotonic) < line->leave_until) {
        wait_until_locked(line, line->leave_until);
    }
    pthread_mutex_unlock(&line->lock);
}

/* A command, such as ssh, is to see the end, and to pass the goodbye on. */
static void finish_connection(Line *line)
{
    IoChannel *connection = NULL;

    pthread_mutex_lock(&line->lock);
    while (line->writing) {
        pthread_cond_wait(&line->changed, &line->lock);
    }
    if (line->state == LINE_UP) {
        connection = line->connection;
        line->writing = true;
    }
    pthread_mutex_unlock(&line->lock);
    if (connection) {
        io_channel_finish(connection, NULL);
        pthread_mutex_lock(&line->lock);
        line->writing = false;
        pthread_cond_broadcast(&line->changed);
        pthread_mutex_unlock(&line->lock);
    }
}

/* After line_finish() nobody replaces the connection. */
static bool line_wait_command(IoChannel *channel, unsigned ms,
                              GCancellable *cancel, GError **errp)
{
    IoChannel *connection = line_of(channel)->connection;

    return !connection || io_channel_wait_command(connection, ms, cancel, errp);
}

static bool line_finish(IoChannel *channel, GError **errp)
{
    Line *line = line_of(channel);
    bool ok;

    pthread_mutex_lock(&line->lock);
    line->finishing = true;
    pthread_cond_broadcast(&line->changed);
    pthread_mutex_unlock(&line->lock);
    ok = line->config.dial || wait_until_arrived(line, errp);
    if (ok) {
        line_leave(channel);
        finish_connection(line);
    }
    return io_kind_named(channel, ok, errp);
}

static void line_close(IoChannel *channel)
{
    Line *line = line_of(channel);

    /* io_channel_free() has aborted the line, and so ended it. */
    g_cancellable_disconnect(channel->aborted, line->on_abort);
    pthread_mutex_lock(&line->lock);
    line->closing = true;
    pthread_cond_broadcast(&line->changed);
    pthread_cond_signal(&line->stuck);
    pthread_mutex_unlock(&line->lock);
    if (line->threads > 0) {
        thread_join(line->keeper);
    }
    if (line->threads > 1) {
        thread_join(line->beater);
    }
    if (line->threads > 2) {
        thread_join(line->deputy);
    }
    drop_ahead_locked(line);
    io_channel_free(line->connection);
    g_clear_error(&line->why);
    kept_destroy(&line->kept);
    pthread_cond_destroy(&line->stuck);
    pthread_cond_destroy(&line->changed);
    pthread_mutex_destroy(&line->lock);
}

static void on_abort(GCancellable *aborted, void *opaque)
{
    Line *line = opaque;

    pthread_mutex_lock(&line->lock);
    end_locked(line, g_error_new(G_IO_ERROR, G_IO_ERROR_CANCELLED,
                                 "the link was aborted"));
    pthread_mutex_unlock(&line->lock);
}

/* The whole */

static uint64_t line_queued(IoChannel *channel)
{
    Line *line = line_of(channel);
    uint64_t queued = 0;

    pthread_mutex_lock(&line->lock);
    if (line->state == LINE_UP) {
        queued = io_channel_queued(line->connection);
    }
    pthread_mutex_unlock(&line->lock);
    return queued;
}

static int64_t line_round_trip(IoChannel *channel)
{
    Line *line = line_of(channel);
    int64_t time = 0;

    pthread_mutex_lock(&line->lock);
    if (line->state == LINE_UP) {
        time = io_channel_round_trip(line->connection);
    }
    pthread_mutex_unlock(&line->lock);
    return time;
}

static const IoChannelOps line_ops = {
    .read = line_read,
    .writev = line_writev,
    .finish = line_finish,
    .wait_command = line_wait_command,
    .has_input = line_has_input,
    .queued = line_queued,
    .round_trip = line_round_trip,
    .close = line_close,
};

static bool start_threads(Line *line, GError **errp)
{
    line->threads += thread_start(&line->keeper, "relay/line", keeper_main,
                                  line, errp);
    if (line->threads == 1) {
        line->threads += thread_start(&line->beater, "relay/beat", beater_main,
                                      line, errp);
    }
    if (line->threads == 2) {
        line->threads += thread_start(&line->deputy, "relay/ahead", deputy_main,
                                      line, errp);
    }
    return line->threads == 3;
}

IoChannel *line_new(const LineConfig *config, GError **errp)
{
    Line *line = g_new0(Line, 1);

    line->config = *config;
    line->config.connection = NULL;
    line->connection = config->connection;
    line->patience = config->patience;
    line->patience_told = !config->dial;
    line->heard = line->said = clock_now(&clock_monotonic);
    pthread_mutex_init(&line->lock, NULL);
    thread_cond_init(&line->changed);
    thread_cond_init(&line->stuck);
    io_kind_init(&line->base, &line_ops, config->name, NULL, NULL);
    line->base.reads = line->base.writes = true;
    line->on_abort = g_cancellable_connect(line->base.aborted,
                                           G_CALLBACK(on_abort), line, NULL);
    if (!kept_init(&line->kept, config->window, errp) ||
        !start_threads(line, errp)) {
        io_channel_free(&line->base);
        return NULL;
    }
    return &line->base;
}

void line_set_patience(IoChannel *channel, int64_t ns)
{
    Line *line = line_of(channel);

    pthread_mutex_lock(&line->lock);
    line->holding = false;
    if (line->patience != ns) {
        change_patience_locked(line, ns);
        line->patience_told = !line->config.dial;
        pthread_cond_broadcast(&line->changed);
    }
    pthread_mutex_unlock(&line->lock);
}

void line_hold(IoChannel *channel)
{
    Line *line = line_of(channel);

    pthread_mutex_lock(&line->lock);
    line->holding = true;
    line->hold_from = line->kept.written;
    pthread_mutex_unlock(&line->lock);
}

/* An attempt of the other relay's that it has given up may come this late: it
 * has gone on by another connection. */
static bool is_old_locked(const Line *line, uint64_t arrived, GError **errp)
{
    bool old = arrived < line->kept.acked;

    if (old) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_EXISTS,
                    "the other relay has gone on with this migration by a "
                    "later connection");
    }
    return old;
}

bool line_stop(IoChannel *channel, uint64_t arrived, uint64_t *received,
               GError **errp)
{
    Line *line = line_of(channel);
    bool ok;

    pthread_mutex_lock(&line->lock);
    while (line->stopped && line->state != LINE_OVER) {
        pthread_cond_wait(&line->changed, &line->lock);
    }
    if (is_over(line, errp) || is_old_locked(line, arrived, errp)) {
        pthread_mutex_unlock(&line->lock);
        return false;
    }
    line->stopped = true;
    if (line->state == LINE_UP) {
        break_locked(line, g_error_new(G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED,
                                       "the other relay has made another "
                                       "connection"));
    }
    while (line->state == LINE_DOWN && is_in_use(line)) {
        pthread_cond_wait(&line->changed, &line->lock);
    }
    ok = !is_over(line, errp) && !is_old_locked(line, arrived, errp);
    line->stopped = ok;
    *received = line->received;
    pthread_cond_broadcast(&line->changed);
    pthread_mutex_unlock(&line->lock);
    return ok;
}

bool line_go_on(IoChannel *channel, IoChannel *connection, uint64_t arrived,
                GError **errp)
{
    Line *line = line_of(channel);
    bool ok;

    pthread_mutex_lock(&line->lock);
    line->stopped = false;
    pthread_cond_broadcast(&line->changed);
    if (line->state == LINE_DOWN && connection) {
        go_on_locked(line, g_steal_pointer(&connection), arrived);
    }
    ok = !is_over(line, errp) && line->state == LINE_UP;
    pthread_mutex_unlock(&line->lock);
    io_channel_free(connection);
    return ok;
}

LineCounts line_counts(IoChannel *channel)
{
    Line *line = line_of(channel);
    LineCounts counts;

    pthread_mutex_lock(&line->lock);
    counts = line->counts;
    pthread_mutex_unlock(&line->lock);
    return counts;
}
