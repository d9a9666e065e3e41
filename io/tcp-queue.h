/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was written to a TCP socket and lies in the system's send queue.
 *
 * A system takes megabytes that it has not begun to send.  Over a thin link
 * that is seconds, in which whoever wrote believes that they have arrived.  So
 * what is unsent is bounded, by the time that it takes at the rate that TCP has
 * measured: 5 ms, or 64 KiB where that is more, which keeps the link busy while
 * the writer wakes up.  Where 64 KiB take more than 10 ms the link is *thin*,
 * and 10 ms are enough, or 16 KiB.  What is on its way is not bounded: TCP
 * needs that for a long link.
 */
#ifndef IO_TCP_QUEUE_H
#define IO_TCP_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct TcpQueue {
    int fd;         /* borrowed; -1: not TCP, and there is nothing to do */
    int64_t looked; /* at the rate, when */
    unsigned bound; /* of what may be unsent, in bytes */
} TcpQueue;

/* The writing thread's: init before, and wrote after each write. */
void tcp_queue_init(TcpQueue *queue, int fd);
void tcp_queue_wrote(TcpQueue *queue);

/* Must a writer wait until the socket is writable before it writes?  On a thin
 * link, where a single write may be above the bound. */
bool tcp_queue_is_thin(const TcpQueue *queue);

/* How many bytes may be unsent at that rate; 0: not known yet. */
unsigned tcp_queue_bound(uint64_t bytes_per_second);

/* See io_channel_queued() and io_channel_round_trip().  Any thread. */
uint64_t tcp_queue_bytes(const TcpQueue *queue);
int64_t tcp_queue_round_trip(const TcpQueue *queue);

#endif
