/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Jobs stand in a ring, in the order of the stream.  If most are done and wait
 * for the link, then the workers could take longer for fewer bytes: one rung
 * up.  If few are, the link waits for the workers: one rung down.  If it is the
 * thread that fills jobs which takes the time, then a rung helps on which it
 * does less: without a dictionary, or the lowest.
 *
 * Each step is a trial, because jobs also wait where the reader is slow, and
 * then fewer bytes are of no use.  It is taken back if fewer pages go than
 * before.  How well memory compresses changes from one stretch to the next, so
 * that pages themselves cannot be compared.  Instead the bytes that the link
 * takes are, and what pages typically have on either rung.  That leaves out the
 * lowest rung, where nearly all pages have the same size.
 *
 * After a step up that was taken back while jobs wait, the rung below is tried,
 * too.  Trials that fail are made less and less often, until what the link
 * takes falls to a half: then things have changed.
 *
 * Only jobs that have pages count, because memory has long stretches of zero
 * pages, and these have no bytes.
 */
#include "migration/pack/choose.h"

#include "migration/wire/wire.h"
#include "util/clock.h"

#define WINDOW_NS    (40 * NS_PER_MS)
#define WINDOW_LOOKS 8u

/* Of the jobs are ready. */
#define READY_MANY 0.7
#define READY_FEW  0.35

/* Of the time goes into filling jobs, and into the link. */
#define FILLED_MOST 0.5
#define SENT_MUCH   0.3
#define SENT_MOST   0.6

/* What a trial must bring, of what it would bring were the numbers exact. */
#define NEARLY 0.95

/* Below this part of that, a trial ends without its whole window. */
#define HOPELESS 0.8

/* Windows.  A step up that is not tried costs little, but a link that has
 * become faster shows only when a step down is tried. */
#define PAUSE_UP_MAX   64u
#define PAUSE_DOWN_MAX 16u

/* What was seen is believed a bit less each time that a step is not tried
 * because of it. */
#define DOUBT 1.05

typedef enum { LIMIT_NONE, LIMIT_LINK, LIMIT_CPU, LIMIT_FILL } Limit;

const char *choose_reason(ChooseReason reason)
{
    static const char *const reasons[] = {
        [CHOOSE_LINK] = "the link is the slowest part",
        [CHOOSE_CPU] = "compression is the slowest part",
        [CHOOSE_PEER] = "fewer bytes have not been faster",
    };

    return reasons[reason];
}

void choose_begin(Choice *choice, const Ladder *ladder)
{
    *choice = (Choice){
        .rung = MIN(1, ladder->rungs - 1),
        .reason = CHOOSE_BEGIN,
        .up = { .next = 1 },
        .down = { .next = 1 },
    };
}

/* Windows */

static Limit limit_of(const ChooseWindow *w)
{
    if (w->ready < READY_FEW && w->sent < SENT_MOST) {
        return LIMIT_CPU;
    }
    if (w->filled > FILLED_MOST && w->sent < SENT_MUCH) {
        return LIMIT_FILL;
    }
    return w->ready > READY_MANY && w->sent > SENT_MUCH ? LIMIT_LINK
                                                        : LIMIT_NONE;
}

static ChooseWindow window_until(const Choice *c, const ChooseLook *look)
{
    int64_t filled = look->filled - c->first.filled;
    int64_t sent = look->sent - c->first.sent;
    double time = (double)MAX(filled + sent + look->waited - c->first.waited,
                              1);

    return (ChooseWindow){
        .bytes = (double)(look->bytes - c->first.bytes) / time,
        .pages = (double)(look->pages - c->first.pages) / time,
        .filled = (double)filled / time,
        .sent = (double)sent / time,
        .ready = (double)c->ready / (double)c->pending,
    };
}

/* Trials */

static void go(Choice *c, unsigned rung, ChooseReason reason,
               const ChooseLook *look)
{
    c->rung = rung;
    c->reason = reason;
    c->stale = look->pending;
}

static void try_rung(Choice *c, unsigned rung, ChooseReason reason,
                     ChooseWindow seen, const ChooseLook *look)
{
    c->on_trial = true;
    c->from = c->rung;
    c->reason_before = c->reason;
    c->before = seen;
    go(c, rung, reason, look);
}

static double typical_size(const Ladder *ladder, unsigned rung)
{
    double size = 1;

    for (unsigned i = 0; i <= rung; i++) {
        size *= ladder->rung[i].size;
    }
    return size;
}

/* How many times as fast it has become. */
static double gain(const Choice *c, const Ladder *ladder,
                   const ChooseWindow *w)
{
    if (c->rung == 0 || c->from == 0) {
        return w->pages / c->before.pages;
    }
    return w->bytes / c->before.bytes * typical_size(ladder, c->from) /
           typical_size(ladder, c->rung);
}

static void begin_pause(ChoosePause *pause, unsigned most, double bytes)
{
    pause->windows = pause->next;
    pause->next = MIN(2 * pause->next, most);
    pause->bytes = bytes;
}

/* Rung 1 has shown how fast it is, if the link was not the limit. */
static void note_packed(Choice *c, const ChooseWindow *w)
{
    if (c->rung == 1) {
        c->packed = w->pages;
    }
}

static void take_back_up(Choice *c, const ChooseWindow *w,
                         const ChooseLook *look)
{
    bool waits = limit_of(w) == LIMIT_LINK;

    note_packed(c, w);
    begin_pause(&c->up, PAUSE_UP_MAX, c->before.bytes);
    go(c, c->from, waits ? CHOOSE_PEER : CHOOSE_CPU, look);
    if (waits && c->rung > 0) {
        try_rung(c, c->rung - 1, CHOOSE_PEER, c->before, look);
    }
}

static void take_back_down(Choice *c, const ChooseLook *look)
{
    begin_pause(&c->down, PAUSE_DOWN_MAX, c->before.bytes);
    go(c, c->from, c->reason_before, look);
}

/* The thread that fills jobs has become the limit: bytes show nothing now. */
static bool is_filling_new(const Choice *c, const ChooseWindow *w)
{
    return c->rung > 0 && limit_of(w) == LIMIT_FILL &&
           limit_of(&c->before) != LIMIT_FILL;
}

static void judge_trial(Choice *c, const Ladder *ladder,
                        const ChooseWindow *w, const ChooseLook *look)
{
    bool up = c->rung > c->from;
    bool good = gain(c, ladder, w) >= (up ? NEARLY : 1) &&
                !is_filling_new(c, w);

    c->on_trial = false; /* unless another one follows */
    if (!good && up) {
        take_back_up(c, w, look);
        return;
    }
    if (!good) {
        take_back_down(c, look);
        return;
    }
    *(up ? &c->up : &c->down) = (ChoosePause){ .next = 1 };
    if (c->reason == CHOOSE_PEER && c->rung > 0) {
        try_rung(c, c->rung - 1, CHOOSE_PEER, *w, look);
    }
}

/* True while the pause lasts; a window of it is over. */
static bool take_pause(ChoosePause *pause, const ChooseWindow *w)
{
    if (w->bytes < pause->bytes / 2) {
        pause->windows = 0;
    }
    if (pause->windows) {
        pause->windows--;
        return true;
    }
    return false;
}

/* Would more pages go as they are, if the link takes what it took? */
static bool is_plain_hopeless(const Choice *c, const ChooseWindow *w)
{
    return c->link > 0 && c->link / MIG_PAGE_SIZE < w->pages;
}

/* Would more pages go by rung 1, if that is as fast as it was? */
static bool is_packing_hopeless(const Choice *c, const ChooseWindow *w)
{
    return c->rung == 0 && c->packed > 0 && c->packed < w->pages;
}

/* The rung to try if the one at work is too slow. */
static unsigned rung_below(const Choice *c, const Ladder *ladder, Limit limit)
{
    unsigned rung = c->rung;

    if (limit != LIMIT_FILL) {
        return rung - 1;
    }
    if (!rung_wants_dictionary(&ladder->rung[rung])) {
        return 0;
    }
    while (rung_wants_dictionary(&ladder->rung[rung])) {
        rung--;
    }
    return rung;
}

static void look_up(Choice *c, const ChooseWindow *w, const ChooseLook *look)
{
    if (take_pause(&c->up, w)) {
        return;
    }
    if (is_packing_hopeless(c, w)) {
        c->packed *= DOUBT;
        return;
    }
    try_rung(c, c->rung + 1, CHOOSE_LINK, *w, look);
}

static void look_down(Choice *c, const Ladder *ladder, const ChooseWindow *w,
                      const ChooseLook *look)
{
    unsigned below = rung_below(c, ladder, limit_of(w));

    if (take_pause(&c->down, w)) {
        return;
    }
    if (below == 0 && is_plain_hopeless(c, w)) {
        c->link *= DOUBT;
        return;
    }
    try_rung(c, below, CHOOSE_CPU, *w, look);
}

static void look_around(Choice *c, const Ladder *ladder,
                        const ChooseWindow *w, const ChooseLook *look)
{
    Limit limit = limit_of(w);

    if (limit == LIMIT_LINK && c->reason != CHOOSE_PEER) {
        c->link = w->bytes;
    }
    if (limit != LIMIT_LINK) {
        note_packed(c, w);
    }
    if (limit == LIMIT_LINK && c->rung + 1 < ladder->rungs) {
        look_up(c, w, look);
    } else if ((limit == LIMIT_CPU || limit == LIMIT_FILL) && c->rung > 0) {
        look_down(c, ladder, w, look);
    }
}

static bool is_window_over(const Choice *c, const Ladder *ladder,
                           const ChooseWindow *w, const ChooseLook *look)
{
    if (c->looks <= WINDOW_LOOKS || w->pages <= 0 || w->bytes <= 0) {
        return false;
    }
    return look->now - c->first.now >= WINDOW_NS ||
           (c->on_trial && gain(c, ladder, w) < HOPELESS);
}

bool choose_look(Choice *c, const Ladder *ladder, const ChooseLook *look)
{
    unsigned rung = c->rung;
    ChooseReason reason = c->reason;
    ChooseWindow w;

    if (c->stale) {
        c->stale--;
        return false;
    }
    if (!c->looks++) {
        c->first = *look;
        c->ready = 0;
        c->pending = 0;
    }
    c->ready += look->ready;
    c->pending += look->pending;
    w = window_until(c, look);
    if (!is_window_over(c, ladder, &w, look)) {
        return false;
    }
    c->looks = 0;
    if (c->on_trial) {
        judge_trial(c, ladder, &w, look);
    } else {
        look_around(c, ladder, &w, look);
    }
    return c->rung != rung || c->reason != reason;
}

void choose_settle(Choice *c)
{
    if (c->on_trial) {
        c->rung = c->from;
        c->reason = c->reason_before;
        c->on_trial = false;
    }
}
