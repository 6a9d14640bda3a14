/* Reading one range of a direct stream.
 *
 * The last record of the batch before is read again, in the same pull, and compared with what the
 * plan remembers of it: its offset message id names the place in the broker's log, so if the topic
 * was made anew or the broker rolled back, another record (or none) stands there. Reading on would
 * mean to mix two histories. Where retention has deleted that record, but not our start, there is
 * nothing to compare and nothing is missing.
 *
 * What can go wrong with a range [start, end):
 *   min > start              retention has deleted part of it
 *   another record at start-1  topic made anew, broker rolled back
 *   max < end, by the master   the same; a slave may be behind, so the master is asked
 * on_data_loss says what then: the error names the queue, what was wanted and what there is; or the
 * batch goes on at what is available, as a new generation of the queue.
 *
 * The reader retries for ever when a broker is away, so this loop looks now and then whether it is
 * still wanted: at once when the batch is given up, and after some seconds without a record when a
 * stop waits for the batch to end. */
#include "direct.h"

#include <rmq/consumer.h>
#include <string.h>
#include <time.h>

#include "../core/run.h"
#include "streaming_context.h"

#define POLL_MS 50
#define STOP_GRACE_NS INT64_C(5000000000)
#define CHECK_END_NS INT64_C(1000000000)
/* All records of a range are there: a pull has nothing to wait for, and one that is not answered is
 * soon asked again. */
#define HOLD_MS 1000
/* A fingerprint farther back than this is not read again: a gap that large is no record's end. */
#define MAX_READ_BACK 1024

rmq_status mill_direct_loss(const mill_position *position, int64_t wanted, int64_t min_offset,
                            int64_t max_offset, const char *why, rmq_error *err)
{
    return rmq_error_set(
        err, RMQ_DATA_LOSS,
        "queue %s/%s/%d: wanted offset %lld, available are %lld to %lld: %s; with "
        "on_data_loss = skip (--on-data-loss skip) the stream goes on at what is available",
        position->topic, position->broker_name, position->queue_id, (long long)wanted,
        (long long)min_offset, (long long)max_offset, why);
}

rmq_status mill_direct_resume(mill_direct *direct, const mill_position *position,
                              int64_t min_offset, int64_t *out_offset, rmq_error *err)
{
    rmq_queue queue = mill_position_queue(position);
    if (position->last.offset_id[0] == '\0') {
        *out_offset = min_offset;
        return RMQ_OK;
    }
    return rmq_queue_offset_at(direct->client, &queue, position->last.store_timestamp_ms + 1,
                               out_offset, err);
}

/* One range being read. */
typedef struct reading {
    mill_direct *direct;
    mill_source_read *read;
    rmq_reader *reader;
    mill_emitter *out;
    mill_task *task;
    bool verifying;     /* the fingerprint's record has not come yet */
    int64_t moved_ns;   /* when the last record came */
    int64_t checked_ns; /* when the queue's end was last looked at */
} reading;

static const mill_position *from_of(const reading *at)
{
    return &at->read->range->from;
}

/* CANCELLED if the batch is given up, or a stop has waited for a record for too long. */
static rmq_status check_wanted(const reading *at, rmq_error *err)
{
    mill_direct *direct = at->direct;
    bool gave_up = mill_task_cancelled(at->task) || atomic_load(&direct->gave_up);
    if (!gave_up && mill_stream_stopping(direct->stream) &&
        mill_stream_now_ns() - at->moved_ns > STOP_GRACE_NS) {
        atomic_store(&direct->gave_up, true);
        gave_up = true;
    }
    if (!gave_up)
        return RMQ_OK;
    return rmq_error_set(err, RMQ_CANCELLED, "queue %s/%s/%d: given up", from_of(at)->topic,
                         from_of(at)->broker_name, from_of(at)->queue_id);
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000}, NULL);
}

/* ---- loss ---- */

/* Part of the range is below `min_offset`: go on there, in this batch if it is still in the range.
 */
static void skip_to(reading *at, int64_t min_offset)
{
    const mill_range *range = at->read->range;
    at->read->lost = true;
    at->read->n_lost = min_offset - range->from.next_offset;
    at->read->instead_start = min_offset;
    at->read->instead_end = range->end_offset > min_offset ? range->end_offset : min_offset;
}

static bool is_final(rmq_status status)
{
    return status == RMQ_NOMEM || status == RMQ_AUTH || status == RMQ_CANCELLED ||
           status == RMQ_INVAL;
}

/* The queue has another history: go on in the next batch, where the new one begins. Asks for as
 * long as it takes. */
static rmq_status skip_history(reading *at, rmq_error *err)
{
    rmq_queue queue = mill_position_queue(from_of(at));
    for (;;) {
        int64_t min_offset = 0, resume = 0;
        rmq_status status = rmq_queue_min_offset(at->direct->client, &queue, &min_offset, err);
        if (status == RMQ_OK)
            status = mill_direct_resume(at->direct, from_of(at), min_offset, &resume, err);
        if (status == RMQ_OK) {
            at->read->lost = true;
            at->read->n_lost = 0;
            at->read->instead_start = at->read->instead_end = resume;
            return RMQ_DATA_LOSS;
        }
        if (is_final(status))
            return status;
        nap();
        status = check_wanted(at, err);
        if (status != RMQ_OK)
            return status;
    }
}

static rmq_status other_history(reading *at, int64_t wanted, const char *why, rmq_error *err)
{
    if (at->direct->on_data_loss == MILL_DATA_LOSS_SKIP)
        return skip_history(at, err);
    rmq_queue queue = mill_position_queue(from_of(at));
    int64_t min_offset = rmq_reader_min_offset(at->reader);
    int64_t max_offset = rmq_reader_max_offset(at->reader);
    rmq_error ignored;
    if (rmq_queue_max_offset(at->direct->client, &queue, &max_offset, &ignored) != RMQ_OK ||
        rmq_queue_min_offset(at->direct->client, &queue, &min_offset, &ignored) != RMQ_OK)
        why = "it is not what was read before, and the master doesn't answer";
    return mill_direct_loss(from_of(at), wanted, min_offset, max_offset, why, err);
}

/* False if the master still has, or has again, all of the range: then nothing is lost, a slave or
 * an index was behind. */
static bool end_is_gone(reading *at)
{
    rmq_queue queue = mill_position_queue(from_of(at));
    int64_t deadline_ns = mill_stream_now_ns() + (int64_t)MILL_DIRECT_DOUBT_MS * 1000000;
    for (;;) {
        int64_t max_offset = 0;
        rmq_error ignored;
        rmq_status status = rmq_queue_max_offset(at->direct->client, &queue, &max_offset, &ignored);
        if (status != RMQ_OK || max_offset >= at->read->range->end_offset ||
            mill_task_cancelled(at->task))
            return false;
        if (mill_stream_now_ns() >= deadline_ns)
            return true;
        nap();
    }
}

/* The reader's position is outside of what the broker has. */
static rmq_status handle_loss(reading *at, rmq_error *err)
{
    const mill_range *range = at->read->range;
    rmq_data_loss loss = rmq_reader_loss(at->reader);
    if (loss.reset) {
        mill_context_log(mill_stream_engine(at->direct->stream), RMQ_LOG_WARN, "direct",
                         "%s: the group's offset of queue %s/%s/%d was reset to %lld; the stream "
                         "goes on where it was",
                         at->direct->name, range->from.topic, range->from.broker_name,
                         range->from.queue_id, (long long)loss.next_offset);
        return rmq_reader_seek(at->reader, loss.wanted_offset, err);
    }
    if (loss.max_offset < range->end_offset) {
        if (end_is_gone(at))
            return other_history(at, loss.wanted_offset,
                                 "the topic was made anew, or the broker was rolled back", err);
        nap();
        rmq_status status = check_wanted(at, err);
        return status == RMQ_OK ? rmq_reader_seek(at->reader, loss.wanted_offset, err) : status;
    }
    int64_t next = at->verifying ? range->from.next_offset : loss.wanted_offset;
    if (loss.min_offset <= next) {
        /* Only the record to compare with is gone. */
        at->verifying = false;
        return rmq_reader_seek(at->reader, next, err);
    }
    if (at->direct->on_data_loss == MILL_DATA_LOSS_FAIL)
        return mill_direct_loss(&range->from, next, loss.min_offset, loss.max_offset,
                                "the broker has deleted the rest (retention)", err);
    skip_to(at, loss.min_offset);
    return RMQ_DATA_LOSS;
}

/* ---- records ---- */

static bool same_record(const mill_fingerprint *last, const rmq_message *message)
{
    char id[RMQ_OFFSET_MESSAGE_ID_BYTES];
    rmq_message_offset_id(message, id);
    return strcmp(id, last->offset_id) == 0 &&
           message->store_timestamp_ms == last->store_timestamp_ms;
}

/* Compares the first records with the fingerprint, as long as they lie before the range. */
static rmq_status verify(reading *at, const rmq_message *message, rmq_error *err)
{
    const mill_fingerprint *last = &from_of(at)->last;
    if (message->queue_offset == last->queue_offset) {
        if (!same_record(last, message))
            return other_history(at, last->queue_offset,
                                 "another record stands there than the one that was read", err);
        at->verifying = false;
        return RMQ_OK;
    }
    if (message->queue_offset < last->queue_offset)
        return RMQ_OK;
    if (rmq_reader_min_offset(at->reader) <= last->queue_offset)
        return other_history(at, last->queue_offset, "the record that was read is gone", err);
    at->verifying = false;
    return RMQ_OK;
}

static rmq_status emit_message(reading *at, const rmq_message *message, rmq_error *err)
{
    if (at->verifying) {
        rmq_status status = verify(at, message, err);
        if (status != RMQ_OK)
            return status;
    }
    if (message->queue_offset < from_of(at)->next_offset)
        return RMQ_OK;
    at->read->note->rows++;
    return mill_emit(at->out, message);
}

static void remember(reading *at, const rmq_message *message)
{
    if (message->queue_offset < from_of(at)->next_offset)
        return;
    mill_fingerprint *last = &at->read->note->last;
    rmq_message_offset_id(message, last->offset_id);
    last->store_timestamp_ms = message->store_timestamp_ms;
    last->queue_offset = message->queue_offset;
}

static rmq_status take_batch(reading *at, const rmq_batch *batch, rmq_error *err)
{
    size_t count = rmq_batch_count(batch);
    rmq_status status = RMQ_OK;
    for (size_t i = 0; status == RMQ_OK && i < count; i++)
        status = emit_message(at, rmq_batch_at(batch, i), err);
    if (status == RMQ_OK && count > 0)
        remember(at, rmq_batch_at(batch, count - 1));
    at->moved_ns = mill_stream_now_ns();
    return status;
}

/* ---- waiting ---- */

/* Nothing came for a while: is the batch still wanted, and has the queue still what was planned? */
static rmq_status keep_waiting(reading *at, rmq_error *err)
{
    rmq_status status = check_wanted(at, err);
    if (status != RMQ_OK)
        return status;
    int64_t now_ns = mill_stream_now_ns();
    int64_t max_offset = rmq_reader_max_offset(at->reader);
    if (now_ns - at->checked_ns < CHECK_END_NS || max_offset < 0 ||
        max_offset >= at->read->range->end_offset)
        return RMQ_OK;
    at->checked_ns = now_ns;
    if (!end_is_gone(at))
        return RMQ_OK;
    return other_history(at, rmq_reader_position(at->reader),
                         "the topic was made anew, or the broker was rolled back", err);
}

static rmq_status at_end(reading *at, rmq_error *err)
{
    const mill_fingerprint *last = &from_of(at)->last;
    if (at->verifying && rmq_reader_min_offset(at->reader) <= last->queue_offset)
        return other_history(at, last->queue_offset, "the record that was read is gone", err);
    return RMQ_OK;
}

static rmq_status read_to_end(reading *at, rmq_error *err)
{
    for (;;) {
        rmq_batch *batch = NULL;
        rmq_status status = rmq_reader_next(at->reader, POLL_MS, &batch, err);
        if (status == RMQ_NOT_FOUND)
            return at_end(at, err);
        if (status == RMQ_OK) {
            status = take_batch(at, batch, err);
            rmq_batch_unref(batch);
            if (status == RMQ_OK && mill_task_cancelled(at->task))
                status = keep_waiting(at, err);
        } else if (status == RMQ_AGAIN) {
            status = keep_waiting(at, err);
        } else if (status == RMQ_DATA_LOSS) {
            status = handle_loss(at, err);
        }
        if (status != RMQ_OK)
            return status;
    }
}

rmq_status mill_direct_read(void *self, mill_source_read *read, mill_emitter *out, mill_task *task,
                            rmq_error *err)
{
    mill_direct *direct = self;
    const mill_position *from = &read->range->from;
    reading at = {.direct = direct, .read = read, .out = out, .task = task};
    at.moved_ns = at.checked_ns = mill_stream_now_ns();
    at.verifying = from->last.offset_id[0] != '\0' && from->last.queue_offset < from->next_offset &&
                   from->next_offset - from->last.queue_offset <= MAX_READ_BACK;
    rmq_reader_config config = RMQ_READER_CONFIG_INIT;
    config.queue = mill_position_queue(from);
    config.start_offset = at.verifying ? from->last.queue_offset : from->next_offset;
    config.end_offset = read->range->end_offset;
    config.group = direct->group;
    config.hold_ms = HOLD_MS;
    rmq_status status = rmq_reader_open(direct->client, &config, &at.reader, err);
    if (status == RMQ_OK)
        status = read_to_end(&at, err);
    rmq_reader_close(at.reader);
    return status;
}
