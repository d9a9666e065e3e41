/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An image has a head, the domain's XML, and the stream, which may be
 * compressed.  The head is in the byte order of the host that wrote it:
 *
 *     16 bytes  LIBVIRT_SAVED, or LIBVIRT_PARTIAL until all is written
 *     u32       version, 1 or 2
 *     u32       bytes of XML, with what libvirt puts behind it
 *     u32       was the guest running?
 *     u32       how the stream is compressed
 *     u32       where the cookie is, an XML of libvirt's own
 *     14 u32    unused
 *
 * How it is compressed is only told: what follows the XML shows it, too.
 */
#include "tools/inspect/containers/libvirt.h"

#include <string.h>

#include "ferry/error.h"
#include "util/endian.h"

#define HEAD_SIZE   (LIBVIRT_MAGIC_SIZE + 19u * 4u)
#define VERSION_MAX 2u

/* As numbered by libvirt.  The last one is QEMU's mapped-ram. */
static const char *const formats[] = { "raw",  "gzip", "bzip2", "xz",
                                       "lzop", "zstd", "sparse" };

typedef struct Head {
    bool partial;
    uint32_t version, data, running, format;
} Head;

static void parse_head(const uint8_t bytes[HEAD_SIZE], Head *head)
{
    uint32_t word[4];

    for (unsigned i = 0; i < G_N_ELEMENTS(word); i++) {
        word[i] = load_be32(bytes + LIBVIRT_MAGIC_SIZE + 4 * i);
    }
    /* The version shows the byte order. */
    if (word[0] > VERSION_MAX) {
        for (unsigned i = 0; i < G_N_ELEMENTS(word); i++) {
            word[i] = GUINT32_SWAP_LE_BE(word[i]);
        }
    }
    *head = (Head){
        .partial = !memcmp(bytes, LIBVIRT_PARTIAL, LIBVIRT_MAGIC_SIZE),
        .version = word[0],
        .data = word[1],
        .running = word[2],
        .format = word[3],
    };
}

static char *describe(const Head *head)
{
    g_autofree char *unknown = g_strdup_printf("format %u", head->format);

    return g_strdup_printf(
        "%s, the guest was %s", head->format < G_N_ELEMENTS(formats)
                                    ? formats[head->format] : unknown,
        head->running ? "running" : "stopped");
}

bool libvirt_open(Input *input, GError **errp)
{
    Stream *stream = input_stream(input);
    uint8_t bytes[HEAD_SIZE];
    Head head;

    if (!stream_get_bytes(stream, bytes, sizeof(bytes), errp)) {
        g_prefix_error(errp, "the head of libvirt's image: ");
        return false;
    }
    parse_head(bytes, &head);
    if (head.version == 0 || head.version > VERSION_MAX) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_UNSUPPORTED,
                    "version %u of libvirt's images is not supported",
                    head.version);
        return false;
    }
    if (head.partial) {
        input_warn(input, g_strdup("libvirt has not finished this image "
                                   "(LibvirtQemudPart): the save failed, or "
                                   "still goes on"));
    }
    if (!stream_skip(stream, head.data, errp)) {
        g_prefix_error(errp, "the XML in libvirt's image: ");
        return false;
    }
    input_enter(input, "libvirt", describe(&head));
    return true;
}
