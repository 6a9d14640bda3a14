/* What fuzz targets share.
 *
 * A target is one file, fuzz_<decoder>.c, that defines LLVMFuzzerTestOneInput, and a directory of
 * small inputs, corpus/<decoder>. Put its name in the list of meson.build: it is then built as a
 * plain program that replays its corpus in the quick tests and, with -Dfuzz=true and clang, as a
 * libFuzzer binary. Where blind mutations die at the first length or sum, mutate_<decoder>.c makes
 * better ones (mutate.c). An input that crashed joins the corpus with its fix. */
#ifndef TEST_FUZZ_H
#define TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A finding, also where assert is compiled out. */
#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
