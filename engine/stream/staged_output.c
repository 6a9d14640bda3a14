/* Staged output: what a run has made for every output of the job, in one file out/N.RUN.
 *
 *   {"batchId":3,"run":"e2-...","outputs":[{"blocks":[{"rows":10,"bytes":120},...]},...]}\n
 *   the blocks' bytes, one after the other
 *
 * The first line is for people and says how the rest is cut. All outputs are in it, also those of
 * sinks that have the batch already: which ones lack it is known only when it is read. */
#include "batch.h"

#include <string.h>

#include "position_json.h"

typedef struct dump {
    char *bytes;
    size_t len;
} dump;

/* ---- writing ---- */

static size_t count_blocks(const mill_batch *batch)
{
    size_t count = 0;
    for (size_t i = 0; i < batch->stream->n_outputs; i++)
        count += batch->outputs[i].n_blocks;
    return count;
}

static rmq_status dump_blocks(const mill_batch *batch, dump *dumps, rmq_error *err)
{
    size_t at = 0;
    for (size_t i = 0; i < batch->stream->n_outputs; i++) {
        for (size_t b = 0; b < batch->outputs[i].n_blocks; b++, at++) {
            rmq_status status =
                mill_block_dump(batch->outputs[i].blocks[b], &dumps[at].bytes, &dumps[at].len, err);
            if (status != RMQ_OK)
                return status;
        }
    }
    return RMQ_OK;
}

static void write_head(const mill_batch *batch, const dump *dumps, rmq_json_writer *writer)
{
    rmq_json_begin_object(writer);
    mill_json_put_int64(writer, "batchId", batch->id);
    mill_json_put_text(writer, "run", batch->run);
    rmq_json_key(writer, "outputs");
    rmq_json_begin_array(writer);
    size_t at = 0;
    for (size_t i = 0; i < batch->stream->n_outputs; i++) {
        rmq_json_begin_object(writer);
        rmq_json_key(writer, "blocks");
        rmq_json_begin_array(writer);
        for (size_t b = 0; b < batch->outputs[i].n_blocks; b++, at++) {
            rmq_json_begin_object(writer);
            mill_json_put_int64(writer, "rows",
                                (int64_t)mill_block_rows(batch->outputs[i].blocks[b]));
            mill_json_put_int64(writer, "bytes", (int64_t)dumps[at].len);
            rmq_json_end_object(writer);
        }
        rmq_json_end_array(writer);
        rmq_json_end_object(writer);
    }
    rmq_json_end_array(writer);
    rmq_json_end_object(writer);
    rmq_json_newline(writer);
}

static rmq_status join(rmq_slice head, const dump *dumps, size_t n_dumps, char **out_bytes,
                       size_t *out_len, rmq_error *err)
{
    size_t total = 0;
    for (size_t i = 0; i < n_dumps; i++)
        total += dumps[i].len;
    char *bytes = rmq_malloc(head.len + total + 1);
    if (bytes == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory for %zu bytes of staged output", total);
    memcpy(bytes, head.data, head.len);
    size_t at = head.len;
    for (size_t i = 0; i < n_dumps; i++) {
        if (dumps[i].len > 0)
            memcpy(bytes + at, dumps[i].bytes, dumps[i].len);
        at += dumps[i].len;
    }
    *out_bytes = bytes;
    *out_len = at;
    return RMQ_OK;
}

rmq_status mill_staged_encode(const mill_batch *batch, char **out_bytes, size_t *out_len,
                              rmq_error *err)
{
    size_t n_dumps = count_blocks(batch);
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    dump *dumps = rmq_calloc(n_dumps + 1, sizeof(*dumps));
    if (dumps == NULL) {
        rmq_json_writer_deinit(&writer);
        return rmq_error_set(err, RMQ_NOMEM, "out of memory");
    }
    rmq_status status = dump_blocks(batch, dumps, err);
    if (status != RMQ_OK)
        goto out;
    write_head(batch, dumps, &writer);
    rmq_slice head;
    status = rmq_json_writer_finish(&writer, &head);
    if (status != RMQ_OK)
        rmq_error_set(err, status, "out of memory for staged output");
    else
        status = join(head, dumps, n_dumps, out_bytes, out_len, err);
out:
    for (size_t i = 0; i < n_dumps; i++)
        rmq_free(dumps[i].bytes);
    rmq_free(dumps);
    rmq_json_writer_deinit(&writer);
    return status;
}

/* ---- reading ---- */

/* What is left of the bytes, and what is wrong with them (NULL: nothing; a static text). */
typedef struct reading {
    mill_batch *batch;
    rmq_json json;
    const char *at;
    size_t left;
    const char *wrong;
    rmq_status status; /* of loading a block */
} reading;

static bool read_block_size(rmq_json *json, int64_t *out_rows, int64_t *out_bytes)
{
    rmq_slice key;
    bool good = rmq_json_enter_object(json);
    while (good && rmq_json_next_key(json, &key)) {
        if (rmq_slice_equals(key, "rows"))
            good = rmq_json_read_int64(json, out_rows);
        else if (rmq_slice_equals(key, "bytes"))
            good = rmq_json_read_int64(json, out_bytes);
        else
            good = rmq_json_skip(json);
    }
    return good && *out_rows >= 0 && *out_bytes >= 0;
}

static bool read_block(reading *from, mill_run_output *output, rmq_error *err)
{
    int64_t rows = -1, bytes = -1;
    if (!read_block_size(&from->json, &rows, &bytes) || (uint64_t)bytes > from->left) {
        from->wrong = "the size of a block of staged output is wrong";
        return false;
    }
    mill_block **blocks =
        rmq_realloc(output->blocks, (output->n_blocks + 1) * sizeof(mill_block *));
    if (blocks == NULL) {
        from->wrong = mill_out_of_memory;
        return false;
    }
    output->blocks = blocks;
    from->status = mill_block_load(
        mill_context_blocks(from->batch->stream->context), mill_dataset_type(output->dataset),
        (rmq_slice){from->at, (size_t)bytes}, (uint64_t)rows, &blocks[output->n_blocks], err);
    if (from->status != RMQ_OK)
        return false;
    output->n_blocks++;
    from->at += bytes;
    from->left -= (size_t)bytes;
    return true;
}

static bool read_output(reading *from, mill_run_output *output, rmq_error *err)
{
    rmq_slice key;
    bool good = rmq_json_enter_object(&from->json);
    while (good && rmq_json_next_key(&from->json, &key)) {
        if (!rmq_slice_equals(key, "blocks")) {
            good = rmq_json_skip(&from->json);
            continue;
        }
        good = rmq_json_enter_array(&from->json);
        while (good && rmq_json_next_element(&from->json))
            good = read_block(from, output, err);
    }
    return good;
}

static bool read_head(reading *from, rmq_error *err)
{
    size_t n_outputs = 0;
    rmq_slice key;
    bool good = rmq_json_enter_object(&from->json);
    while (good && rmq_json_next_key(&from->json, &key)) {
        if (!rmq_slice_equals(key, "outputs")) {
            good = rmq_json_skip(&from->json);
            continue;
        }
        good = rmq_json_enter_array(&from->json);
        while (good && rmq_json_next_element(&from->json)) {
            good = n_outputs < from->batch->stream->n_outputs &&
                   read_output(from, &from->batch->outputs[n_outputs], err);
            n_outputs++;
        }
    }
    if (good && n_outputs != from->batch->stream->n_outputs)
        from->wrong = "staged output is of a job with other outputs";
    if (good && from->left != 0)
        from->wrong = "staged output has more bytes than blocks";
    return good && from->wrong == NULL;
}

rmq_status mill_staged_decode(mill_batch *batch, rmq_slice bytes, rmq_error *err)
{
    const char *line_end = bytes.len > 0 ? memchr(bytes.data, '\n', bytes.len) : NULL;
    if (line_end == NULL)
        return rmq_error_set(err, RMQ_CORRUPT, "out/%lld.%s has no first line",
                             (long long)batch->id, batch->run);
    reading from = {.batch = batch, .at = line_end + 1};
    from.left = bytes.len - (size_t)(from.at - bytes.data);
    rmq_json_init(&from.json, (rmq_slice){bytes.data, (size_t)(line_end - bytes.data)}, false);
    bool good = read_head(&from, err);
    rmq_status status = from.status;
    if (status == RMQ_OK)
        status = mill_json_decoded(&from.json, from.wrong, err);
    if (status == RMQ_OK && !good)
        status = rmq_error_set(err, RMQ_CORRUPT, "it can't be read");
    rmq_json_deinit(&from.json);
    if (status == RMQ_CORRUPT)
        rmq_error_wrap(err, "out/%lld.%s in checkpoint %s", (long long)batch->id, batch->run,
                       batch->stream->config.checkpoint);
    return status;
}
