/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one option table, and the only place that parses an option's text. */
#include "ferry/options.h"

#include <string.h>

#include "ferry/error.h"
#include "ferry/host.h"
#include "migration/pack/codec.h"

/* Hosts name the methods by MigMethod.  The values of the codecs are those of
 * their rows, and auto's is the next: a fourth codec needs a table of values,
 * because auto's may not move. */
G_STATIC_ASSERT(CODEC_COUNT == MIG_METHOD_AUTO);

#define METHOD_NAME(codec) codec.name,
static const char *const method_names[] = {
    CODEC_LIST(METHOD_NAME) "auto", NULL
};

static const MigOption options[MIG_OPT__COUNT] = {
    [MIG_OPT_XBZRLE] = {
        .id = MIG_OPT_XBZRLE,
        .name = "xbzrle",
        .kind = MIG_KIND_CAPABILITY,
        .max = 1,
        .help = "send only what has changed of pages that are sent again",
    },
    [MIG_OPT_AUTO_CONVERGE] = {
        .id = MIG_OPT_AUTO_CONVERGE,
        .name = "auto-converge",
        .kind = MIG_KIND_CAPABILITY,
        .max = 1,
        .help = "slow the guest down when it writes faster than is sent",
    },
    [MIG_OPT_COMPRESS] = {
        .id = MIG_OPT_COMPRESS,
        .name = "compress",
        .kind = MIG_KIND_CAPABILITY,
        .max = 1,
        .help = "compress pages with a pool of threads",
    },
    [MIG_OPT_EVENTS] = {
        .id = MIG_OPT_EVENTS,
        .name = "events",
        .kind = MIG_KIND_CAPABILITY,
        .max = 1,
        .help = "tell QMP clients of states and passes",
    },
    [MIG_OPT_RETURN_PATH] = {
        .id = MIG_OPT_RETURN_PATH,
        .name = "return-path",
        .kind = MIG_KIND_CAPABILITY,
        .max = 1,
        .def = 1,
        .help = "let the destination answer, where the channel allows it",
    },
    [MIG_OPT_PAUSE_BEFORE_SWITCHOVER] = {
        .id = MIG_OPT_PAUSE_BEFORE_SWITCHOVER,
        .name = "pause-before-switchover",
        .kind = MIG_KIND_CAPABILITY,
        .max = 1,
        .help = "stop the guest and wait before the switch-over",
    },
    [MIG_OPT_VALIDATE_UUID] = {
        .id = MIG_OPT_VALIDATE_UUID,
        .name = "validate-uuid",
        .kind = MIG_KIND_CAPABILITY,
        .max = 1,
        .help = "send the guest's UUID for the destination to compare",
    },
    [MIG_OPT_VERIFY] = {
        .id = MIG_OPT_VERIFY,
        .name = "verify",
        .kind = MIG_KIND_CAPABILITY,
        .max = 1,
        .help = "compare digests of RAM before the guest is handed over",
    },
    [MIG_OPT_COMPRESS_HISTORY] = {
        .id = MIG_OPT_COMPRESS_HISTORY,
        .name = "compress-history",
        .kind = MIG_KIND_SIZE,
        .max = UINT64_C(16) << 30,
        .def = 64 << 20,
        .unit = "bytes",
        .help = "earlier pages that both ends keep, to send less; 0: none",
    },
    [MIG_OPT_COMPRESS_LEVEL] = {
        .id = MIG_OPT_COMPRESS_LEVEL,
        .name = "compress-level",
        .kind = MIG_KIND_UINT,
        .max = CODEC_LEVEL_MAX,
        .def = 1,
        .help = "0 stores, 1 is the fastest compression, 9 the smallest",
    },
    [MIG_OPT_COMPRESS_METHOD] = {
        .id = MIG_OPT_COMPRESS_METHOD,
        .name = "compress-method",
        .kind = MIG_KIND_ENUM,
        .max = MIG_METHOD__COUNT - 1,
        .def = MIG_METHOD_AUTO,
        .names = method_names,
        .help = "auto: to a Ferry whichever is fastest now, else zlib",
    },
    [MIG_OPT_COMPRESS_THREADS] = {
        .id = MIG_OPT_COMPRESS_THREADS,
        .name = "compress-threads",
        .kind = MIG_KIND_UINT,
        .min = 1,
        .max = 255,
        .def = 8,
        .help = "threads that compress, at the source",
    },
    [MIG_OPT_COMPRESS_WAIT_THREAD] = {
        .id = MIG_OPT_COMPRESS_WAIT_THREAD,
        .name = "compress-wait-thread",
        .kind = MIG_KIND_BOOL,
        .max = 1,
        .def = 1,
        .help = "wait for a free compression thread; off: send the page "
                "uncompressed instead",
    },
    [MIG_OPT_DECOMPRESS_THREADS] = {
        .id = MIG_OPT_DECOMPRESS_THREADS,
        .name = "decompress-threads",
        .kind = MIG_KIND_UINT,
        .min = 1,
        .max = 255,
        .def = 2,
        .help = "threads that decompress, at the destination",
    },
    [MIG_OPT_THROTTLE_TRIGGER_THRESHOLD] = {
        .id = MIG_OPT_THROTTLE_TRIGGER_THRESHOLD,
        .name = "throttle-trigger-threshold",
        .kind = MIG_KIND_UINT,
        .min = 1,
        .max = 100,
        .def = 50,
        .help = "auto-converge: per cent of what was sent that may be dirtied",
    },
    [MIG_OPT_CPU_THROTTLE_INITIAL] = {
        .id = MIG_OPT_CPU_THROTTLE_INITIAL,
        .name = "cpu-throttle-initial",
        .kind = MIG_KIND_UINT,
        .min = 1,
        .max = 99,
        .def = 20,
        .help = "auto-converge: per cent of CPU time taken at first",
    },
    [MIG_OPT_CPU_THROTTLE_INCREMENT] = {
        .id = MIG_OPT_CPU_THROTTLE_INCREMENT,
        .name = "cpu-throttle-increment",
        .kind = MIG_KIND_UINT,
        .min = 1,
        .max = 99,
        .def = 10,
        .help = "auto-converge: and more each time it does not help",
    },
    [MIG_OPT_CPU_THROTTLE_TAILSLOW] = {
        .id = MIG_OPT_CPU_THROTTLE_TAILSLOW,
        .name = "cpu-throttle-tailslow",
        .kind = MIG_KIND_BOOL,
        .max = 1,
        .help = "auto-converge: take no more than is needed at the end",
    },
    [MIG_OPT_MAX_CPU_THROTTLE] = {
        .id = MIG_OPT_MAX_CPU_THROTTLE,
        .name = "max-cpu-throttle",
        .kind = MIG_KIND_UINT,
        .min = 1,
        .max = 99,
        .def = 99,
        .help = "auto-converge: never take more than this",
    },
    [MIG_OPT_TLS_CREDS] = {
        .id = MIG_OPT_TLS_CREDS,
        .name = "tls-creds",
        .kind = MIG_KIND_STRING,
        .max = 1023,
        .help = "folder with the certificates to encrypt with; '': do not",
    },
    [MIG_OPT_TLS_HOSTNAME] = {
        .id = MIG_OPT_TLS_HOSTNAME,
        .name = "tls-hostname",
        .kind = MIG_KIND_STRING,
        .max = 255,
        .help = "whom the destination's certificate must be for; '': the "
                "URI's host",
    },
    [MIG_OPT_MAX_BANDWIDTH] = {
        .id = MIG_OPT_MAX_BANDWIDTH,
        .name = "max-bandwidth",
        .kind = MIG_KIND_SIZE,
        .max = INT64_MAX,
        .def = 128 << 20,
        .unit = "bytes/second",
        .live = true,
        .help = "limit of the source's rate, in every phase; 0: no limit",
    },
    [MIG_OPT_DOWNTIME_LIMIT] = {
        .id = MIG_OPT_DOWNTIME_LIMIT,
        .name = "downtime-limit",
        .kind = MIG_KIND_UINT,
        .max = 2000000,
        .def = 300,
        .unit = "ms",
        .live = true,
        .help = "how long the guest may stand still at the switch-over",
    },
    [MIG_OPT_XBZRLE_CACHE_SIZE] = {
        .id = MIG_OPT_XBZRLE_CACHE_SIZE,
        .name = "xbzrle-cache-size",
        .kind = MIG_KIND_SIZE,
        .min = MIG_PAGE_SIZE,
        .max = UINT64_C(1) << 62,
        .def = 64 << 20,
        .unit = "bytes",
        .power_of_two = true,
        .in_bytes = true,
        .help = "xbzrle: memory for copies of pages, at the source",
    },
    [MIG_OPT_STALL_TIMEOUT] = {
        .id = MIG_OPT_STALL_TIMEOUT,
        .name = "stall-timeout",
        .kind = MIG_KIND_UINT,
        .max = 86400,
        .def = 60,
        .unit = "s",
        .live = true,
        .help = "how long the destination may take and say nothing; 0: for "
                "ever",
    },
};

const MigOption *mig_option(MigOptionId id)
{
    g_assert(id < MIG_OPT__COUNT);
    return &options[id];
}

static bool same_name(const char *a, const char *b)
{
    while (*a && (*a == *b || (*a == '-' && *b == '_'))) {
        a++;
        b++;
    }
    return *a == *b;
}

const MigOption *mig_option_find(const char *name, bool capability,
                                 GError **errp)
{
    for (unsigned i = 0; i < MIG_OPT__COUNT; i++) {
        if (same_name(options[i].name, name) &&
            (options[i].kind == MIG_KIND_CAPABILITY) == capability) {
            return &options[i];
        }
    }
    g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                "invalid parameter value: %s", name);
    return NULL;
}

void mig_options_init(MigOptions *values)
{
    for (unsigned i = 0; i < MIG_OPT__COUNT; i++) {
        values->value[i] = options[i].def;
    }
}

static bool is_switch(const MigOption *option)
{
    return option->kind == MIG_KIND_CAPABILITY ||
           option->kind == MIG_KIND_BOOL;
}

/* "'a', 'b' or 'c'" */
static char *list_names(const MigOption *option)
{
    GString *list = g_string_new(NULL);

    for (uint64_t i = option->min; i <= option->max; i++) {
        g_string_append_printf(list, "%s'%s'",
                               i == option->min   ? ""
                               : i == option->max ? " or "
                                                  : ", ",
                               option->names[i]);
    }
    return g_string_free(list, FALSE);
}

static bool bad_value(const MigOption *option, GError **errp)
{
    g_autofree char *name = g_strdelimit(g_strdup(option->name), "-", '_');

    if (is_switch(option)) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "Parameter '%s' expects 'on' or 'off'", name);
    } else if (option->kind == MIG_KIND_STRING) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "Parameter '%s' expects a text of at most %"
                    G_GUINT64_FORMAT " bytes", name, option->max);
    } else if (option->kind == MIG_KIND_ENUM) {
        g_autofree char *names = list_names(option);

        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "Parameter '%s' expects %s", name, names);
    } else {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "Parameter '%s' expects a %s between %" G_GUINT64_FORMAT
                    " and %" G_GUINT64_FORMAT "%s", name,
                    option->power_of_two ? "power of two" : "value",
                    option->min, option->max,
                    option->kind == MIG_KIND_SIZE ? " bytes" : "");
    }
    return false;
}

/* The error for text that is no number, or none that HMP takes. */
static bool bad_text(const MigOption *option, GError **errp)
{
    if (option->kind == MIG_KIND_UINT) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "Parameter '%s' expects an integer between %"
                    G_GUINT64_FORMAT " and %" G_GUINT64_FORMAT, option->name,
                    option->min, option->max);
    } else if (option->kind == MIG_KIND_SIZE) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "Parameter '%s' expects a decimal number with a suffix B, "
                    "K, M, G or T, or a decimal or hexadecimal one of %s; "
                    "from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
                    " bytes", option->name, option->in_bytes ? "bytes" : "MiB",
                    option->min, option->max);
    } else {
        bad_value(option, errp);
    }
    return false;
}

/* The text that a string option's value stands for, or NULL. */
static const char *text_of(uint64_t value)
{
    if (value == 0) {
        return "";
    }
    return value <= G_MAXUINT32 ? g_quark_to_string((GQuark)value) : NULL;
}

static bool is_in_range(const MigOption *option, uint64_t value)
{
    const char *text;

    if (option->kind != MIG_KIND_STRING) {
        return value >= option->min && value <= option->max &&
               (!option->power_of_two || (value & (value - 1)) == 0);
    }
    text = text_of(value);
    return text && strlen(text) <= option->max;
}

bool mig_options_set(MigOptions *values, const MigOption *option,
                     uint64_t value, GError **errp)
{
    if (!is_in_range(option, value)) {
        return bad_value(option, errp);
    }
    values->value[option->id] = value;
    return true;
}

const char *mig_options_string(const MigOptions *values, MigOptionId id)
{
    const char *text = text_of(values->value[id]);

    g_assert(options[id].kind == MIG_KIND_STRING && text);
    return text;
}

bool mig_options_check(const MigOptions *values, GError **errp)
{
    const Codec *codec =
        codec_without_packs(values->value[MIG_OPT_COMPRESS_METHOD]);

    if (!codec->available) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "Parameter 'compress_method': %s was not built in",
                    codec->name);
        return false;
    }
    if (values->value[MIG_OPT_MAX_CPU_THROTTLE] <
        values->value[MIG_OPT_CPU_THROTTLE_INITIAL]) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "Parameter 'max_cpu_throttle' expects a value between "
                    "cpu_throttle_initial and 99");
        return false;
    }
    return true;
}

static bool parse_switch(const char *text, uint64_t *value)
{
    *value = !strcmp(text, "on");
    return *value || !strcmp(text, "off");
}

static const char *skip_plus(const char *text)
{
    return text + (text[0] == '+');
}

/* A number that is too large becomes the largest, which no option takes. */
static bool parse_uint(const char *text, uint64_t *value)
{
    const char *digits = skip_plus(text);
    bool hex = digits[0] == '0' && g_ascii_tolower(digits[1]) == 'x';
    char *end;

    if (!g_ascii_isdigit(digits[0])) {
        return false;
    }
    *value = g_ascii_strtoull(digits, &end, hex ? 16 : 10);
    return !*end;
}

static bool parse_name(const MigOption *option, const char *text,
                       uint64_t *value)
{
    for (*value = option->min; option->names[*value]; (*value)++) {
        if (!strcmp(option->names[*value], text)) {
            return true;
        }
    }
    return false;
}

/* Leave the shift as it is, or set it to the power of two that a size's suffix
 * stands for. */
static bool parse_suffix(const char *suffix, unsigned *shift)
{
    static const char factors[] = "BKMGT";
    const char *factor = strchr(factors, g_ascii_toupper(suffix[0]));

    if (!suffix[0]) {
        return true;
    }
    if (!factor || suffix[1]) {
        return false;
    }
    *shift = 10 * (unsigned)(factor - factors);
    return true;
}

/* See parse_uint(). */
static uint64_t scale(uint64_t whole, double fraction, unsigned shift)
{
    if (whole > (uint64_t)INT64_MAX >> shift) {
        return UINT64_MAX;
    }
    return (whole << shift) +
           (uint64_t)(fraction * (double)(UINT64_C(1) << shift));
}

/*
 * A decimal number, which may have a fraction as in "1.5G", and a suffix; or a
 * hexadecimal number without a suffix.  Whole numbers are exact.
 */
static bool parse_size(const MigOption *option, const char *text,
                       uint64_t *value)
{
    const char *number = skip_plus(text);
    size_t digits = strspn(number, "0123456789");
    const char *suffix = number + digits;
    double fraction = 0;
    uint64_t whole;
    unsigned shift = option->in_bytes ? 0 : 20;

    if (g_str_has_prefix(number, "0x")) {
        if (!parse_uint(number, &whole)) {
            return false;
        }
    } else {
        if (suffix[0] == '.') {
            suffix += 1 + strspn(suffix + 1, "0123456789");
            fraction = g_ascii_strtod(number + digits, NULL);
        }
        if (digits == 0 || !parse_suffix(suffix, &shift)) {
            return false;
        }
        whole = g_ascii_strtoull(number, NULL, 10);
    }
    *value = scale(whole, fraction, shift);
    return true;
}

/* Text that is too long gets no number, because numbers of strings are kept for
 * ever. */
static bool parse_string(const MigOption *option, const char *text,
                         uint64_t *value)
{
    if (strlen(text) > option->max) {
        return false;
    }
    *value = text[0] ? g_quark_from_string(text) : 0;
    return true;
}

static bool parse_value(const MigOption *option, const char *text,
                        uint64_t *value)
{
    switch (option->kind) {
    case MIG_KIND_CAPABILITY:
    case MIG_KIND_BOOL:
        return parse_switch(text, value);
    case MIG_KIND_UINT:
        return parse_uint(text, value);
    case MIG_KIND_SIZE:
        return parse_size(option, text, value);
    case MIG_KIND_STRING:
        return parse_string(option, text, value);
    case MIG_KIND_ENUM:
        return parse_name(option, text, value);
    }
    g_assert_not_reached();
}

bool mig_options_set_text(MigOptions *values, const MigOption *option,
                          const char *text, GError **errp)
{
    uint64_t value = 0;

    return parse_value(option, text, &value)
               ? mig_options_set(values, option, value, errp)
               : bad_text(option, errp);
}

char *mig_options_text(const MigOptions *values, const MigOption *option)
{
    uint64_t value = values->value[option->id];

    if (is_switch(option)) {
        return g_strdup(value ? "on" : "off");
    }
    if (option->kind == MIG_KIND_STRING) {
        return g_strdup_printf("'%s'", mig_options_string(values, option->id));
    }
    if (option->kind == MIG_KIND_ENUM) {
        return g_strdup(option->names[value]);
    }
    return g_strdup_printf("%" G_GUINT64_FORMAT "%s%s", value,
                           option->unit ? " " : "",
                           option->unit ? option->unit : "");
}
