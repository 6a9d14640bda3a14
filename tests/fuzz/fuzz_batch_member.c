/* A batch send's body. Members that were walked and encoded anew give the same members. */
#include <string.h>

#include "../../proto/record.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rmq_slice body = {(const char *)data, size};
    rmq_buf again;
    rmq_buf_init(&again, SIZE_MAX / 2);
    size_t position = 0;
    int32_t flag;
    rmq_slice member;
    rmq_slice properties;
    rmq_status status;
    while ((status = rmq_batch_member_next(body, &position, &flag, &member, &properties, NULL)) ==
           RMQ_OK)
        rmq_batch_member_encode(flag, member, properties, &again);
    FUZZ_CHECK(status == RMQ_PROTO || (status == RMQ_NOT_FOUND && position == size));
    FUZZ_CHECK(again.failed == RMQ_OK && again.len == position);
    for (size_t at = 0; at < position;) { /* the two unused words are written as 0 */
        uint32_t total = (uint32_t)data[at] << 24 | (uint32_t)data[at + 1] << 16 |
                         (uint32_t)data[at + 2] << 8 | data[at + 3];
        FUZZ_CHECK(memcmp(again.data + at, data + at, 4) == 0);
        FUZZ_CHECK(memcmp(again.data + at + 12, data + at + 12, total - 12) == 0);
        at += total;
    }
    rmq_buf_deinit(&again);
    return 0;
}
