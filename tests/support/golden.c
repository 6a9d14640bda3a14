/* Loads golden vectors: hex files, some lines of # header first. */
#include "support.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static int hex_digit(int c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void golden_load(const char *name, uint8_t **out_data, size_t *out_len)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s.hex", TEST_GOLDEN_DIR, name);
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "no golden vector %s", path);
    size_t capacity = 1 << 16;
    size_t len = 0;
    uint8_t *data = malloc(capacity);
    ck_assert_ptr_nonnull(data);
    char line[4096];
    while (fgets(line, sizeof(line), file) != NULL) {
        if (line[0] == '#')
            continue;
        for (size_t i = 0; line[i] != '\0' && !isspace((unsigned char)line[i]); i += 2) {
            int high = hex_digit(line[i]);
            int low = hex_digit(line[i + 1]);
            ck_assert_msg(high >= 0 && low >= 0 && len < capacity, "bad hex in %s", path);
            data[len++] = (uint8_t)(high * 16 + low);
        }
    }
    fclose(file);
    *out_data = data;
    *out_len = len;
}
