/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Capabilities and parameters: one table for every front end.
 *
 * Where QEMU has the same capability or parameter, Ferry has its name and its
 * default.
 */
#ifndef FERRY_OPTIONS_H
#define FERRY_OPTIONS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

G_BEGIN_DECLS

typedef enum {
    /* capabilities: on or off, fixed while a migration runs */
    MIG_OPT_XBZRLE,
    MIG_OPT_AUTO_CONVERGE,
    MIG_OPT_COMPRESS,
    MIG_OPT_EVENTS, /* for front ends: the library always tells its host */
    MIG_OPT_RETURN_PATH,
    MIG_OPT_PAUSE_BEFORE_SWITCHOVER,
    MIG_OPT_VALIDATE_UUID,
    MIG_OPT_VERIFY,
    /* parameters */
    MIG_OPT_COMPRESS_HISTORY,
    MIG_OPT_COMPRESS_LEVEL,
    MIG_OPT_COMPRESS_METHOD,
    MIG_OPT_COMPRESS_THREADS,
    MIG_OPT_COMPRESS_WAIT_THREAD,
    MIG_OPT_DECOMPRESS_THREADS,
    MIG_OPT_THROTTLE_TRIGGER_THRESHOLD,
    MIG_OPT_CPU_THROTTLE_INITIAL,
    MIG_OPT_CPU_THROTTLE_INCREMENT,
    MIG_OPT_CPU_THROTTLE_TAILSLOW,
    MIG_OPT_MAX_CPU_THROTTLE,
    MIG_OPT_TLS_CREDS,
    MIG_OPT_TLS_HOSTNAME,
    MIG_OPT_MAX_BANDWIDTH,
    MIG_OPT_DOWNTIME_LIMIT,
    MIG_OPT_XBZRLE_CACHE_SIZE,
    MIG_OPT_STALL_TIMEOUT,
    MIG_OPT__COUNT
} MigOptionId;

/* Values of compress-method.  A library may know more than its header: its
 * option table, MigOption, has the names and the highest value of all. */
typedef enum {
    MIG_METHOD_ZLIB, /* what QEMU reads */
    MIG_METHOD_ZSTD, /* these between two Ferry ends */
    MIG_METHOD_LZ4,
    MIG_METHOD_AUTO = 3, /* to a Ferry what is fastest now, else zlib */
    MIG_METHOD__COUNT /* of those above */
} MigMethod;

typedef enum {
    MIG_KIND_CAPABILITY, /* on or off, set by migrate_set_capability */
    MIG_KIND_BOOL,       /* a parameter that is on or off */
    MIG_KIND_UINT,       /* a number from min to max */
    MIG_KIND_SIZE,       /* the same; on HMP K, M, G suffixes */
    MIG_KIND_STRING,     /* text of at most max bytes; '' means not set */
    MIG_KIND_ENUM,       /* one of some names, by its index */
} MigOptionKind;

typedef struct MigOption {
    MigOptionId id;
    const char *name; /* as in QMP, with '-' */
    MigOptionKind kind;
    uint64_t min, max, def; /* inclusive range, and the default */
    const char *unit;       /* "ms", "bytes/second" or NULL */
    bool live;              /* may change while a migration runs */
    const char *help;       /* one line, no full stop */
    const char *const *names; /* MIG_KIND_ENUM: of the values; ends with NULL */
    bool power_of_two; /* the value has to be one */
    bool in_bytes;     /* MIG_KIND_SIZE: on HMP, a number without a suffix is
                        * of bytes, otherwise of MiB */
} MigOption;

/* Every option, indexed by MigOptionId. */
const MigOption *mig_option(MigOptionId id);

/* Find a capability, or a parameter, by its name; '_' and '-' are the same.
 * NULL, and MIG_ERROR_OPTION "invalid parameter value: NAME", when there is
 * none. */
const MigOption *mig_option_find(const char *name, bool capability,
                                 GError **errp);

/*
 * The value of each option.  The struct is a plain value: copy it with '='.
 * The value of a string option is the number (GQuark) of its text, or 0.  Every
 * text that was ever set stays in memory once, for as long as the process
 * lives, so that no copy has to be freed.
 */
typedef struct MigOptions {
    uint64_t value[MIG_OPT__COUNT];
} MigOptions;

void mig_options_init(MigOptions *options); /* defaults */

/*
 * Set one option.  False and MIG_ERROR_OPTION when value is out of range:
 * "Parameter 'compress_threads' expects a value between 1 and 255".  Only
 * mig_options_check() checks whether values fit each other, so that several can
 * be set together.
 */
bool mig_options_set(MigOptions *options, const MigOption *option,
                     uint64_t value, GError **errp);

/* The text of a string option; "" when it is not set. */
const char *mig_options_string(const MigOptions *options, MigOptionId id);

/* Do the values fit each other, and the library?  max-cpu-throttle must not be
 * below cpu-throttle-initial.  compress-method must have been built in. */
bool mig_options_check(const MigOptions *options, GError **errp);

/* Set one option from text as HMP takes it: "on"/"off", a name, decimal or 0x
 * numbers, sizes with a suffix B, K, M, G, T (none: see in_bytes), strings as
 * they are.
 * The error for a bad text names the kind and range: "Parameter
 * 'compress-threads' expects an integer between 1 and 255". */
bool mig_options_set_text(MigOptions *options, const MigOption *option,
                          const char *text, GError **errp);

/* The value as "info migrate_parameters" shows it, without the option's name:
 * "on", "8", "300 ms", "134217728 bytes/second", "'/etc/pki/ferry'".  To be
 * freed by g_free(). */
char *mig_options_text(const MigOptions *options, const MigOption *option);

G_END_DECLS

#endif
