/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every number of the stream.  docs/stream.md is the specification; nothing
 * outside this file knows a magic number.
 */
#ifndef MIGRATION_WIRE_WIRE_H
#define MIGRATION_WIRE_WIRE_H

#include <glib.h>

#include "ferry/host.h"

#define WIRE_MAGIC   0x5145564du /* "QEVM" */
#define WIRE_VERSION 3u
#define WIRE_HEADER_SIZE 8 /* magic and version */

/* What may come instead of a stream when an end was set up wrongly. */
#define WIRE_TLS       0x1603u     /* TLS's first two bytes, RFC 8446, 5.1 */
#define WIRE_TLS_ALERT 0x1503u
#define WIRE_MULTIFD   0x11223344u /* each of QEMU's multifd connections */
#define WIRE_RELAY     0xfe465245u /* ferry-relay's HELLO: FE "FRE" */

/* Section types. */
#define WIRE_EOF           0x00
#define WIRE_START         0x01
#define WIRE_PART          0x02
#define WIRE_END           0x03
#define WIRE_FULL          0x04
#define WIRE_SUBSECTION    0x05
#define WIRE_VMDESCRIPTION 0x06
#define WIRE_CONFIGURATION 0x07
#define WIRE_COMMAND       0x08
#define WIRE_FOOTER        0x7e

/* The configuration's subsections. */
#define WIRE_CONFIG_CAPABILITIES "configuration/capabilities"
#define WIRE_CONFIG_PAGE_BITS    "configuration/target-page-bits"
#define WIRE_CONFIG_UUID         "configuration/uuid"
#define WIRE_CONFIG_UUID_VERSION 1u
#define WIRE_CONFIG_CAPABILITIES_VERSION 1u
#define WIRE_UUID_SIZE           16

/* Capabilities that the configuration lists: both change the ram section. */
#define WIRE_CAP_IGNORE_SHARED "x-ignore-shared"
#define WIRE_CAP_MAPPED_RAM    "mapped-ram"

/* The one capability that a stream of ours may list.  The name of the
 * compress-method whose batches follow is appended. */
#define WIRE_CAPABILITY_METHOD "compress-method-"

/* Commands, source to destination. */
#define WIRE_CMD_OPEN_RETURN_PATH 1
#define WIRE_CMD_PING             2
#define WIRE_CMD_POSTCOPY_ADVISE  3
#define WIRE_CMD_POSTCOPY_LISTEN  4
#define WIRE_CMD_POSTCOPY_RUN     5
#define WIRE_CMD_POSTCOPY_DISCARD 6
#define WIRE_CMD_PACKAGED         7
#define WIRE_CMD_ENABLE_COLO      8
#define WIRE_CMD_POSTCOPY_RESUME  9
#define WIRE_CMD_RECV_BITMAP      10
#define WIRE_CMD_SWITCHOVER_START 11
#define WIRE_CMD_FERRY_PACKS      0x4650 /* "FP": packs follow; their window */
#define WIRE_CMD_FERRY_SUM        0x4653 /* "FS": a checksum of the stream */
#define WIRE_CMD_FERRY_VERIFY     0x4656 /* "FV": the digest of a RAM block */

/* Messages of the return path, destination to source. */
#define WIRE_RP_SHUT           1
#define WIRE_RP_PONG           2
#define WIRE_RP_REQ_PAGES_ID   3 /* this and the next ones: only from QEMU */
#define WIRE_RP_REQ_PAGES      4
#define WIRE_RP_RECV_BITMAP    5
#define WIRE_RP_RESUME_ACK     6
#define WIRE_RP_SWITCHOVER_ACK 7

/*
 * Ferry's own use of PING and PONG; see docs/stream.md, "Between two Ferry
 * ends".  A QEMU answers HELLO with a PONG and otherwise ignores it.
 */
#define WIRE_FERRY_HELLO    0x46525931u /* PING: the source is Ferry ("FRY1") */
#define WIRE_FERRY_FEATURES 0x46460000u /* PONG: so is the destination; its */
#define WIRE_FERRY_MASK     0xffff0000u /* features are in the low half */
#define WIRE_FERRY_HANDOVER 0x0001u     /* feature: waits for GO, says why */
#define WIRE_FERRY_ZSTD       0x0002u  /* feature: batches by zstd */
#define WIRE_FERRY_LZ4        0x0004u  /* feature: batches by lz4 */
#define WIRE_FERRY_ZERO_RANGE 0x0008u  /* feature: ranges of zero pages */
#define WIRE_FERRY_WORKING    0x0010u  /* feature: says that it is working */
#define WIRE_FERRY_VERIFY     0x0080u  /* feature: compares digests of RAM */
/* features: reads packs; 1: without a history, n: with one of 2^(n - 2) MiB */
#define WIRE_FERRY_PACKS       0x1f00u
#define WIRE_FERRY_PACKS_SHIFT 8
#define WIRE_FERRY_WORK     0x4652574bu /* PING: say that you work ("FRWK") */
#define WIRE_FERRY_GO       0x4652474fu /* PING: the guest is yours ("FRGO") */
#define WIRE_RP_FERRY_REASON 0x4652     /* return path: why it failed, text */
#define WIRE_REASON_MAX      1024u

/* The ram section. */
#define WIRE_RAM_NAME     "ram"
#define WIRE_RAM_INSTANCE 0u
#define WIRE_RAM_VERSION  4u

/* Flags of a RAM record, in the low 12 bits of its first u64. */
#define WIRE_RAM_PACK       0x001u /* ours; no QEMU since 1.0 writes it */
#define WIRE_RAM_ZERO       0x002u
#define WIRE_RAM_MEM_SIZE   0x004u
#define WIRE_RAM_PLAIN      0x008u
#define WIRE_RAM_EOS        0x010u
#define WIRE_RAM_CONTINUE   0x020u
#define WIRE_RAM_XBZRLE     0x040u
#define WIRE_RAM_HOOK       0x080u
#define WIRE_RAM_COMPRESSED 0x100u
#define WIRE_RAM_MULTIFD    0x200u
#define WIRE_RAM_BATCH      0x400u /* ours */
#define WIRE_RAM_ZERO_RANGE 0x800u /* ours */
#define WIRE_RAM_FLAGS      ((uint64_t)MIG_PAGE_SIZE - 1)

/* mapped-ram: the head of a block's bitmap and pages. */
#define WIRE_MAPPED_VERSION 1u

/* How the changes of a page are encoded (XBZRLE); there is no other way. */
#define WIRE_XBZRLE_ENCODING 0x01u

/* Limits. */
#define WIRE_NAME_MAX        255u
#define WIRE_COMPRESSED_MAX  4110u /* zlib's compressBound(MIG_PAGE_SIZE) */
#define WIRE_BATCH_PAGES_MAX 64u
#define WIRE_BATCH_GAP_MAX   65535u /* pages, from one page to the next */
#define WIRE_PACK_HEAD       17u /* bytes of a pack besides its pages, */
#define WIRE_PACK_ENTRY      9u  /* and besides the content of each */
#define WIRE_BLOCKS_MAX      4096u
#define WIRE_VMDESC_MAX      (16u << 20)
#define WIRE_CAPABILITIES_MAX 64u
#define WIRE_VERIFY_CHUNK    (2u << 20) /* bytes hashed at a time */

/* More than a header and a configuration with everything in it. */
#define WIRE_PREAMBLE_MAX (32u << 10)

/* The longest head of a record, a batch's or a pack's: u64, u8 and name, u8
 * count, u16 gaps, u32 length. */
#define WIRE_RECORD_HEAD_MAX                                                \
    (8 + 1 + WIRE_NAME_MAX + 1 + 2 * (WIRE_BATCH_PAGES_MAX - 1) + 4)

G_STATIC_ASSERT(MIG_PAGE_SIZE == 1u << MIG_PAGE_BITS);
G_STATIC_ASSERT(WIRE_COMPRESSED_MAX > MIG_PAGE_SIZE);
G_STATIC_ASSERT((WIRE_RAM_FLAGS & WIRE_RAM_ZERO_RANGE) != 0);
G_STATIC_ASSERT((WIRE_FERRY_FEATURES & ~WIRE_FERRY_MASK) == 0);
G_STATIC_ASSERT((WIRE_FERRY_HELLO & WIRE_FERRY_MASK) != WIRE_FERRY_FEATURES);

#endif
