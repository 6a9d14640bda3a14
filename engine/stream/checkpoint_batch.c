/* What a checkpoint keeps of each batch: plan/N, loss/N.K, state/N.RUN, out/N.RUN, commit/N,
 * done/N.
 *
 * Three kinds of names. plan, loss and commit decide something: put if absent, and who comes second
 * takes what is there. state and out belong to one run, whose name nobody uses twice: a second
 * writer is impossible. done is a note that the sinks agree on: written again, it says the same.
 *
 * Forgetting deletes by listing, not by counting: also what runs left that lost, or a process that
 * died while it was forgetting. */
#include "checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan_file.h"
#include "position_json.h"

static void batch_name(char out_name[MILL_CHECKPOINT_NAME_BYTES], const char *kind,
                       int64_t batch_id)
{
    snprintf(out_name, MILL_CHECKPOINT_NAME_BYTES, "%s/%lld", kind, (long long)batch_id);
}

static void run_file_name(char out_name[MILL_CHECKPOINT_NAME_BYTES], const char *kind,
                          int64_t batch_id, const char *run)
{
    snprintf(out_name, MILL_CHECKPOINT_NAME_BYTES, "%s/%lld.%s", kind, (long long)batch_id, run);
}

/* The batch's number at the start of "12", "12.e1-ab" or "12.1"; 0 if it is none of ours. */
static int64_t number_of(const char *name)
{
    char *end = NULL;
    long long number = strtoll(name, &end, 10);
    return end != name && (*end == '\0' || *end == '.') && number > 0 ? number : 0;
}

static rmq_status see_highest(const char *name, void *ctx)
{
    int64_t *highest = ctx, number = number_of(name);
    if (number > *highest)
        *highest = number;
    return RMQ_OK;
}

static rmq_status highest_of(const mill_checkpoint *checkpoint, const char *kind,
                             int64_t *out_batch_id, rmq_error *err)
{
    int64_t highest = 0;
    const mill_store *store = &checkpoint->files.store;
    rmq_status status = store->vtable->list(store->self, kind, see_highest, &highest, err);
    if (status == RMQ_OK)
        *out_batch_id = highest;
    return status;
}

rmq_status mill_checkpoint_last_plan(const mill_checkpoint *checkpoint, int64_t *out_batch_id,
                                     rmq_error *err)
{
    return highest_of(checkpoint, "plan", out_batch_id, err);
}

rmq_status mill_checkpoint_last_done(const mill_checkpoint *checkpoint, int64_t *out_batch_id,
                                     rmq_error *err)
{
    return highest_of(checkpoint, "done", out_batch_id, err);
}

/* ---- plan, loss ---- */

static rmq_status get_plan_file(const mill_checkpoint *checkpoint, const char *name,
                                int64_t batch_id, mill_stream_plan **out_plan, rmq_error *err)
{
    char *body = NULL;
    size_t len = 0;
    rmq_status status = mill_checkpoint_file_get(&checkpoint->files, name, &body, &len, err);
    if (status != RMQ_OK)
        return status;
    mill_stream_plan *plan = NULL;
    status = mill_stream_plan_decode((rmq_slice){body, len}, &plan, err);
    rmq_free(body);
    if (status == RMQ_OK && plan->batch_id != batch_id) {
        status = rmq_error_set(err, RMQ_CORRUPT, "it is of batch %lld", (long long)plan->batch_id);
        mill_stream_plan_free(plan);
    }
    if (status != RMQ_OK)
        return mill_checkpoint_file_wrap(&checkpoint->files, name, status, err);
    *out_plan = plan;
    return RMQ_OK;
}

/* Puts `*plan`, or exchanges it for the one that is there. */
static rmq_status put_plan_file(mill_checkpoint *checkpoint, const char *name,
                                mill_stream_plan **plan, bool *out_found, rmq_error *err)
{
    int64_t batch_id = (*plan)->batch_id;
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    mill_stream_plan_encode(*plan, &writer);
    rmq_status status = mill_checkpoint_json_put(&checkpoint->files, name, &writer, err);
    rmq_json_writer_deinit(&writer);
    bool found = status == RMQ_EXISTS;
    if (found) {
        mill_stream_plan *there = NULL;
        status = get_plan_file(checkpoint, name, batch_id, &there, err);
        if (status == RMQ_OK) {
            mill_stream_plan_free(*plan);
            *plan = there;
        }
    }
    /* It was there and is gone, or we created it on a name that others have forgotten. */
    if (status == RMQ_OK || status == RMQ_NOT_FOUND) {
        rmq_status floor = mill_checkpoint_check_floor(checkpoint, batch_id, err);
        if (floor != RMQ_OK)
            status = floor;
    }
    if (status == RMQ_NOT_FOUND)
        status = rmq_error_set(err, RMQ_IO, "checkpoint file %s in %s was there and is gone", name,
                               checkpoint->files.address);
    if (status == RMQ_OK)
        *out_found = found;
    return status;
}

rmq_status mill_checkpoint_put_plan(mill_checkpoint *checkpoint, mill_stream_plan **plan,
                                    bool *out_found, rmq_error *err)
{
    char name[MILL_CHECKPOINT_NAME_BYTES];
    batch_name(name, "plan", (*plan)->batch_id);
    return put_plan_file(checkpoint, name, plan, out_found, err);
}

rmq_status mill_checkpoint_get_plan(const mill_checkpoint *checkpoint, int64_t batch_id,
                                    mill_stream_plan **out_plan, rmq_error *err)
{
    char name[MILL_CHECKPOINT_NAME_BYTES];
    batch_name(name, "plan", batch_id);
    return get_plan_file(checkpoint, name, batch_id, out_plan, err);
}

rmq_status mill_checkpoint_put_loss(mill_checkpoint *checkpoint, uint32_t number,
                                    mill_stream_plan **loss, rmq_error *err)
{
    char name[MILL_CHECKPOINT_NAME_BYTES], part[16];
    snprintf(part, sizeof(part), "%u", number);
    run_file_name(name, "loss", (*loss)->batch_id, part);
    bool found = false;
    return put_plan_file(checkpoint, name, loss, &found, err);
}

rmq_status mill_checkpoint_get_loss(const mill_checkpoint *checkpoint, int64_t batch_id,
                                    uint32_t number, mill_stream_plan **out_loss, rmq_error *err)
{
    char name[MILL_CHECKPOINT_NAME_BYTES], part[16];
    snprintf(part, sizeof(part), "%u", number);
    run_file_name(name, "loss", batch_id, part);
    return get_plan_file(checkpoint, name, batch_id, out_loss, err);
}

/* ---- state, output ---- */

rmq_status mill_checkpoint_put_state(mill_checkpoint *checkpoint, const mill_state *state,
                                     rmq_error *err)
{
    char name[MILL_CHECKPOINT_NAME_BYTES];
    run_file_name(name, "state", state->batch_id, state->run);
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    mill_state_encode(state, &writer);
    rmq_status status = mill_checkpoint_json_put(&checkpoint->files, name, &writer, err);
    rmq_json_writer_deinit(&writer);
    return status;
}

rmq_status mill_checkpoint_get_state(const mill_checkpoint *checkpoint, int64_t batch_id,
                                     const char *run, mill_state **out_state, rmq_error *err)
{
    char name[MILL_CHECKPOINT_NAME_BYTES];
    run_file_name(name, "state", batch_id, run);
    char *body = NULL;
    size_t len = 0;
    rmq_status status = mill_checkpoint_file_get(&checkpoint->files, name, &body, &len, err);
    if (status != RMQ_OK)
        return status;
    mill_state *state = NULL;
    status = mill_state_decode((rmq_slice){body, len}, &state, err);
    rmq_free(body);
    if (status == RMQ_OK && (state->batch_id != batch_id || strcmp(state->run, run) != 0)) {
        status = rmq_error_set(err, RMQ_CORRUPT, "it is of batch %lld, run %s",
                               (long long)state->batch_id, state->run);
        mill_state_free(state);
    }
    if (status != RMQ_OK)
        return mill_checkpoint_file_wrap(&checkpoint->files, name, status, err);
    *out_state = state;
    return RMQ_OK;
}

rmq_status mill_checkpoint_put_output(mill_checkpoint *checkpoint, int64_t batch_id,
                                      const char *run, rmq_slice bytes, rmq_error *err)
{
    char name[MILL_CHECKPOINT_NAME_BYTES];
    run_file_name(name, "out", batch_id, run);
    return mill_checkpoint_file_put(&checkpoint->files, name, bytes, err);
}

rmq_status mill_checkpoint_get_output(const mill_checkpoint *checkpoint, int64_t batch_id,
                                      const char *run, char **out_bytes, size_t *out_len,
                                      rmq_error *err)
{
    char name[MILL_CHECKPOINT_NAME_BYTES];
    run_file_name(name, "out", batch_id, run);
    return mill_checkpoint_file_get(&checkpoint->files, name, out_bytes, out_len, err);
}

/* ---- commit, done ---- */

static void write_run(const mill_checkpoint *checkpoint, rmq_json_writer *writer, int64_t batch_id,
                      const char *run)
{
    rmq_json_begin_object(writer);
    mill_json_put_int64(writer, "batchId", batch_id);
    mill_json_put_text(writer, "run", run);
    mill_json_put_int64(writer, "epoch", checkpoint->epoch);
    mill_json_put_int64(writer, "timeMs", rmq_clock_wall_ms());
    rmq_json_end_object(writer);
}

static rmq_status get_run(const mill_checkpoint *checkpoint, const char *kind, int64_t batch_id,
                          char out_run[MILL_RUN_NAME_BYTES], rmq_error *err)
{
    char name[MILL_CHECKPOINT_NAME_BYTES];
    batch_name(name, kind, batch_id);
    char *body = NULL;
    size_t len = 0;
    rmq_status status = mill_checkpoint_file_get(&checkpoint->files, name, &body, &len, err);
    if (status != RMQ_OK)
        return status;
    rmq_json json;
    rmq_json_init(&json, (rmq_slice){body, len}, false);
    char run[MILL_RUN_NAME_BYTES] = "";
    int64_t found_id = 0;
    rmq_slice key;
    bool good = rmq_json_enter_object(&json);
    while (good && rmq_json_next_key(&json, &key)) {
        if (rmq_slice_equals(key, "run"))
            good = mill_json_read_text(&json, run, sizeof(run));
        else if (rmq_slice_equals(key, "batchId"))
            good = rmq_json_read_int64(&json, &found_id);
        else
            good = rmq_json_skip(&json);
    }
    rmq_json_deinit(&json);
    rmq_free(body);
    if (!good || run[0] == '\0' || found_id != batch_id) {
        rmq_error_set(err, RMQ_CORRUPT, "it names no run of batch %lld", (long long)batch_id);
        return mill_checkpoint_file_wrap(&checkpoint->files, name, RMQ_CORRUPT, err);
    }
    memcpy(out_run, run, sizeof(run));
    return RMQ_OK;
}

rmq_status mill_checkpoint_decided(const mill_checkpoint *checkpoint, int64_t batch_id,
                                   char out_run[MILL_RUN_NAME_BYTES], rmq_error *err)
{
    return get_run(checkpoint, "commit", batch_id, out_run, err);
}

rmq_status mill_checkpoint_get_done(const mill_checkpoint *checkpoint, int64_t batch_id,
                                    char out_run[MILL_RUN_NAME_BYTES], rmq_error *err)
{
    return get_run(checkpoint, "done", batch_id, out_run, err);
}

rmq_status mill_checkpoint_decide(mill_checkpoint *checkpoint, int64_t batch_id,
                                  char run[MILL_RUN_NAME_BYTES], rmq_error *err)
{
    char name[MILL_CHECKPOINT_NAME_BYTES];
    batch_name(name, "commit", batch_id);
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    write_run(checkpoint, &writer, batch_id, run);
    rmq_status status = mill_checkpoint_json_put(&checkpoint->files, name, &writer, err);
    rmq_json_writer_deinit(&writer);
    if (status == RMQ_EXISTS)
        status = mill_checkpoint_decided(checkpoint, batch_id, run, err);
    if (status == RMQ_OK || status == RMQ_NOT_FOUND) {
        rmq_status floor = mill_checkpoint_check_floor(checkpoint, batch_id, err);
        if (floor != RMQ_OK)
            return floor;
    }
    if (status == RMQ_NOT_FOUND)
        return rmq_error_set(err, RMQ_IO, "checkpoint file %s in %s was there and is gone", name,
                             checkpoint->files.address);
    return status;
}

rmq_status mill_checkpoint_put_done(mill_checkpoint *checkpoint, int64_t batch_id, const char *run,
                                    rmq_error *err)
{
    char name[MILL_CHECKPOINT_NAME_BYTES];
    batch_name(name, "done", batch_id);
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    write_run(checkpoint, &writer, batch_id, run);
    rmq_status status = mill_checkpoint_json_replace(&checkpoint->files, name, &writer, err);
    rmq_json_writer_deinit(&writer);
    return status;
}

/* ---- forgetting ---- */

/* Names collected during a walk: a store need not bear deletions in the middle of its list. */
typedef struct doomed {
    const char *kind;
    int64_t floor;
    char (*names)[MILL_CHECKPOINT_NAME_BYTES];
    size_t count, capacity;
} doomed;

static rmq_status see_doomed(const char *name, void *ctx)
{
    doomed *list = ctx;
    int64_t number = number_of(name);
    if (number == 0 || number > list->floor)
        return RMQ_OK;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 32 : list->capacity * 2;
        void *grown = rmq_realloc(list->names, capacity * sizeof(*list->names));
        if (grown == NULL)
            return RMQ_NOMEM;
        list->names = grown;
        list->capacity = capacity;
    }
    snprintf(list->names[list->count++], MILL_CHECKPOINT_NAME_BYTES, "%s/%.120s", list->kind, name);
    return RMQ_OK;
}

static rmq_status forget_kind(const mill_checkpoint *checkpoint, const char *kind, rmq_error *err)
{
    const mill_store *store = &checkpoint->files.store;
    doomed list = {.kind = kind, .floor = checkpoint->floor};
    rmq_status status = store->vtable->list(store->self, kind, see_doomed, &list, err);
    if (status == RMQ_NOMEM)
        rmq_error_set(err, RMQ_NOMEM, "out of memory for forgetting old batches");
    for (size_t i = 0; status == RMQ_OK && i < list.count; i++)
        status = store->vtable->remove(store->self, list.names[i], err);
    rmq_free(list.names);
    return status;
}

rmq_status mill_checkpoint_forget(mill_checkpoint *checkpoint, int64_t floor, rmq_error *err)
{
    /* Who was taken over while it slept must not lower what its successor raised. */
    rmq_status status = mill_checkpoint_check_epoch(checkpoint, err);
    if (status == RMQ_OK)
        status = mill_checkpoint_read_floor(checkpoint, err);
    if (status == RMQ_OK && floor > checkpoint->floor)
        status = mill_checkpoint_raise_floor(checkpoint, floor, err);
    static const char *const kinds[] = {"out", "commit", "loss", "plan", "state", "done"};
    for (size_t i = 0; status == RMQ_OK && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        status = forget_kind(checkpoint, kinds[i], err);
    return status;
}
