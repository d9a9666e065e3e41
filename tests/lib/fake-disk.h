/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk that fails when it is told to: the program that is built with it gets
 * its calls instead of the system's.  One for the process, and of the thread
 * that syncs.
 */
#ifndef TESTS_FAKE_DISK_H
#define TESTS_FAKE_DISK_H

#include <stdbool.h>
#include <sys/types.h>

typedef struct FakeDisk {
    unsigned syncs;   /* fdatasync() */
    unsigned names;   /* fsync(), of folders */
    unsigned systems; /* syncfs() */
    unsigned begins;  /* sync_file_range() */
    ino_t folder;     /* of the last fsync() */
    /* the call that fails, from 1, and with what */
    unsigned fail_sync;
    unsigned fail_name;
    int error;
    /* called first; may be NULL */
    void (*on_sync)(unsigned nth, void *opaque);
    void *opaque;
} FakeDisk;

extern FakeDisk fake_disk;

#endif
