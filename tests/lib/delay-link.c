/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A thin, long link between two network namespaces, since not every kernel can
 * delay packets:
 *
 *     delay-link NETNS-FILE NETNS-FILE DEVICE BITS-PER-SECOND DELAY-US QUEUE
 *
 * makes a TUN device of that name in each, says "ready", and moves packets from
 * one to the other until its input ends.  Each direction has that rate, delays
 * by that time, and lets so many bytes wait; what finds no room is lost.  The
 * rate is that of IP packets.  When things happen is delay-line.c's.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <glib.h>

#include "delay-line.h"
#include "util/clock.h"

#define MTU     1500
#define PACKETS 8192u /* under way in one direction; a power of two */

typedef struct Packet {
    int64_t due;
    size_t size;
    uint8_t data[MTU];
} Packet;

typedef struct Direction {
    int from, to;
    DelayLine line;
    Packet *packet; /* [PACKETS], a ring */
    unsigned first, last; /* only count up; last is the one to fill */
} Direction;

static void die(const char *what)
{
    fprintf(stderr, "delay-link: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* A device in that namespace, to which the thread moves. */
static int open_device(const char *netns, const char *name)
{
    struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
    int where = open(netns, O_RDONLY | O_CLOEXEC), fd;

    if (where < 0 || setns(where, CLONE_NEWNET) < 0) {
        die(netns);
    }
    close(where);
    fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    g_strlcpy(request.ifr_name, name, IFNAMSIZ);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) {
        die("/dev/net/tun");
    }
    return fd;
}

static void take_packets(Direction *d)
{
    for (;;) {
        Packet *packet = &d->packet[d->last % PACKETS];
        ssize_t size;

        if (d->last - d->first == PACKETS) {
            return; /* the device keeps them for now */
        }
        size = read(d->from, packet->data, MTU);
        if (size < 0) {
            if (errno != EAGAIN) {
                die("read");
            }
            return;
        }
        packet->size = (size_t)size;
        if (delay_line_take(&d->line, clock_now(&clock_monotonic),
                            packet->size, &packet->due)) {
            d->last++;
        }
    }
}

/* What is due; returns when the next one will be. */
static int64_t give_packets(Direction *d)
{
    while (d->first != d->last) {
        const Packet *packet = &d->packet[d->first % PACKETS];

        if (packet->due > clock_now(&clock_monotonic)) {
            return packet->due;
        }
        /* It fails while the device is down: that packet is lost. */
        if (write(d->to, packet->data, packet->size) < 0 && errno != EIO) {
            die("write");
        }
        d->first++;
    }
    return INT64_MAX;
}

static void forward(Direction both[2])
{
    struct pollfd fds[] = { { both[0].from, POLLIN, 0 },
                            { both[1].from, POLLIN, 0 },
                            { STDIN_FILENO, POLLIN, 0 } };

    while (!fds[2].revents) {
        int64_t there = give_packets(&both[0]);
        int64_t back = give_packets(&both[1]);
        int64_t left = MIN(there, back) - clock_now(&clock_monotonic);
        struct timespec wait = { left / NS_PER_S, left % NS_PER_S };

        if (left < 0) {
            wait = (struct timespec){ 0 };
        }
        if (ppoll(fds, 3, &wait, NULL) < 0) {
            die("poll");
        }
        take_packets(&both[0]);
        take_packets(&both[1]);
    }
}

int main(int argc, char **argv)
{
    Direction both[2] = { 0 };
    int end[2];

    if (argc != 7) {
        fprintf(stderr, "delay-link: see the source for its arguments\n");
        return 2;
    }
    prctl(PR_SET_TIMERSLACK, 1);
    for (int i = 0; i < 2; i++) {
        end[i] = open_device(argv[1 + i], argv[3]);
    }
    for (int i = 0; i < 2; i++) {
        both[i] = (Direction){
            .from = end[i],
            .to = end[1 - i],
            .line = {
                .bytes_per_ns = strtod(argv[4], NULL) / 8 / NS_PER_S,
                .delay = strtoll(argv[5], NULL, 10) * 1000,
                .queue = strtoul(argv[6], NULL, 10),
            },
            .packet = g_new(Packet, PACKETS),
        };
    }
    puts("ready");
    fflush(stdout);
    forward(both);
    return 0;
}
