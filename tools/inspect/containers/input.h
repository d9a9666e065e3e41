/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a stream is: the containers that people's files wrap it in, one inside
 * of the other, are found by what is in them, and opened.
 */
#ifndef TOOLS_INSPECT_INPUT_H
#define TOOLS_INSPECT_INPUT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "ferry/channel.h"
#include "migration/wire/stream.h"

#define INPUT_DEPTH_MAX 6u /* files inside of each other */

typedef struct Input Input;

/* Takes the channel over.  snapshot is the name or the id of the internal
 * snapshot to read where there are several; NULL: none was named. */
Input *input_new(IoChannel *channel, const char *snapshot);
void input_free(Input *input); /* NULL is fine */

/*
 * Open the containers, up to the first thing that is none, which need not be a
 * stream.  Errors say which container is damaged, or what it lacks.
 *
 * A disk with internal snapshots, of which none was named, ends the search:
 * there is no stream then, but the list.
 */
bool input_open(Input *input, GError **errp);
bool input_has_stream(const Input *input);

/* The bytes inside of all containers, and their channel: the input's. */
Stream *input_stream(const Input *input);
IoChannel *input_channel(const Input *input);

/*
 * The file that has the stream's bytes as they are, and the offset in it of the
 * stream's byte 0.  -1 where there is none, because the bytes are compressed,
 * or come from a pipe.
 */
int input_file(const Input *input, uint64_t *offset);
uint64_t input_file_size(const Input *input); /* from that offset on */

/* How much of the outermost container was read, in bytes, and how much there is
 * in all; 0 where that is not known. */
uint64_t input_position(const Input *input);
/* For a reader of input_file(): it is there, in the file.  0: back in the
 * stream. */
void input_show_position(Input *input, uint64_t offset);
uint64_t input_size(const Input *input);

/* A container that was opened. */
typedef struct InputContainer {
    const char *kind; /* "libvirt", "gzip", ... */
    char *note;       /* what is to be known of it, for people; "" */
} InputContainer;

/* From outside to inside. */
const GArray *input_containers(const Input *input); /* of InputContainer */

/* An internal snapshot of a disk. */
typedef struct InputSnapshot {
    char *id, *name;
    uint64_t size;    /* bytes of the guest's state; 0: the disk alone */
    uint32_t seconds; /* when it was made, since 1970 */
    uint64_t clock;   /* how long the guest had run, in ns */
} InputSnapshot;

const GArray *input_snapshots(const Input *input); /* of InputSnapshot */
bool input_has_saved_guest(const Input *input); /* is any not of a disk only? */

/* What is to be told though it ends nothing. */
const GPtrArray *input_warnings(const Input *input); /* of char * */

/* For the containers, which pass on what is inside of them: */

/* It comes from this channel, which is taken over, as is note. */
void input_push(Input *input, const char *kind, char *note,
                IoChannel *channel);
/* It begins where the stream has been read to. */
void input_enter(Input *input, const char *kind, char *note);
void input_warn(Input *input, char *text); /* taken over */
const char *input_wanted_snapshot(const Input *input); /* or NULL */
/* Its texts are taken over. */
void input_add_snapshot(Input *input, const InputSnapshot *snapshot);

/* Make sure that input_file() has a file: where it has none, the bytes are
 * copied to one that has no name. */
bool input_need_file(Input *input, GError **errp);

/* May there be another container inside? */
bool input_has_room(const Input *input);
/* What is inside of all containers is no list. */
void input_found_stream(Input *input);

#endif
