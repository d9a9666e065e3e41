/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of channels share.  A function that fails here fails the test,
 * unless it is handed an errp.
 *
 * Every test runs in an empty directory of its own and must end with as many
 * open descriptors as it began with.
 */
#ifndef TESTS_UNIT_CHANNEL_KIT_H
#define TESTS_UNIT_CHANNEL_KIT_H

#include <gio/gio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "io/io-internal.h"

/* More than any socket or pipe holds, so that writers block. */
#define BULK_SIZE (16 * 1024 * 1024)

typedef struct ChannelTest {
    const char *name;
    void (*run)(void);
    bool uses_exec; /* skipped where exec: URIs are left out */
} ChannelTest;

/* For main to return. */
int run_channel_tests(int argc, char **argv, const ChannelTest *tests,
                      size_t count);

IoUri *parse_uri(const char *text);

IoChannel *try_connect(const char *text, GError **errp);
IoListener *try_listen(const char *text, GError **errp);
IoChannel *connect_to(const char *text);
IoListener *listen_at(const char *text);
IoChannel *accept_from(IoListener *listener);
/* The reading side of a URI for which nobody has to connect. */
IoChannel *open_reader(const char *text);
void make_pair(IoChannel *ends[2]);
/* A command that tells its process id and then does not end. */
IoChannel *open_endless(pid_t *pid);

/* The message begins with the URI and contains says. */
void assert_fails_to_connect(const char *text, const char *says);
void assert_fails_to_listen(const char *text, const char *says);

bool write_bytes(IoChannel *channel, const void *buf, size_t size,
                 GError **errp);
void write_text(IoChannel *channel, const char *text);
void finish(IoChannel *channel);
/* Up to the end of file. */
GByteArray *read_all(IoChannel *channel);
char *read_text(IoChannel *channel);
void assert_reads(IoChannel *channel, const char *text);
void assert_contents(const char *path, const char *want);

/* BULK_SIZE bytes that do not repeat. */
uint8_t *make_bulk(void);
/* Write bulk in one writev of several thousand vectors, and finish. */
void write_bulk(IoChannel *channel, const uint8_t *bulk);
/* A thread does write_bulk; it comes out at the other end. */
void check_transfer(IoChannel *from, IoChannel *to);
/* Both ways, the second one after the first has been half-closed; frees. */
void check_two_way(IoChannel *a, IoChannel *b);
/* Connect to a URI that leads to listener, and check_two_way. */
void connect_and_check(IoListener *listener, const char *to);

bool machine_has_ipv6(void);
/* The URI that reaches listener's port under another host name. */
char *same_port(IoListener *listener, const char *host);
char *fd_uri(int fd);

#endif
