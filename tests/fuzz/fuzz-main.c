/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a fuzzer's entry point on inputs that there are already:
 *
 *     fuzz-NAME FILE|FOLDER...     each file, or each file of the folder
 *     fuzz-NAME                    standard input, as AFL++ likes it
 *
 * libFuzzer brings a main function of its own, which takes the same files.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

static void run_file(const char *path)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *text = NULL;
    g_autofree uint8_t *data = NULL;
    gsize size;

    if (!g_file_get_contents(path, &text, &size, &err)) {
        g_error("%s", err->message);
    }
    /* Of exactly that size, so that a byte too far is seen. */
    data = g_memdup2(text, size);
    printf("# %s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput(data, size);
}

static unsigned run_folder(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    unsigned count = 0;
    const char *name;

    if (!dir) {
        run_file(path);
        return 1;
    }
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *file = g_build_filename(path, name, NULL);

        run_file(file);
        count++;
    }
    return count;
}

int main(int argc, char **argv)
{
    unsigned count = 0;

    if (argc == 1) {
        run_file("/dev/stdin");
        return EXIT_SUCCESS;
    }
    for (int i = 1; i < argc; i++) {
        count += run_folder(argv[i]);
    }
    printf("%u inputs\n", count);
    return count ? EXIT_SUCCESS : EXIT_FAILURE;
}
