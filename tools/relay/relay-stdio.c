/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/relay/relay-stdio.h"

#include <gio/gunixinputstream.h>
#include <gio/gunixoutputstream.h>
#include <sys/stat.h>
#include <unistd.h>

IoChannel *relay_stdio_channel(GError **errp)
{
    const IoUri input = { .kind = IO_URI_FD, .fd = STDIN_FILENO };
    g_autoptr(GInputStream) in = NULL;
    g_autoptr(GOutputStream) out = NULL;
    struct stat st;

    if (fstat(STDIN_FILENO, &st) == 0 && S_ISSOCK(st.st_mode)) {
        return io_channel_connect(&input, NULL, errp);
    }
    /* A terminal has nothing to say, and never ends. */
    if (!isatty(STDIN_FILENO)) {
        in = g_unix_input_stream_new(STDIN_FILENO, TRUE);
    }
    out = g_unix_output_stream_new(STDOUT_FILENO, TRUE);
    return io_channel_new("standard input and output", in, out);
}
