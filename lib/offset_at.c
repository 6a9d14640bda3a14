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

/* What is asked: a time in a queue whose messages are in [start, end). */
typedef struct question {
    rmq_client *client;
    const rmq_queue *queue;
    int64_t timestamp_ms;
    int64_t start;
    int64_t end;
} question;

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
static rmq_status look_at(const question *asked, int64_t start, int64_t end, found *out_found,
                          rmq_error *err)
{
    rmq_reader_config config = RMQ_READER_CONFIG_INIT;
    config.queue = *asked->queue;
    config.start_offset = start;
    config.end_offset = end;
    config.max_messages = 1;
    config.max_pulls = 1;
    config.hold_ms = 1000;
    rmq_reader *reader = NULL;
    rmq_status status = rmq_reader_open(asked->client, &config, &reader, err);
    if (status == RMQ_OK)
        status = take_first(reader, out_found, err);
    rmq_reader_close(reader);
    return status;
}

/* Does the place agree with its neighbours? */
static rmq_status check(const question *asked, int64_t offset, bool *out_right, rmq_error *err)
{
    found seen = {.offset = -1};
    rmq_status status = RMQ_OK;
    bool right = true;
    if (offset > asked->start) {
        status = look_at(asked, offset - 1, offset, &seen, err);
        right = seen.offset < 0 || seen.store_timestamp_ms < asked->timestamp_ms;
    }
    if (status == RMQ_OK && right && offset < asked->end) {
        status = look_at(asked, offset, asked->end, &seen, err);
        right = seen.offset < 0 || seen.store_timestamp_ms >= asked->timestamp_ms;
    }
    if (status == RMQ_OK)
        *out_right = right;
    return status;
}

static rmq_status search(const question *asked, int64_t *out_offset, rmq_error *err)
{
    int64_t low = asked->start, high = asked->end;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        found seen;
        rmq_status status = look_at(asked, middle, high, &seen, err);
        if (status != RMQ_OK)
            return status;
        if (seen.offset < 0 || seen.store_timestamp_ms >= asked->timestamp_ms)
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
    question asked = {.client = client, .queue = queue, .timestamp_ms = timestamp_ms};
    int64_t offset = 0;
    bool right = false;
    rmq_status status = rmq_offset_at_ask(client, queue, timestamp_ms, &offset, err);
    if (status == RMQ_OK)
        status = rmq_queue_min_offset(client, queue, &asked.start, err);
    if (status == RMQ_OK)
        status = rmq_queue_max_offset(client, queue, &asked.end, err);
    if (status != RMQ_OK)
        return status;
    offset = offset < asked.start ? asked.start : offset > asked.end ? asked.end : offset;
    status = check(&asked, offset, &right, err);
    if (status == RMQ_OK && !right)
        status = search(&asked, &offset, err);
    if (status == RMQ_OK)
        *out_offset = offset;
    return status;
}
