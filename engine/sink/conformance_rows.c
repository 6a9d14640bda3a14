/* Lists of rows of the conformance kit. A row is kept as the bytes of its value and then its key,
 * so that rows can be compared, sorted and printed without their type. */
#include "conformance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool mill_row_list_add(mill_row_list *list, rmq_slice key, int64_t value)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity * 2 + 64;
        rmq_slice *grown = rmq_realloc(list->items, capacity * sizeof(*grown));
        if (grown == NULL)
            return false;
        list->items = grown;
        list->capacity = capacity;
    }
    char *bytes = rmq_malloc(sizeof(value) + key.len);
    if (bytes == NULL)
        return false;
    memcpy(bytes, &value, sizeof(value));
    if (key.len != 0)
        memcpy(bytes + sizeof(value), key.data, key.len);
    list->items[list->count++] = (rmq_slice){bytes, sizeof(value) + key.len};
    return true;
}

void mill_row_list_clear(mill_row_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        rmq_free((void *)(uintptr_t)list->items[i].data);
    list->count = 0;
}

void mill_row_list_deinit(mill_row_list *list)
{
    mill_row_list_clear(list);
    rmq_free(list->items);
    *list = (mill_row_list){0};
}

static int compare(const void *left, const void *right)
{
    const rmq_slice *a = left;
    const rmq_slice *b = right;
    int order = memcmp(a->data, b->data, a->len < b->len ? a->len : b->len);
    return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

static void row_text(rmq_slice row, char *out_text, size_t capacity)
{
    int64_t value;
    memcpy(&value, row.data, sizeof(value));
    size_t len = row.len - sizeof(value);
    snprintf(out_text, capacity, "(\"%.*s\"%s, %lld)", (int)(len < 40 ? len : 40),
             row.data + sizeof(value), len < 40 ? "" : "...", (long long)value);
}

bool mill_row_list_equal(mill_row_list *seen, mill_row_list *expected, char *out_text,
                         size_t capacity)
{
    if (seen->count > 1)
        qsort(seen->items, seen->count, sizeof(rmq_slice), compare);
    if (expected->count > 1)
        qsort(expected->items, expected->count, sizeof(rmq_slice), compare);
    size_t i = 0;
    size_t j = 0;
    size_t extra = 0;
    size_t missing = 0;
    char first_extra[96] = "";
    char first_missing[96] = "";
    while (i < seen->count || j < expected->count) {
        int order = i == seen->count       ? 1
                    : j == expected->count ? -1
                                           : compare(&seen->items[i], &expected->items[j]);
        if (order < 0 && extra++ == 0)
            row_text(seen->items[i], first_extra, sizeof(first_extra));
        if (order > 0 && missing++ == 0)
            row_text(expected->items[j], first_missing, sizeof(first_missing));
        i += order <= 0;
        j += order >= 0;
    }
    if (extra == 0 && missing == 0)
        return true;
    snprintf(out_text, capacity, "%zu rows too many%s%s, %zu missing%s%s (%zu seen, %zu expected)",
             extra, extra != 0 ? ", first " : "", first_extra, missing,
             missing != 0 ? ", first " : "", first_missing, seen->count, expected->count);
    return false;
}
