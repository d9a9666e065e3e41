/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * An input is a pile of layers.  Each is a channel, with a Stream over it.  The
 * lowest one is the file or whatever else the user has named.  A container
 * reads its head from the uppermost stream.  If what is inside follows as it
 * is, the same stream begins again there; otherwise the container puts a layer
 * on top, whose channel reads from the stream below.
 */
#include "tools/inspect/containers/input.h"

#include <string.h>
#include <unistd.h>

#include "io/channel-kind.h"
#include "tools/inspect/containers/spool.h"

#define LAYERS_MAX (INPUT_DEPTH_MAX + 2u)

typedef struct Layer {
    IoChannel *channel;
    Stream *stream;
    uint64_t start; /* a file's: where the channel began, */
    uint64_t begun; /* and how much of it is before the stream's byte 0 */
} Layer;

struct Input {
    Layer layer[LAYERS_MAX];
    unsigned layers;
    GArray *containers;  /* of InputContainer */
    GPtrArray *warnings; /* of char * */
    const char *wanted;  /* the snapshot that was named, or NULL */
    GArray *snapshots;   /* of InputSnapshot */
    uint64_t shown;      /* see input_show_position() */
    bool has_stream;     /* what is inside of all containers is not a list */
};

static Layer *top_of(const Input *input)
{
    return (Layer *)&input->layer[input->layers - 1];
}

static bool on_leap(void *channel, uint64_t size, uint64_t *leapt,
                    GError **errp)
{
    return io_kind_skip(channel, size, leapt, errp);
}

static void add_layer(Input *input, IoChannel *channel)
{
    int fd = io_kind_input_fd(channel);
    off_t at = fd >= 0 ? lseek(fd, 0, SEEK_CUR) : 0;

    g_assert(input->layers < LAYERS_MAX);
    input->layer[input->layers++] = (Layer){
        .channel = channel,
        .stream = stream_new(channel),
        .start = at > 0 ? (uint64_t)at : 0,
    };
    stream_set_leap(input_stream(input), on_leap, channel);
}

static void clear_container(void *container)
{
    g_free(((InputContainer *)container)->note);
}

static void clear_snapshot(void *snapshot)
{
    g_free(((InputSnapshot *)snapshot)->id);
    g_free(((InputSnapshot *)snapshot)->name);
}

Input *input_new(IoChannel *channel, const char *snapshot)
{
    Input *input = g_new0(Input, 1);

    input->wanted = snapshot;
    input->snapshots = g_array_new(FALSE, FALSE, sizeof(InputSnapshot));
    g_array_set_clear_func(input->snapshots, clear_snapshot);

    input->containers = g_array_new(FALSE, FALSE, sizeof(InputContainer));
    g_array_set_clear_func(input->containers, clear_container);
    input->warnings = g_ptr_array_new_with_free_func(g_free);
    add_layer(input, channel);
    return input;
}

void input_free(Input *input)
{
    if (!input) {
        return;
    }
    while (input->layers) {
        Layer *layer = &input->layer[--input->layers];

        stream_free(layer->stream);
        io_channel_free(layer->channel);
    }
    g_array_unref(input->containers);
    g_array_unref(input->snapshots);
    g_ptr_array_unref(input->warnings);
    g_free(input);
}

Stream *input_stream(const Input *input)
{
    return top_of(input)->stream;
}

IoChannel *input_channel(const Input *input)
{
    return top_of(input)->channel;
}

int input_file(const Input *input, uint64_t *offset)
{
    const Layer *top = top_of(input);

    *offset = top->start + top->begun;
    return io_kind_input_fd(top->channel);
}

/* The size of a file from an offset on; 0 where it has none. */
static uint64_t size_from(int fd, uint64_t offset)
{
    off_t at = fd >= 0 ? lseek(fd, 0, SEEK_CUR) : -1;
    off_t end = at >= 0 ? lseek(fd, 0, SEEK_END) : -1;

    if (end < 0 || lseek(fd, at, SEEK_SET) < 0 || (uint64_t)end < offset) {
        return 0;
    }
    return (uint64_t)end - offset;
}

uint64_t input_file_size(const Input *input)
{
    uint64_t offset;
    int fd = input_file(input, &offset);

    return size_from(fd, offset);
}

uint64_t input_position(const Input *input)
{
    const Layer *lowest = &input->layer[0];
    int fd = io_kind_input_fd(lowest->channel);

    if (input->shown) {
        return input->shown - MIN(input->shown, lowest->start);
    }
    /* A program may read the file, too. */
    return fd >= 0 ? (uint64_t)lseek(fd, 0, SEEK_CUR) - lowest->start
                   : lowest->begun + stream_position(lowest->stream);
}

void input_show_position(Input *input, uint64_t offset)
{
    input->shown = offset;
}

uint64_t input_size(const Input *input)
{
    const Layer *lowest = &input->layer[0];

    return size_from(io_kind_input_fd(lowest->channel), lowest->start);
}

bool input_has_stream(const Input *input)
{
    return input->has_stream;
}

const GArray *input_snapshots(const Input *input)
{
    return input->snapshots;
}

bool input_has_saved_guest(const Input *input)
{
    for (unsigned i = 0; i < input->snapshots->len; i++) {
        if (g_array_index(input->snapshots, InputSnapshot, i).size) {
            return true;
        }
    }
    return false;
}

const GArray *input_containers(const Input *input)
{
    return input->containers;
}

const GPtrArray *input_warnings(const Input *input)
{
    return input->warnings;
}

/* For the containers */

static void note_container(Input *input, const char *kind, char *note)
{
    InputContainer container = { kind, note };

    g_array_append_val(input->containers, container);
}

void input_push(Input *input, const char *kind, char *note,
                IoChannel *channel)
{
    note_container(input, kind, note);
    add_layer(input, channel);
}

void input_enter(Input *input, const char *kind, char *note)
{
    Layer *top = top_of(input);

    note_container(input, kind, note);
    top->begun += stream_position(top->stream);
    stream_restart(top->stream);
}

void input_warn(Input *input, char *text)
{
    g_ptr_array_add(input->warnings, text);
}

const char *input_wanted_snapshot(const Input *input)
{
    return input->wanted;
}

void input_add_snapshot(Input *input, const InputSnapshot *snapshot)
{
    g_array_append_vals(input->snapshots, snapshot, 1);
}

bool input_need_file(Input *input, GError **errp)
{
    g_autoptr(GError) cut = NULL;
    IoChannel *file;
    uint64_t offset;

    if (input_file(input, &offset) >= 0) {
        return true;
    }
    file = spool(input_stream(input), &cut, errp);
    if (!file) {
        return false;
    }
    if (cut) {
        input_warn(input, g_strdup(cut->message));
    }
    add_layer(input, file);
    return true;
}

bool input_has_room(const Input *input)
{
    return input->layers + 2 <= LAYERS_MAX;
}

void input_found_stream(Input *input)
{
    input->has_stream = true;
}
