/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TCP_NOTSENT_LOWAT says how much may be unsent.  The system looks at it before
 * it takes the next piece (up to 64 KiB) of a write, so it may cut a write
 * short.  It calls the socket writable again when half of that amount has gone
 * out.  GIO writes the rest then, as it does with a socket that is full.
 *
 * When a write begins below the bound, the system takes up to 64 KiB, whatever
 * the bound is.  On a thin link these would be most of what is unsent, so there
 * each write first waits until the socket is writable.
 */
#include "io/tcp-queue.h"

#include <glib.h>
#include <linux/sockios.h>
#include <linux/tcp.h> /* glibc's tcp_info lacks the shortest round trip */
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "util/clock.h"

#define THIN_LEAST  (16u << 10)
#define LEAST_BOUND (64u << 10)
#define MOST_BOUND  (64u << 20)
#define THIN_NS     (10 * NS_PER_MS)
#define BOUND_NS    (5 * NS_PER_MS)
#define LOOK_NS     (20 * NS_PER_MS)

static int64_t now_ns(void)
{
    return g_get_monotonic_time() * 1000;
}

static void set_bound(TcpQueue *queue, unsigned bound)
{
    queue->bound = bound;
    /* A system that lacks the option works as it did before. */
    setsockopt(queue->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bound,
               sizeof(bound));
}

void tcp_queue_init(TcpQueue *queue, int fd)
{
    *queue = (TcpQueue){ .fd = fd, .bound = LEAST_BOUND };
    if (fd >= 0) {
        queue->looked = now_ns();
        set_bound(queue, LEAST_BOUND);
    }
}

unsigned tcp_queue_bound(uint64_t bytes_per_second)
{
    double rate = (double)bytes_per_second / NS_PER_S;

    if (rate == 0) {
        return LEAST_BOUND;
    }
    if (rate * THIN_NS < LEAST_BOUND) {
        return (unsigned)MAX(rate * THIN_NS, THIN_LEAST);
    }
    return (unsigned)CLAMP(rate * BOUND_NS, LEAST_BOUND, MOST_BOUND);
}

bool tcp_queue_is_thin(const TcpQueue *queue)
{
    return queue->fd >= 0 && queue->bound < LEAST_BOUND;
}

static bool get_info(const TcpQueue *queue, struct tcp_info *info)
{
    socklen_t size = sizeof(*info);

    *info = (struct tcp_info){ .tcpi_delivery_rate = 0 };
    return queue->fd >= 0 &&
           getsockopt(queue->fd, IPPROTO_TCP, TCP_INFO, info, &size) == 0;
}

/*
 * The rate is the one at which the peer's system has acknowledged bytes while
 * there was something to send.  The rate at which the socket takes bytes is no
 * measure: where the writer is slow to wake up, a small bound would lower that
 * rate, and the rate would lower the bound.
 */
void tcp_queue_wrote(TcpQueue *queue)
{
    struct tcp_info info;
    int64_t now;

    if (queue->fd < 0) {
        return;
    }
    now = now_ns();
    if (now - queue->looked >= LOOK_NS && get_info(queue, &info)) {
        set_bound(queue, tcp_queue_bound(info.tcpi_delivery_rate));
        queue->looked = now;
    }
}

uint64_t tcp_queue_bytes(const TcpQueue *queue)
{
    int bytes = 0;

    if (queue->fd < 0 || ioctl(queue->fd, SIOCOUTQ, &bytes) < 0) {
        return 0;
    }
    return (uint64_t)MAX(bytes, 0);
}

int64_t tcp_queue_round_trip(const TcpQueue *queue)
{
    struct tcp_info info;

    /* ~0 stands for "not measured yet". */
    if (!get_info(queue, &info) || info.tcpi_min_rtt == UINT32_MAX) {
        return 0;
    }
    return (int64_t)info.tcpi_min_rtt * (NS_PER_MS / 1000);
}
