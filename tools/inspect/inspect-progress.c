/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/inspect-progress.h"

#include <glib.h>
#include <stdio.h>
#include <unistd.h>

#include "util/clock.h"

#define LONG_NS   (500 * NS_PER_MS) /* the bar is shown after this time, */
#define PERIOD_NS (100 * NS_PER_MS) /* and this often */
#define BAR_WIDTH 30
#define WIPE      "\r\033[K"

void progress_init(Progress *p, uint64_t size)
{
    *p = (Progress){
        .wanted = isatty(STDERR_FILENO),
        .size = size,
        .start = clock_now(&clock_monotonic),
    };
    p->next = p->start + LONG_NS;
}

static void show_bar(uint64_t position, uint64_t size)
{
    char bar[BAR_WIDTH + 1];
    unsigned done =
        (unsigned)((double)MIN(position, size) / (double)size * BAR_WIDTH);

    for (unsigned i = 0; i < BAR_WIDTH; i++) {
        bar[i] = i < done ? '#' : '.';
    }
    bar[BAR_WIDTH] = '\0';
    fprintf(stderr, "[%s] %3u%%  ", bar,
            (unsigned)((double)MIN(position, size) / (double)size * 100));
}

static void show(Progress *p, uint64_t position, int64_t now)
{
    double seconds = ns_to_seconds(now - p->start);
    double mib = (double)position / (1 << 20);

    fprintf(stderr, WIPE);
    if (p->size) {
        show_bar(position, p->size);
    }
    fprintf(stderr, "%.0f MiB, %.0f MiB/s", mib, mib / seconds);
    fflush(stderr);
    p->shown = true;
}

void progress_update(Progress *p, uint64_t position)
{
    int64_t now;

    if (!p->wanted) {
        return;
    }
    now = clock_now(&clock_monotonic);
    if (now >= p->next) {
        p->next = now + PERIOD_NS;
        show(p, position, now);
    }
}

void progress_clear(Progress *p)
{
    if (p->shown) {
        fprintf(stderr, WIPE);
    }
}
