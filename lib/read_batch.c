/* Decoding on the thread that reads, and the checks that the loop thread leaves to it: it sees the
 * records, the loop only their header.
 *
 * Without a filter a queue's offsets are dense. So each offset of [from, to) must be there, once
 * and in order; one that is missing was deleted by the broker (a commit log file that is being
 * removed: code 20 MESSAGE_WAS_REMOVING, or an answer that steps over it), and stepping over it in
 * silence would lose data. (That offsets rise, and belong to the queue, the record decoder checks.)
 *
 * Decompressed bodies may be many times what was received, so a pull can hold more than one batch
 * may: it is then handed out in several, each decoded from the same chunk. The pull's answer is
 * here already; asking the broker for less would not make it smaller.
 *
 * Tags are compared again by string: the broker compares their hash codes only, and lets "Aa" pass
 * where "BB" was asked for (protocol facts 8.5). */
#include "read_batch.h"

#include "../proto/batch.h"
#include "../proto/props.h"
#include "../proto/record.h"

static void keep_tagged(rmq_batch *batch, const char *expression)
{
    rmq_slice wanted = rmq_slice_of(expression);
    size_t kept = 0;
    for (size_t i = 0; i < batch->count; i++) {
        if (!rmq_tag_matches(wanted, rmq_message_tags(&batch->messages[i])))
            continue;
        if (kept != i)
            batch->messages[kept] = batch->messages[i];
        kept++;
    }
    batch->count = kept;
}

/* Keeps the batch, which shall reach from `from` to `end`, up to the first missing offset. */
static void find_gap(rmq_batch *batch, int64_t from, int64_t end, rmq_read_doubt *doubt)
{
    int64_t expected = from;
    size_t i = 0;
    while (i < batch->count && batch->messages[i].queue_offset == expected) {
        expected++;
        i++;
    }
    if (expected == end)
        return;
    doubt->gap = true;
    doubt->gap_from = expected;
    doubt->gap_to = i < batch->count ? batch->messages[i].queue_offset : end;
    batch->count = i;
}

static bool has_corrupt_body(const rmq_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->messages[i].body_status == RMQ_CORRUPT)
            return true;
    }
    return false;
}

/* Decodes as much of the chunk as fits the cap: the whole, or else the first half of it, and so on.
 */
static rmq_status decode(const rmq_read_rules *rules, const rmq_chunk *chunk, rmq_batch **out_batch,
                         int64_t *out_end, rmq_error *err)
{
    rmq_decode_options options = {
        .start_offset = chunk->from,
        .end_offset = chunk->to,
        .offset_delta = chunk->offset_delta,
        .max_body_bytes = rules->max_body_bytes,
        .max_batch_bytes = rules->max_batch_bytes,
        .max_records = rules->max_records,
        .broker_name = rmq_slice_of(rules->queue.broker_name),
        .topic = rmq_slice_of(rules->queue.topic),
        .queue_id = rules->queue.queue_id,
    };
    rmq_status status;
    while ((status = rmq_batch_decode(chunk->body, chunk->frame, &options, out_batch, err)) ==
               RMQ_FULL &&
           options.end_offset - chunk->from > 1)
        options.end_offset = chunk->from + (options.end_offset - chunk->from) / 2;
    if (status == RMQ_OK)
        *out_end = options.end_offset;
    return status;
}

rmq_status rmq_read_batch(const rmq_read_rules *rules, const rmq_chunk *chunk,
                          rmq_batch **out_batch, int64_t *out_end, rmq_read_doubt *out_doubt,
                          rmq_error *err)
{
    rmq_batch *batch = NULL;
    int64_t end = chunk->to;
    rmq_status status = decode(rules, chunk, &batch, &end, err);
    if (status != RMQ_OK)
        return status;
    rmq_read_doubt doubt = {.corrupt = has_corrupt_body(batch)};
    if (rules->dense)
        find_gap(batch, chunk->from, end, &doubt);
    if (rules->tags != NULL)
        keep_tagged(batch, rules->tags);
    *out_end = end;
    *out_doubt = doubt;
    *out_batch = batch;
    return RMQ_OK;
}
