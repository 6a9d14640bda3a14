/* What is told about each batch that is done. Numbers are of the run that counts: also where it was
 * another process's, whose state tells them. */
#include "batch.h"

static int64_t span_ms(int64_t from_ns, int64_t to_ns)
{
    return from_ns > 0 && to_ns > from_ns ? (to_ns - from_ns) / 1000000 : 0;
}

void mill_batch_tell(const mill_batch *batch)
{
    const mill_streaming_context *stream = batch->stream;
    int64_t now_ns = mill_stream_now_ns();
    int64_t read_ns = batch->read_ns > 0 ? batch->read_ns : batch->planned_ns;
    mill_progress progress = {
        .batch_id = batch->id,
        .run = batch->run,
        .epoch = stream->checkpoint->epoch,
        .time_ms = batch->plan->time_ms,
        .input_rows = batch->state->input_rows - stream->state->input_rows,
        .output_rows = batch->state->output_rows - stream->state->output_rows,
        .plan_ms = span_ms(batch->begun_ns, batch->planned_ns),
        .read_ms = span_ms(batch->planned_ns, read_ns),
        .write_ms = span_ms(read_ns, batch->committing_ns),
        .commit_ms = span_ms(batch->committing_ns, now_ns),
        .total_ms = span_ms(batch->begun_ns, now_ns),
        .lag = batch->lag,
        .lost = batch->state->lost - stream->state->lost,
        .again = batch->again,
    };
    if (progress.lost > 0)
        mill_context_log(stream->context, RMQ_LOG_WARN, "stream",
                         "%s: batch %lld went on without %llu records that the brokers have lost",
                         stream->config.name, (long long)batch->id,
                         (unsigned long long)progress.lost);
    mill_context_log(stream->context, RMQ_LOG_INFO, "stream",
                     "%s: batch %lld done, %llu in, %llu out, %lld ms", stream->config.name,
                     (long long)batch->id, (unsigned long long)progress.input_rows,
                     (unsigned long long)progress.output_rows, (long long)progress.total_ms);
    if (stream->config.on_progress != NULL)
        stream->config.on_progress(&progress, stream->config.on_progress_ctx);
}
