/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/bare-peer.h"

#include <sys/socket.h>
#include <unistd.h>

#include "migration/wire/wire.h"
#include "util/endian.h"

const uint8_t peer_pong[8] = { 0, 2, 0, 4, 'F', 'R', 'Y', '1' };
const uint8_t peer_waits_for_go[8] = { 0, 2, 0, 4, 0x46, 0x46, 0, 1 };
const uint8_t peer_shut_0[8] = { 0, 1, 0, 4, 0, 0, 0, 0 };
const uint8_t peer_shut_1[8] = { 0, 1, 0, 4, 0, 0, 0, 1 };

int peer_start(Pair *pair)
{
    int fd[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), ==, 0);
    pair->src = pair_send_to_fd(pair->src_host, &pair->options, fd[0]);
    return fd[1];
}

void peer_say(int peer, const uint8_t message[8])
{
    g_assert_cmpint(write(peer, message, 8), ==, 8);
}

void peer_read(int peer, size_t size)
{
    uint8_t buf[4096];

    while (size) {
        ssize_t n = read(peer, buf, MIN(size, sizeof(buf)));

        g_assert_cmpint(n, >, 0);
        size -= (size_t)n;
    }
}

GBytes *peer_recorded_stream(Pair *pair)
{
    g_autoptr(GOutputStream) out = g_memory_output_stream_new_resizable();

    pair->src = mig_new(&fake_mig_host, pair->src_host, &pair->options);
    g_assert_true(mig_send(pair->src, io_channel_new("memory", NULL, out),
                           NULL));
    g_assert_true(mig_wait(pair->src, NULL));
    g_output_stream_close(out, NULL, NULL);
    return g_memory_output_stream_steal_as_bytes(
        G_MEMORY_OUTPUT_STREAM(out));
}

size_t peer_find_eof(GBytes *stream)
{
    size_t size;
    const uint8_t *bytes = g_bytes_get_data(stream, &size);
    size_t at = size - 5; /* of the vmdescription */

    while (bytes[at] != WIRE_VMDESCRIPTION ||
           load_be32(bytes + at + 1) != size - at - 5) {
        at--;
    }
    g_assert_cmpint(bytes[at - 1], ==, WIRE_EOF);
    return at - 1;
}
