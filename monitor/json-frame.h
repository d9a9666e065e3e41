/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds where JSON objects begin and end in a stream of bytes. */
#ifndef FERRY_MONITOR_JSON_FRAME_H
#define FERRY_MONITOR_JSON_FRAME_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define JSON_FRAME_SIZE_MAX  (1 << 20)
#define JSON_FRAME_DEPTH_MAX 64

typedef struct JsonFrame {
    GString *text;    /* the object so far */
    unsigned depth;   /* brackets that are open */
    uint64_t squares; /* bit n: the bracket at depth n + 1 is a '[' */
    char quote;       /* of the string that is open, or 0 */
    bool escaped;     /* in a string, behind a backslash */
    bool lost;        /* bytes belong to something bad, and are dropped */
} JsonFrame;

typedef enum {
    JSON_FRAME_MORE,
    JSON_FRAME_DONE, /* text is complete, until the next byte comes */
    JSON_FRAME_BAD,  /* *why says why; the next object is looked for */
} JsonFrameResult;

void json_frame_init(JsonFrame *frame);
void json_frame_destroy(JsonFrame *frame);

JsonFrameResult json_frame_push(JsonFrame *frame, char c, const char **why);

#endif
