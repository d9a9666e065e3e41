/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tool that embeds libferry-inspect: where does the guest's first processor
 * stand, and which bytes are there?
 *
 *     cc look.c $(pkg-config --cflags --libs ferry-inspect) -o look
 *     ./look guest.save [SNAPSHOT]
 */
#include <ferry/inspect.h>
#include <stdio.h>

#define BYTES 16

static uint64_t number_of(const MigInspect *guest, const char *path)
{
    MigInspectField field;
    uint64_t number = 0;

    if (mig_inspect_field(guest, path, &field)) {
        mig_inspect_number(&field, 0, &number);
    }
    return number;
}

/* Of guests with neither paging nor segments, that is the physical address. */
static void show_code(const MigInspect *guest, uint64_t address)
{
    g_autoptr(GError) err = NULL;
    uint8_t bytes[BYTES];

    if (!mig_inspect_read(guest, address, bytes, sizeof(bytes), &err)) {
        printf("%s\n", err->message);
        return;
    }
    printf("0x%" G_GINT64_MODIFIER "x:", address);
    for (unsigned i = 0; i < sizeof(bytes); i++) {
        printf(" %02x", bytes[i]);
    }
    printf("\n");
}

static void show_blocks(const MigInspect *guest)
{
    MigInspectBlock block;

    for (unsigned i = 0; mig_inspect_block(guest, i, &block); i++) {
        uint64_t pages = 0, at = mig_inspect_next(guest, i, 0);

        while (at < block.size) {
            pages++;
            at = mig_inspect_next(guest, i, at + 1);
        }
        printf("%s: %" G_GUINT64_FORMAT " bytes, %" G_GUINT64_FORMAT
               " pages with content\n", block.name, block.size, pages);
    }
}

static unsigned count_devices(const MigInspect *guest)
{
    MigInspectDevice device;
    unsigned count = 0;

    while (mig_inspect_device(guest, count, &device)) {
        count++;
    }
    return count;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    MigInspect *guest;

    if (argc < 2) {
        fprintf(stderr, "Usage: look FILE [SNAPSHOT]\n");
        return 2;
    }
    guest = mig_inspect_open(argv[1], argv[2], g_getenv("TMPDIR"), &err);
    if (!guest) {
        fprintf(stderr, "look: %s\n", err->message);
        return 1;
    }
    printf("machine %s\n", mig_inspect_machine(guest));
    show_blocks(guest);
    printf("%u devices\n", count_devices(guest));
    show_code(guest, number_of(guest, "cpu[0]/env.segs[1]/base") +
                         number_of(guest, "cpu[0]/env.eip"));
    mig_inspect_close(guest);
    return 0;
}
