/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Only the first four bytes of a magic are compared, because a reader has no
 * more when it finds that the stream is not for it.  A shorter magic has a
 * mask.
 */
#include "migration/wire/names.h"

#include "migration/wire/wire.h"

typedef struct Magic {
    uint32_t magic, mask;
    const char *name;
} Magic;

#define ALL 0xffffffffu

static const Magic magics[] = {
    /* Connections */
    { WIRE_TLS << 16, 0xffff0000, "TLS (tls-creds is not set here)" },
    { WIRE_MULTIFD, ALL, "a side channel of multifd, which is not supported "
      "(set multifd off at the source)" },
    { 0x08000a00, 0xffffff00, "QEMU's recovery of a postcopy (migrate -r), "
      "which is not supported" },
    { 0x51435052, ALL, "QEMU's CPR state, whose stream takes another "
      "connection" },
    { WIRE_RELAY, ALL, "ferry-relay, which sends to another ferry-relay (put "
      "one in front of what listens here)" },
    { 0x47455420, ALL, "an HTTP client" },
    { 0x504f5354, ALL, "an HTTP client" },
    { 0x48545450, ALL, "an HTTP server" },
    { 0x5353482d, ALL, "SSH" },
    { 0x4e42444d, ALL, "an NBD server" },
    { 0x7b22514d, ALL, "a QMP monitor" },

    /* Disks */
    { 0x514649fb, ALL, "a qcow2 disk image (an internal snapshot lies inside "
      "of one and is not read)" },
    { 0x51454400, ALL, "a QED disk image" },
    { 0x4b444d56, ALL, "a VMDK disk image" },
    { 0x23204469, ALL, "the descriptor of a VMDK disk image" },
    { 0x76686478, ALL, "a VHDX disk image" },
    { 0x636f6e65, ALL, "a VPC disk image" },
    { 0x3c3c3c20, ALL, "a VDI disk image" },
    { 0x4c554b53, ALL, "a disk encrypted by LUKS" },

    /* States of virtual machines */
    { 0x4c696276, ALL, "a file of libvirt's save (the stream begins behind "
      "its header and may be compressed)" }, /* LibvirtQemudSave, ...Part */
    { 0x58656e20, ALL, "a virtual machine saved by Xen's xl" },
    { 0xffffffff, ALL, "a virtual machine saved by Xen's libxc" },
    { 0xd0bed2be, ALL, "a virtual machine suspended by VMware" },
    { 0xd1bed2be, ALL, "a virtual machine suspended by VMware" },
    { 0xd2bed2be, ALL, "a virtual machine suspended by VMware" },
    { 0xd3bed2be, ALL, "a virtual machine suspended by VMware" },
    { 0x7f566972, ALL, "a virtual machine saved by VirtualBox" },
    { 0x564d4100, ALL, "a Proxmox backup (VMA)" },
    { 0x00006486, ALL, "a snapshot of Firecracker" },
    { 0x0000aaaa, ALL, "a snapshot of Firecracker" },
    { 0x7b220000, 0xffff0000, "JSON, perhaps of a snapshot of Cloud "
      "Hypervisor" },

    /* Dumps of memory */
    { 0x7f454c46, ALL, "an ELF file, perhaps a dump of a guest's memory" },
    { 0x4b44554d, ALL, "a kdump-compressed dump of memory" },
    { 0x4449534b, ALL, "a diskdump dump of memory" },
    { 0x6d616b65, ALL, "a dump of memory by makedumpfile, flattened" },
    { 0x50414745, ALL, "a Windows crash dump" },
    { 0x454d694c, ALL, "a LiME dump of memory" },

    /* Compressed files */
    { 0x1f8b0000, 0xffff0000, "a gzip file (decompress it first)" },
    { 0xfd377a58, ALL, "an xz file (decompress it first)" },
    { 0x28b52ffd, ALL, "a zstd file (decompress it first)" },
    { 0x425a6800, 0xffffff00, "a bzip2 file (decompress it first)" },
    { 0x894c5a4f, ALL, "an lzop file (decompress it first)" },
    { 0x04224d18, ALL, "an lz4 file (decompress it first)" },
    { 0x504b0304, ALL, "a zip file" },
    { 0x5d000080, ALL, "an lzma file (decompress it first)" },

    { 0x00000000, ALL, "nothing but zero bytes at its beginning" },
};

const char *wire_magic_name(uint32_t magic)
{
    for (size_t i = 0; i < G_N_ELEMENTS(magics); i++) {
        if ((magic & magics[i].mask) == magics[i].magic) {
            return magics[i].name;
        }
    }
    return NULL;
}

typedef struct CommandName {
    uint16_t number;
    const char *name;
    bool postcopy; /* only sent with postcopy */
    uint16_t min, max; /* bytes of payload */
} CommandName;

static const CommandName commands[] = {
    { WIRE_CMD_OPEN_RETURN_PATH, "OPEN_RETURN_PATH", false, 0, 0 },
    { WIRE_CMD_PING, "PING", false, 4, 4 },
    { WIRE_CMD_POSTCOPY_ADVISE, "POSTCOPY_ADVISE", true, 0, 16 },
    { WIRE_CMD_POSTCOPY_LISTEN, "POSTCOPY_LISTEN", true, 0, 0 },
    { WIRE_CMD_POSTCOPY_RUN, "POSTCOPY_RUN", true, 0, 0 },
    { WIRE_CMD_POSTCOPY_DISCARD, "POSTCOPY_RAM_DISCARD", true, 4, 65535 },
    { WIRE_CMD_PACKAGED, "PACKAGED", true, 4, 4 },
    { WIRE_CMD_ENABLE_COLO, "ENABLE_COLO", false, 0, 0 },
    { WIRE_CMD_POSTCOPY_RESUME, "POSTCOPY_RESUME", true, 0, 0 },
    { WIRE_CMD_RECV_BITMAP, "RECV_BITMAP", true, 1, 256 },
    { WIRE_CMD_SWITCHOVER_START, "SWITCHOVER_START", false, 0, 0 },
    { WIRE_CMD_FERRY_PACKS, "PACKS", false, 4, 4 },
    { WIRE_CMD_FERRY_SUM, "SUM", false, 8, 8 },
    { WIRE_CMD_FERRY_VERIFY, "VERIFY", false, 10, 264 },
};

static const CommandName *find_command(uint16_t number)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (commands[i].number == number) {
            return &commands[i];
        }
    }
    return NULL;
}

const char *wire_command_name(uint16_t number)
{
    const CommandName *c = find_command(number);

    return c ? c->name : NULL;
}

bool wire_command_size(uint16_t number, size_t *min, size_t *max)
{
    const CommandName *c = find_command(number);

    *min = c ? c->min : 0;
    *max = c ? c->max : 0;
    return c != NULL;
}

char *wire_command_text(uint16_t number)
{
    const CommandName *c = find_command(number);

    if (!c) {
        return g_strdup_printf("command %u", number);
    }
    return g_strdup_printf("command %u (%s%s)", number, c->name,
                           c->postcopy ? ", postcopy" : "");
}
