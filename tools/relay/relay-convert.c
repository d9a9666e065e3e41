/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A job is a stretch of the stream: its literals, among them the heads of its
 * page records, and the pages' data.  A worker copies the literals, changes the
 * heads' flags, and puts each page's data, in its new form, behind its head.
 * So a head must be in the same job as its data.  When a job is submitted
 * before the data has come, bytes that might be a head are carried over to the
 * next job.
 *
 * QEMU's receiver orders nothing within a section, so a section must not have a
 * page twice.  When a page comes for the second time, the section is closed and
 * another PART opened in front of the page.  An END could not be opened again.
 * Therefore the source's END becomes a PART, and an empty END is put behind it.
 * A section of very many pages is cut, too, so that not all of its pages have
 * to be remembered.
 */
#include "tools/relay/relay-convert.h"

#include <string.h>

#include "migration/pack/codec-worker.h"
#include "migration/wire/wire.h"
#include "tools/relay/relay-progress.h"
#include "tools/relay/relay-pump.h"
#include "tools/relay/relay-scan.h"
#include "util/clock.h"
#include "util/endian.h"
#include "util/zero.h"

#define CONVERT_PAGES 64u

/* How many literals a job collects, and the room for literals that are added in
 * front of each page: EOS, footer, PART. */
#define CONVERT_LITERALS (32u << 10)
#define BREAK_MAX        (8 + 5 + 5)
#define LITERAL_ROOM     (CONVERT_LITERALS + CONVERT_PAGES * BREAK_MAX)
#define DATA_ROOM        (CONVERT_PAGES * WIRE_COMPRESSED_MAX)

/* The most pages of a section, all of which are remembered. */
#define SEEN_MAX (64u << 10)

/* As in ram/compress.c: the record, with the length, must be smaller than a
 * plain page's. */
#define COMPRESSED_MAX (MIG_PAGE_SIZE - 4 - 1)

typedef struct ConvertPage {
    uint32_t head;  /* where in the literals its u64 is */
    uint32_t end;   /* where the head ends */
    uint32_t start; /* where in data its data is */
    uint32_t size;
    uint64_t position; /* where in the stream the record is */
} ConvertPage;

typedef struct ConvertJob {
    PumpJob pump;
    unsigned pages;
    ConvertPage page[CONVERT_PAGES];
    uint32_t literals;
    uint32_t data_size;
    uint8_t literal[LITERAL_ROOM];
    _Alignas(8) uint8_t data[DATA_ROOM]; /* for buffer_is_zero() */
    uint8_t out[LITERAL_ROOM + DATA_ROOM];
} ConvertJob;

struct RelayConvert {
    RelayConvertConfig config;
    Pump *pump;
    ConvertJob *filling; /* or NULL */
    ScanPart part;       /* the section that is open */
    GHashTable *seen;    /* pages of this section: offset | block's number */
    int64_t idle_since;
    RelayProgress progress;
};

/* Workers */

/* Change a record's type; its offset and CONTINUE stay. */
static void set_type(uint8_t *head, unsigned type)
{
    uint64_t v = load_be64(head);

    v &= ~(uint64_t)(WIRE_RAM_PLAIN | WIRE_RAM_COMPRESSED);
    store_be64(head, v | type);
}

/* Write the page behind its head.  Returns where the output ends. */
static uint8_t *put_compressed(const CodecWorker *worker, const uint8_t *page,
                               uint8_t *head, uint8_t *to)
{
    size_t size;

    if (buffer_is_zero(page, MIG_PAGE_SIZE)) {
        set_type(head, WIRE_RAM_ZERO);
        *to = 0;
        return to + 1;
    }
    size = codec_zlib.encode(worker->encoder, page, MIG_PAGE_SIZE, to + 4,
                             COMPRESSED_MAX);
    if (size) {
        set_type(head, WIRE_RAM_COMPRESSED);
        store_be32(to, (uint32_t)size);
        return to + 4 + size;
    }
    memcpy(to, page, MIG_PAGE_SIZE);
    return to + MIG_PAGE_SIZE;
}

/* `to` is behind the head, whose last four bytes, the length, are dropped. */
static uint8_t *put_expanded(const CodecWorker *worker, ConvertJob *job,
                             const ConvertPage *page, uint8_t *head,
                             uint8_t *to)
{
    to -= 4;
    set_type(head, WIRE_RAM_PLAIN);
    job->pump.fault_at = page->position;
    job->pump.fault =
        codec_zlib.decode(worker->decoder, job->data + page->start, page->size,
                          to, MIG_PAGE_SIZE);
    return to + MIG_PAGE_SIZE;
}

static void convert_run_job(void *opaque, void *opaque_worker)
{
    ConvertJob *job = opaque;
    const CodecWorker *worker = opaque_worker;
    uint8_t *to = job->out;
    uint32_t done = 0;

    job->pump.fault = NULL;
    for (unsigned i = 0; i < job->pages && !job->pump.fault; i++) {
        const ConvertPage *page = &job->page[i];
        uint8_t *head = to + page->head - done;

        memcpy(to, job->literal + done, page->end - done);
        to += page->end - done;
        done = page->end;
        to = worker->decoder
                 ? put_expanded(worker, job, page, head, to)
                 : put_compressed(worker, job->data + page->start, head, to);
    }
    memcpy(to, job->literal + done, job->literals - done);
    to += job->literals - done;
    pump_job_set(&job->pump, job->out, (size_t)(to - job->out));
    job->pump.pages = job->pages;
}

/* Jobs */

static ConvertJob *filling_job(RelayConvert *convert, GError **errp)
{
    ConvertJob *job = convert->filling;

    if (!job) {
        job = convert->filling = pump_next(convert->pump, errp);
        if (job) {
            job->pages = 0;
            job->literals = job->data_size = 0;
        }
    }
    return job;
}

/* Submit the job without the last held bytes of its literals, and begin the
 * next one with them. */
static bool submit(RelayConvert *convert, size_t held, GError **errp)
{
    ConvertJob *job = convert->filling;
    uint8_t carried[WIRE_RECORD_HEAD_MAX];

    g_assert(held <= sizeof(carried) && held <= job->literals);
    job->literals -= held;
    memcpy(carried, job->literal + job->literals, held);
    convert->filling = NULL;
    if (!pump_submit(convert->pump, errp)) {
        return false;
    }
    if (held) {
        job = filling_job(convert, errp);
        if (!job) {
            return false;
        }
        memcpy(job->literal, carried, held);
        job->literals = held;
    }
    return true;
}

/* How many of the last literals might be a head whose data has not come. */
static size_t possible_head(const ConvertJob *job)
{
    uint32_t end = job->pages ? job->page[job->pages - 1].end : 0;

    return MIN(job->literals - end, WIRE_RECORD_HEAD_MAX);
}

static bool add_literal(RelayConvert *convert, const void *buf, size_t size,
                        GError **errp)
{
    const uint8_t *from = buf;

    while (size) {
        ConvertJob *job = filling_job(convert, errp);
        size_t part;

        if (!job) {
            return false;
        }
        if (job->literals >= CONVERT_LITERALS) {
            if (!submit(convert, possible_head(job), errp)) {
                return false;
            }
            continue;
        }
        part = MIN(size, CONVERT_LITERALS - job->literals);
        memcpy(job->literal + job->literals, from, part);
        job->literals += part;
        from += part;
        size -= part;
    }
    return true;
}

/* Sections */

static size_t put_section_end(const ScanPart *part, uint8_t *to)
{
    store_be64(to, WIRE_RAM_EOS);
    if (!part->has_footer) {
        return 8;
    }
    to[8] = WIRE_FOOTER;
    store_be32(to + 9, part->id);
    return 8 + 5;
}

static size_t put_section_head(uint8_t type, uint32_t id, uint8_t *to)
{
    to[0] = type;
    store_be32(to + 1, id);
    return 5;
}

/* Close the section and open another, in front of the head at the end of the
 * literals. */
static void break_section(RelayConvert *convert, size_t head_size)
{
    ConvertJob *job = convert->filling;
    uint8_t *head = job->literal + job->literals - head_size;
    uint8_t text[BREAK_MAX];
    size_t size = put_section_end(&convert->part, text);

    size += put_section_head(WIRE_PART, convert->part.id, text + size);
    g_assert(job->literals + size <= LITERAL_ROOM);
    memmove(head + size, head, head_size);
    memcpy(head, text, size);
    job->literals += size;
    g_hash_table_remove_all(convert->seen);
}

/* An offset, with the block's number in its low bits. */
static gpointer page_key(const ScanPage *page)
{
    G_STATIC_ASSERT(WIRE_BLOCKS_MAX <= WIRE_RAM_FLAGS + 1);
    return (gpointer)(uintptr_t)(page->record->offset | page->block->index);
}

/* Remember a page that is about to be added.  False when the section has to end
 * first, because it has this page already, or too many. */
static bool add_seen(RelayConvert *convert, const ScanPage *page)
{
    return g_hash_table_size(convert->seen) < SEEN_MAX &&
           g_hash_table_add(convert->seen, page_key(page));
}

/* The sink */

static bool on_literal(void *opaque, const void *buf, size_t size,
                       GError **errp)
{
    RelayConvert *convert = opaque;

    relay_stats_add(&convert->config.stats->bytes_in, size);
    return add_literal(convert, buf, size, errp);
}

static void add_data(RelayConvert *convert, const ScanPage *page)
{
    ConvertJob *job = convert->filling;

    memcpy(job->data + job->data_size, page->data, page->size);
    job->page[job->pages++] = (ConvertPage){
        .head = job->literals - (uint32_t)page->head_size,
        .end = job->literals,
        .start = job->data_size,
        .size = (uint32_t)page->size,
        .position = page->record->position,
    };
    job->data_size += page->size;
}

static bool on_page(void *opaque, const ScanPage *page, GError **errp)
{
    RelayConvert *convert = opaque;
    unsigned from = convert->config.expand ? WIRE_RAM_COMPRESSED
                                           : WIRE_RAM_PLAIN;

    progress_page(&convert->progress, page->block, page->record->offset);
    relay_stats_add(&convert->config.stats->bytes_in, page->size);
    if (convert->filling->pages == CONVERT_PAGES &&
        !submit(convert, page->head_size, errp)) {
        return false;
    }
    if (!convert->config.expand && !add_seen(convert, page)) {
        break_section(convert, page->head_size);
        add_seen(convert, page);
    }
    if (page->record->type != from) {
        return add_literal(convert, page->data, page->size, errp);
    }
    add_data(convert, page);
    return true;
}

static bool on_idle(void *opaque, bool waits, size_t held, GError **errp)
{
    RelayConvert *convert = opaque;

    if (!waits) {
        relay_stats_waited(convert->config.stats, RELAY_WAIT_QEMU,
                           convert->idle_since);
        return true;
    }
    held = MIN(held, WIRE_RECORD_HEAD_MAX);
    if ((convert->filling && !submit(convert, held, errp)) ||
        !pump_flush_idle(convert->pump, convert->config.from, NULL, errp)) {
        return false;
    }
    convert->idle_since = clock_now(&clock_monotonic);
    return true;
}

static bool on_part(void *opaque, const ScanPart *part, GError **errp)
{
    RelayConvert *convert = opaque;
    ConvertJob *job = convert->filling;

    convert->part = *part;
    g_hash_table_remove_all(convert->seen);
    put_section_head(WIRE_PART, part->id, job->literal + job->literals - 5);
    return true;
}

static bool on_part_end(void *opaque, const ScanPart *part, GError **errp)
{
    uint8_t text[BREAK_MAX];
    size_t size = put_section_head(WIRE_END, part->id, text);

    size += put_section_end(part, text + size);
    return part->type != WIRE_END || add_literal(opaque, text, size, errp);
}

static void on_ram_begins(void *opaque, const RamBlocks *blocks,
                          bool has_return_path)
{
    RelayConvert *convert = opaque;

    progress_begin(&convert->progress, blocks);
    relay_found_ram(convert->config.findings, has_return_path);
}

static void on_reached(void *opaque, ScanPlace place)
{
    RelayConvert *convert = opaque;

    progress_reached(&convert->progress, place);
}

static void on_lost(void *opaque, const char *reason)
{
    RelayConvert *convert = opaque;

    relay_found_lost(convert->config.findings, reason, false);
}

static void on_ended(void *opaque, const ScanEnd *end)
{
    RelayConvert *convert = opaque;

    relay_found_end(convert->config.findings, end);
    ending_expect_go(&convert->config.findings->ending, convert->config.back);
}

static const ScanSink expand_sink = {
    .literal = on_literal,
    .page = on_page,
    .idle = on_idle,
    .ram_begins = on_ram_begins,
    .lost = on_lost,
    .reached = on_reached,
    .ended = on_ended,
    .wants_all_pages = true,
};

static const ScanSink compress_sink = {
    .literal = on_literal,
    .page = on_page,
    .idle = on_idle,
    .ram_begins = on_ram_begins,
    .lost = on_lost,
    .reached = on_reached,
    .ended = on_ended,
    .wants_all_pages = true,
    .part = on_part,
    .part_end = on_part_end,
};

/* The whole */

RelayConvert *relay_convert_new(const RelayConvertConfig *config,
                                GError **errp)
{
    RelayConvert *convert = g_new0(RelayConvert, 1);
    CodecWorkerConfig worker = {
        .codec = &codec_zlib, .level = config->level
    };
    PoolConfig pool = {
        .name = "relay/conv",
        .workers = config->threads,
        .job_size = sizeof(ConvertJob),
        .worker_new = config->expand ? codec_worker_new_decoder
                                     : codec_worker_new_encoder,
        .worker_config = &worker,
        .worker_free = codec_worker_free,
        .run = convert_run_job,
    };
    PumpOutput output = {
        .channel = config->to,
        .stats = config->stats,
        .wait = RELAY_WAIT_QEMU,
    };

    convert->config = *config;
    progress_init(&convert->progress, config->stats, &clock_monotonic);
    convert->seen = g_hash_table_new(NULL, NULL);
    convert->pump = pump_new(&pool, &output, errp);
    if (!convert->pump) {
        relay_convert_free(convert);
        return NULL;
    }
    return convert;
}

void relay_convert_free(RelayConvert *convert)
{
    if (convert) {
        pump_free(convert->pump);
        g_hash_table_unref(convert->seen);
        progress_clear(&convert->progress);
        g_free(convert);
    }
}

bool relay_convert_write_failed(const RelayConvert *convert)
{
    return pump_write_failed(convert->pump);
}

static bool flush(RelayConvert *convert, GError **errp)
{
    return (!convert->filling || submit(convert, 0, errp)) &&
           pump_flush(convert->pump, errp);
}

static bool run(RelayConvert *convert, GError **errp)
{
    const ScanSink *sink = convert->config.expand ? &expand_sink
                                                  : &compress_sink;
    GError *err = NULL;

    if (!scan_run(convert->config.from, sink, convert, &err)) {
        /* The bytes that came before QEMU's connection failed still go on. */
        if (g_error_matches(err, MIG_ERROR, MIG_ERROR_IO)) {
            flush(convert, NULL);
        }
        g_propagate_error(errp, err);
        return false;
    }
    return flush(convert, errp);
}

bool relay_convert_run(RelayConvert *convert, GError **errp)
{
    GError *err = NULL;
    bool ok = run(convert, &err);

    if (g_error_matches(err, G_IO_ERROR, G_IO_ERROR_INVALID_DATA)) {
        g_prefix_error(&err, "a compressed page is bad: ");
    }
    if (err) {
        g_propagate_error(errp, err);
    }
    return ok;
}
