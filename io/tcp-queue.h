/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was written to a TCP socket and lies in the system's send queue.
 *
 * A system takes megabytes that it has not begun to send.  Over a thin link
 * that is seconds, in which whoever wrote believes that they have arrived.  So
 * what is unsent is bounded, by the time that it takes: 5 ms at the rate that
 * TCP has measured, but at least 64 KiB, which keeps the link busy while the
 * writer wakes up.  What is on its way is not bounded:
 * that is what TCP needs for a long link.
 */
#ifndef IO_TCP_QUEUE_H
#define IO_TCP_QUEUE_H

#include <stddef.h>
#include <stdint.h>

typedef struct TcpQueue {
    int fd;         /* borrowed; -1: not TCP, and there is nothing to do */
    int64_t looked; /* at the rate, when */
} TcpQueue;

/* The writing thread's: init before, and wrote after each write. */
void tcp_queue_init(TcpQueue *queue, int fd);
void tcp_queue_wrote(TcpQueue *queue);

/* How many bytes may be unsent at that rate. */
unsigned tcp_queue_bound(uint64_t bytes_per_second);

/* See io_channel_queued() and io_channel_round_trip().  Any thread. */
uint64_t tcp_queue_bytes(const TcpQueue *queue);
int64_t tcp_queue_round_trip(const TcpQueue *queue);

#endif
