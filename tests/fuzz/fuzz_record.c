/* A pull body to a batch and back. The first byte chooses the options, the rest is the body. What
 * was decoded in its stored form (nothing fits into 1 byte), encoded and decoded again, must be the
 * same messages.
 *
 * Line coverage by the corpus alone: record.c 99 %, record_body.c 98 %, inner_batch.c 92 %. */
#include <string.h>

#include "../../proto/record.h"

#include "fuzz.h"

static bool same_bytes(rmq_slice left, rmq_slice right)
{
    return left.len == right.len && (left.len == 0 || memcmp(left.data, right.data, left.len) == 0);
}

static void touch(const rmq_message *m, const rmq_decode_options *options)
{
    char id[RMQ_OFFSET_MESSAGE_ID_BYTES];
    FUZZ_CHECK(m->queue_offset >= options->start_offset && m->queue_offset < options->end_offset);
    FUZZ_CHECK(m->body_status == RMQ_OK || m->body_status == RMQ_CORRUPT ||
               m->body_status == RMQ_UNSUPPORTED || m->body_status == RMQ_FULL);
    FUZZ_CHECK(m->body.len == 0 || rmq_body_crc(m->body) <= 0x7fffffff);
    (void)rmq_message_tags(m);
    rmq_message_offset_id(m, id);
    FUZZ_CHECK(strlen(id) == 32 || strlen(id) == 56);
}

static void check_same(const rmq_batch *left, const rmq_batch *right)
{
    FUZZ_CHECK(rmq_batch_count(left) == rmq_batch_count(right));
    for (size_t i = 0; i < rmq_batch_count(left); i++) {
        const rmq_message *a = rmq_batch_at(left, i);
        const rmq_message *b = rmq_batch_at(right, i);
        FUZZ_CHECK(a->queue_offset == b->queue_offset && a->physical_offset == b->physical_offset &&
                   a->queue_id == b->queue_id && a->flag == b->flag && a->sys_flag == b->sys_flag &&
                   a->born_timestamp_ms == b->born_timestamp_ms &&
                   a->store_timestamp_ms == b->store_timestamp_ms &&
                   a->reconsume_times == b->reconsume_times &&
                   a->prepared_transaction_offset == b->prepared_transaction_offset);
        FUZZ_CHECK(same_bytes(a->topic, b->topic) && same_bytes(a->properties, b->properties) &&
                   same_bytes(a->body, b->body));
    }
}

/* Broken inner batches are left alone: encoded anew they have a right checksum and are unwrapped.
 */
static bool can_be_encoded(const rmq_batch *batch)
{
    for (size_t i = 0; i < rmq_batch_count(batch); i++) {
        if ((rmq_batch_at(batch, i)->sys_flag & 0xC0) == 0xC0)
            return false;
    }
    return true;
}

static void round_trip(rmq_slice body)
{
    rmq_decode_options options = {.end_offset = INT64_MAX, .max_body_bytes = 1};
    rmq_batch *batch = NULL;
    rmq_batch *again = NULL;
    rmq_buf buf;
    rmq_buf_init(&buf, SIZE_MAX / 2);
    if (rmq_batch_decode(body, NULL, &options, &batch, NULL) == RMQ_OK && can_be_encoded(batch)) {
        for (size_t i = 0; i < rmq_batch_count(batch); i++)
            rmq_record_encode(rmq_batch_at(batch, i), &buf);
        FUZZ_CHECK(buf.failed == RMQ_OK);
        FUZZ_CHECK(rmq_batch_decode((rmq_slice){(char *)buf.data, buf.len}, NULL, &options, &again,
                                    NULL) == RMQ_OK);
        check_same(batch, again);
    }
    rmq_batch_unref(batch);
    rmq_batch_unref(again);
    rmq_buf_deinit(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    rmq_slice body = {(const char *)data + 1, size - 1};
    rmq_decode_options options = {.end_offset = INT64_MAX,
                                  .max_body_bytes = 1 << 16,
                                  .max_batch_bytes = 1 << 17,
                                  .broker_name = {"broker-a", 8}};
    if ((data[0] & 1) != 0)
        options.topic = rmq_slice_of("ProtoCap");
    if ((data[0] & 2) != 0)
        options.start_offset = 1;
    if ((data[0] & 4) != 0)
        options.end_offset = 7;
    if ((data[0] & 8) != 0)
        options.offset_delta = -1;
    rmq_batch *batch = NULL;
    rmq_error err;
    rmq_status status = rmq_batch_decode(body, NULL, &options, &batch, &err);
    FUZZ_CHECK(status == RMQ_OK || status == RMQ_PROTO || status == RMQ_FULL);
    for (size_t i = 0; status == RMQ_OK && i < rmq_batch_count(batch); i++)
        touch(rmq_batch_at(batch, i), &options);
    rmq_batch_unref(batch);
    round_trip(body);
    return 0;
}
