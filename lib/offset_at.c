/* The first message stored at or after a time.
 *
 * 5.x answers the question as asked. 4.9.7 answers with the message whose time is nearest, also if
 * it is older; with any one of several that have the very time; and with the last one if all are
 * older. (Observed; protocol facts 8.7 hold for 5.x.) A stream that starts there would read
 * what it shouldn't, or miss what it should.
 *
 * So the answer is a guess here: the message that stands there and the one before it are read, and
 * if they don't agree with it, the place is searched by reading single messages, halving what is
 * left. Store times never go back in a queue, but for a broker whose clock was set back: then any
 * place where the time is passed is as good as another. */
#include "offset_at.h"

#include <rmq/consumer.h>

#define READ_TIMEOUT_MS 10000

/* One message's place and time. */
typedef struct found {
    int64_t offset; /* -1: there is none in the range */
    int64_t store_timestamp_ms;
} found;

static rmq_status take_first(rmq_reader *reader, found *out_found, rmq_error *err)
{
    *out_found = (found){.offset = -1};
    for (;;) {
        rmq_batch *batch = NULL;
        rmq_status status = rmq_reader_next(reader, READ_TIMEOUT_MS, &batch, err);
        if (status == RMQ_NOT_FOUND)
            return RMQ_OK;
        if (status == RMQ_AGAIN)
            return rmq_error_set(err, RMQ_TIMEOUT, "no message came within %d ms", READ_TIMEOUT_MS);
        if (status != RMQ_OK)
            return status;
        bool any = rmq_batch_count(batch) > 0;
        if (any) {
            const rmq_message *message = rmq_batch_at(batch, 0);
            *out_found = (found){message->queue_offset, message->store_timestamp_ms};
        }
        rmq_batch_unref(batch);
        if (any)
            return RMQ_OK;
    }
}

/* The first message in [start, end). */
static rmq_status look_at(rmq_client *client, const rmq_queue *queue, int64_t start, int64_t end,
                          found *out_found, rmq_error *err)
{
    rmq_reader_config config = RMQ_READER_CONFIG_INIT;
    config.queue = *queue;
    config.start_offset = start;
    config.end_offset = end;
    config.max_messages = 1;
    config.max_pulls = 1;
    config.hold_ms = 1000;
    rmq_reader *reader = NULL;
    rmq_status status = rmq_reader_open(client, &config, &reader, err);
    if (status == RMQ_OK)
        status = take_first(reader, out_found, err);
    rmq_reader_close(reader);
    return status;
}

/* Does the place agree with its neighbours? */
static rmq_status check(rmq_client *client, const rmq_queue *queue, int64_t timestamp_ms,
                        const int64_t bounds[2], int64_t offset, bool *out_right, rmq_error *err)
{
    found seen = {.offset = -1};
    rmq_status status = RMQ_OK;
    bool right = true;
    if (offset > bounds[0]) {
        status = look_at(client, queue, offset - 1, offset, &seen, err);
        right = seen.offset < 0 || seen.store_timestamp_ms < timestamp_ms;
    }
    if (status == RMQ_OK && right && offset < bounds[1]) {
        status = look_at(client, queue, offset, bounds[1], &seen, err);
        right = seen.offset < 0 || seen.store_timestamp_ms >= timestamp_ms;
    }
    if (status == RMQ_OK)
        *out_right = right;
    return status;
}

static rmq_status search(rmq_client *client, const rmq_queue *queue, int64_t timestamp_ms,
                         const int64_t bounds[2], int64_t *out_offset, rmq_error *err)
{
    int64_t low = bounds[0], high = bounds[1];
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        found seen;
        rmq_status status = look_at(client, queue, middle, high, &seen, err);
        if (status != RMQ_OK)
            return status;
        if (seen.offset < 0 || seen.store_timestamp_ms >= timestamp_ms)
            high = middle;
        else
            low = seen.offset + 1;
    }
    *out_offset = low;
    return RMQ_OK;
}

rmq_status rmq_queue_offset_at(rmq_client *client, const rmq_queue *queue, int64_t timestamp_ms,
                               int64_t *out_offset, rmq_error *err)
{
    int64_t offset = 0, bounds[2] = {0, 0};
    bool right = false;
    rmq_status status = rmq_offset_at_ask(client, queue, timestamp_ms, &offset, err);
    if (status == RMQ_OK)
        status = rmq_queue_min_offset(client, queue, &bounds[0], err);
    if (status == RMQ_OK)
        status = rmq_queue_max_offset(client, queue, &bounds[1], err);
    if (status != RMQ_OK)
        return status;
    offset = offset < bounds[0] ? bounds[0] : offset > bounds[1] ? bounds[1] : offset;
    status = check(client, queue, timestamp_ms, bounds, offset, &right, err);
    if (status == RMQ_OK && !right)
        status = search(client, queue, timestamp_ms, bounds, &offset, err);
    if (status == RMQ_OK)
        *out_offset = offset;
    return status;
}
