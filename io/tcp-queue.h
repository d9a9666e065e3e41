/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes that were written to a TCP socket and lie in the system's send
 * queue.
 *
 * A system takes megabytes before it has begun to send them.  Over a thin link
 * that is seconds, in which the writer believes that they have arrived.  So the
 * unsent bytes are bounded by the time that they take at the rate that TCP has
 * measured: 5 ms, or 64 KiB where that is more, which keeps the link busy while
 * the writer wakes up.  Where 64 KiB take more than 10 ms the link is *thin*,
 * and 10 ms, or 16 KiB, are enough.  The bytes that are on their way are not
 * bounded, because TCP needs them to fill a long link.
 */
#ifndef IO_TCP_QUEUE_H
#define IO_TCP_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct TcpQueue {
    int fd;         /* constant; borrowed; -1: not TCP, nothing to do */
    int64_t looked; /* writer: when it last looked at the rate */
    unsigned bound; /* writer: how many bytes may be unsent */
} TcpQueue;

/* For the writing thread: init before the first write, wrote after each. */
void tcp_queue_init(TcpQueue *queue, int fd);
void tcp_queue_wrote(TcpQueue *queue);

/* Is the link thin?  Then a single write may be above the bound, so a writer
 * must first wait until the socket is writable. */
bool tcp_queue_is_thin(const TcpQueue *queue);

/* How many bytes may be unsent at this rate; rate 0: not known yet. */
unsigned tcp_queue_bound(uint64_t bytes_per_second);

/* See io_channel_queued() and io_channel_round_trip().  Any thread. */
uint64_t tcp_queue_bytes(const TcpQueue *queue);
int64_t tcp_queue_round_trip(const TcpQueue *queue);

#endif
