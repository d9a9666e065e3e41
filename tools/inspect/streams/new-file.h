/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file that is made.  It gets its name when it is whole, so nothing is left
 * of it however the process ends, and it replaces no file that has come in the
 * meantime.  Where the file system has no files without a name (NFS has none),
 * it has its name from the start, and is removed when something fails.
 */
#ifndef TOOLS_INSPECT_NEW_FILE_H
#define TOOLS_INSPECT_NEW_FILE_H

#include <glib.h>
#include <stdbool.h>

typedef struct NewFile {
    char *path; /* for messages, where it is not to be kept */
    bool named; /* it has its name already */
    int fd;     /* -1: none, or kept */
} NewFile;

/* Mode 0600.  Fails if there is something with that path. */
bool new_file_open(NewFile *file, const char *path, GError **errp);

/* One in a folder that never gets a name. */
bool new_file_open_scratch(NewFile *file, const char *folder, GError **errp);

/* Give it its name.  True: the file is on the disk, with its name. */
bool new_file_keep(NewFile *file, GError **errp);

/* After all outcomes.  What was not kept is gone. */
void new_file_close(NewFile *file);

#endif
