/* Who owns a checkpoint, and whose it is: lock, meta.json, epochs, floor.
 *
 * The lock is a courtesy that gives a second process a clear error. What decides is the epoch:
 * epoch/K is put if absent, so each number has one owner, and every sink refuses an owner with an
 * older number. An old process that wakes up may still write files, but plans and decisions are put
 * if absent and states and outputs carry the name of a run, which nobody uses twice.
 *
 * Put-if-absent alone is not enough on a name that was deleted: a process that slept while others
 * went on and forgot old batches could create plan/N or commit/N afresh. So whoever has created one
 * reads `floor` afterwards and stops if N is not above it; the floor is raised, durable, before
 * anything is deleted. The same holds for epochs: who has created one looks whether a higher one is
 * there. */
#include "checkpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "position_json.h"

#define EPOCHS_KEPT 100

static rmq_status random_bytes(void *out_bytes, size_t len, rmq_error *err)
{
    char *at = out_bytes;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno != EINTR)
            return rmq_error_set_errno(err, errno, "getrandom");
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
    }
    return RMQ_OK;
}

static void write_owner(rmq_json_writer *writer)
{
    char host[256] = "unknown";
    (void)gethostname(host, sizeof(host) - 1);
    rmq_json_begin_object(writer);
    mill_json_put_text(writer, "host", host);
    mill_json_put_int64(writer, "pid", getpid());
    mill_json_put_int64(writer, "startedMs", rmq_clock_wall_ms());
    rmq_json_end_object(writer);
}

/* Reads what write_owner wrote out of a text that holds it; false if there is no such object. */
static bool read_owner(const char *text, char *out_host, size_t host_capacity, int64_t *out_pid,
                       int64_t *out_started_ms)
{
    const char *start = strchr(text, '{'), *end = strrchr(text, '}');
    if (start == NULL || end == NULL || end < start)
        return false;
    rmq_json json;
    rmq_json_init(&json, (rmq_slice){start, (size_t)(end - start) + 1}, false);
    bool host = false, pid = false, good = rmq_json_enter_object(&json);
    rmq_slice key;
    while (good && rmq_json_next_key(&json, &key)) {
        if (rmq_slice_equals(key, "host"))
            good = host = mill_json_read_text(&json, out_host, host_capacity);
        else if (rmq_slice_equals(key, "pid"))
            good = pid = rmq_json_read_int64(&json, out_pid);
        else if (rmq_slice_equals(key, "startedMs"))
            good = rmq_json_read_int64(&json, out_started_ms);
        else
            good = rmq_json_skip(&json);
    }
    rmq_json_deinit(&json);
    return good && host && pid;
}

static void explain_lock(const char *address, rmq_error *err)
{
    if (err == NULL)
        return;
    char host[256] = "", since[40] = "";
    int64_t pid = 0, started_ms = 0;
    if (!read_owner(err->text, host, sizeof(host), &pid, &started_ms)) {
        rmq_error_wrap(err, "checkpoint %s is held by another process", address);
        return;
    }
    time_t started = (time_t)(started_ms / 1000);
    struct tm utc;
    if (gmtime_r(&started, &utc) != NULL)
        strftime(since, sizeof(since), "%Y-%m-%dT%H:%M:%SZ", &utc);
    rmq_error_set(err, RMQ_LOCKED,
                  "checkpoint %s is held by pid %lld on host %s since %s: stop that process, or "
                  "take the checkpoint from it (take_over, --take-over)",
                  address, (long long)pid, host, since);
}

static rmq_status take_lock(mill_checkpoint *checkpoint, bool take_over, rmq_error *err)
{
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    write_owner(&writer);
    rmq_json_newline(&writer);
    rmq_slice text;
    rmq_status status = rmq_json_writer_finish(&writer, &text);
    char *owner = status == RMQ_OK ? rmq_slice_dup(text) : NULL;
    rmq_json_writer_deinit(&writer);
    if (owner == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory for the checkpoint's lock");
    owner[strcspn(owner, "\n")] = '\0';
    const mill_store *store = &checkpoint->files.store;
    status = store->vtable->lock(store->self, owner, take_over, err);
    rmq_free(owner);
    if (status == RMQ_LOCKED)
        explain_lock(checkpoint->files.address, err);
    return status;
}

rmq_status mill_checkpoint_open(const char *address, bool take_over,
                                mill_checkpoint **out_checkpoint, rmq_error *err)
{
    mill_checkpoint *checkpoint = rmq_calloc(1, sizeof(*checkpoint));
    char *copy = rmq_strdup(address);
    if (checkpoint == NULL || copy == NULL) {
        rmq_free(checkpoint);
        rmq_free(copy);
        return rmq_error_set(err, RMQ_NOMEM, "out of memory for checkpoint %s", address);
    }
    checkpoint->files.address = copy;
    rmq_status status = mill_store_open(address, true, &checkpoint->files.store, err);
    if (status == RMQ_OK)
        status = take_lock(checkpoint, take_over, err);
    if (status != RMQ_OK) {
        mill_checkpoint_close(checkpoint);
        return status;
    }
    *out_checkpoint = checkpoint;
    return RMQ_OK;
}

void mill_checkpoint_close(mill_checkpoint *checkpoint)
{
    if (checkpoint == NULL)
        return;
    if (checkpoint->files.store.vtable != NULL)
        mill_store_close(&checkpoint->files.store);
    rmq_free(checkpoint->files.address);
    rmq_free(checkpoint);
}

/* ---- meta.json ---- */

static rmq_status make_uuid(char out_text[MILL_STREAM_ID_BYTES], rmq_error *err)
{
    uint8_t b[16];
    rmq_status status = random_bytes(b, sizeof(b), err);
    if (status != RMQ_OK)
        return status;
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    char *at = out_text;
    for (size_t i = 0; i < sizeof(b); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        at += snprintf(at, 3, "%02x", b[i]);
    }
    return RMQ_OK;
}

typedef struct meta {
    int64_t format;
    char stream_id[MILL_STREAM_ID_BYTES];
    char *name;
    char *job;
} meta;

static bool read_meta(rmq_json *json, meta *into)
{
    rmq_slice key, text;
    bool good = rmq_json_enter_object(json);
    while (good && rmq_json_next_key(json, &key)) {
        if (rmq_slice_equals(key, "format")) {
            good = rmq_json_read_int64(json, &into->format);
        } else if (rmq_slice_equals(key, "streamId")) {
            good = mill_json_read_text(json, into->stream_id, sizeof(into->stream_id));
        } else if (rmq_slice_equals(key, "name")) {
            good = into->name == NULL && rmq_json_read_string(json, &text) &&
                   (into->name = rmq_slice_dup(text)) != NULL;
        } else if (rmq_slice_equals(key, "job")) {
            good = into->job == NULL && rmq_json_read_raw(json, &text) &&
                   (into->job = rmq_slice_dup(text)) != NULL;
        } else {
            good = rmq_json_skip(json);
        }
    }
    return good && rmq_json_peek(json) == RMQ_JSON_END;
}

/* A piece of a job's description around the place where it differs from another. */
static rmq_slice piece_around(rmq_slice job, size_t at)
{
    size_t from = at > 40 ? at - 40 : 0;
    size_t len = job.len - from > 80 ? 80 : job.len - from;
    return (rmq_slice){job.data + from, len};
}

static rmq_status refuse_other_job(const char *address, rmq_slice theirs, rmq_slice ours,
                                   rmq_error *err)
{
    size_t at = 0;
    while (at < theirs.len && at < ours.len && theirs.data[at] == ours.data[at])
        at++;
    rmq_slice there = piece_around(theirs, at);
    rmq_slice here = piece_around(ours, at);
    return rmq_error_set(err, RMQ_INVAL,
                         "checkpoint %s belongs to another job: it has ...%.*s..., this job "
                         "...%.*s...; give this job a checkpoint of its own",
                         address, (int)there.len, there.data, (int)here.len, here.data);
}

static rmq_status check_meta(mill_checkpoint *checkpoint, const meta *found, const char *name,
                             rmq_slice job, rmq_error *err)
{
    const char *address = checkpoint->files.address;
    if (found->name == NULL || found->job == NULL || found->stream_id[0] == '\0') {
        rmq_error_set(err, RMQ_CORRUPT, "streamId, name or job is missing");
        return mill_checkpoint_file_wrap(&checkpoint->files, "meta.json", RMQ_CORRUPT, err);
    }
    if (strcmp(found->name, name) != 0)
        return rmq_error_set(err, RMQ_INVAL,
                             "checkpoint %s belongs to another job: it is of \"%s\", this is "
                             "\"%s\"; give this job a checkpoint of its own",
                             address, found->name, name);
    if (!rmq_slice_equals(job, found->job))
        return refuse_other_job(address, rmq_slice_of(found->job), job, err);
    memcpy(checkpoint->stream_id, found->stream_id, sizeof(checkpoint->stream_id));
    return RMQ_OK;
}

rmq_status mill_checkpoint_check_meta(mill_checkpoint *checkpoint, const char *name, rmq_slice job,
                                      rmq_error *err)
{
    rmq_status status = mill_checkpoint_check_format(&checkpoint->files, err);
    if (status != RMQ_OK)
        return status;
    char *body = NULL;
    size_t len = 0;
    status = mill_checkpoint_file_get(&checkpoint->files, "meta.json", &body, &len, err);
    if (status != RMQ_OK)
        return status;
    meta found = {0};
    rmq_json json;
    rmq_json_init(&json, (rmq_slice){body, len}, false);
    if (!read_meta(&json, &found)) {
        rmq_error_set(err, RMQ_CORRUPT, "it can't be read");
        status = mill_checkpoint_file_wrap(&checkpoint->files, "meta.json", RMQ_CORRUPT, err);
    } else {
        status = check_meta(checkpoint, &found, name, job, err);
    }
    rmq_json_deinit(&json);
    rmq_free(found.name);
    rmq_free(found.job);
    rmq_free(body);
    return status;
}

static rmq_status create_meta(mill_checkpoint *checkpoint, const char *name, rmq_slice job,
                              rmq_error *err)
{
    char stream_id[MILL_STREAM_ID_BYTES];
    rmq_status status = make_uuid(stream_id, err);
    if (status != RMQ_OK)
        return status;
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    rmq_json_begin_object(&writer);
    mill_json_put_int64(&writer, "format", MILL_CHECKPOINT_FORMAT);
    mill_json_put_text(&writer, "streamId", stream_id);
    mill_json_put_text(&writer, "name", name);
    mill_json_put_int64(&writer, "createdMs", rmq_clock_wall_ms());
    rmq_json_key(&writer, "job");
    rmq_json_raw(&writer, job);
    rmq_json_end_object(&writer);
    status = mill_checkpoint_json_put(&checkpoint->files, "meta.json", &writer, err);
    rmq_json_writer_deinit(&writer);
    if (status == RMQ_OK) {
        memcpy(checkpoint->stream_id, stream_id, sizeof(stream_id));
        checkpoint->fresh = true;
    }
    return status;
}

rmq_status mill_checkpoint_meta(mill_checkpoint *checkpoint, const char *name, rmq_slice job,
                                rmq_error *err)
{
    rmq_status status = mill_checkpoint_check_meta(checkpoint, name, job, err);
    if (status != RMQ_NOT_FOUND)
        return status;
    int64_t last_plan = 0;
    status = mill_checkpoint_last_plan(checkpoint, &last_plan, err);
    if (status == RMQ_OK && last_plan > 0)
        return rmq_error_set(err, RMQ_CORRUPT,
                             "checkpoint %s has plans but no meta.json: put it back from a copy of "
                             "the checkpoint, or start a new checkpoint from the sink's offsets "
                             "(adopt_sink, --adopt-sink)",
                             checkpoint->files.address);
    if (status == RMQ_OK)
        status = create_meta(checkpoint, name, job, err);
    return status == RMQ_EXISTS ? mill_checkpoint_check_meta(checkpoint, name, job, err) : status;
}

/* ---- epochs ---- */

typedef struct epoch_walk {
    int64_t highest;
    int64_t lowest;
} epoch_walk;

static rmq_status see_epoch(const char *name, void *ctx)
{
    epoch_walk *walk = ctx;
    char *end = NULL;
    long long epoch = strtoll(name, &end, 10);
    if (end == name || *end != '\0' || epoch < 1)
        return RMQ_OK;
    if (epoch > walk->highest)
        walk->highest = epoch;
    if (walk->lowest == 0 || epoch < walk->lowest)
        walk->lowest = epoch;
    return RMQ_OK;
}

static rmq_status walk_epochs(const mill_checkpoint *checkpoint, epoch_walk *out_walk,
                              rmq_error *err)
{
    epoch_walk walk = {0};
    const mill_store *store = &checkpoint->files.store;
    rmq_status status = store->vtable->list(store->self, "epoch", see_epoch, &walk, err);
    if (status == RMQ_OK)
        *out_walk = walk;
    return status;
}

static rmq_status put_epoch(mill_checkpoint *checkpoint, int64_t epoch, rmq_error *err)
{
    char name[MILL_CHECKPOINT_NAME_BYTES];
    snprintf(name, sizeof(name), "epoch/%lld", (long long)epoch);
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    write_owner(&writer);
    rmq_status status = mill_checkpoint_json_put(&checkpoint->files, name, &writer, err);
    rmq_json_writer_deinit(&writer);
    return status;
}

/* Old epoch files say who owned the checkpoint when; a hundred of them are enough. */
static void drop_old_epochs(const mill_checkpoint *checkpoint, const epoch_walk *walk)
{
    const mill_store *store = &checkpoint->files.store;
    for (int64_t epoch = walk->lowest; epoch > 0 && epoch <= checkpoint->epoch - EPOCHS_KEPT;
         epoch++) {
        char name[MILL_CHECKPOINT_NAME_BYTES];
        snprintf(name, sizeof(name), "epoch/%lld", (long long)epoch);
        if (store->vtable->remove(store->self, name, NULL) != RMQ_OK)
            return;
    }
}

rmq_status mill_checkpoint_next_epoch(mill_checkpoint *checkpoint, rmq_error *err)
{
    epoch_walk walk;
    rmq_status status = walk_epochs(checkpoint, &walk, err);
    if (status != RMQ_OK)
        return status;
    for (;;) {
        int64_t epoch = walk.highest + 1;
        status = put_epoch(checkpoint, epoch, err);
        if (status != RMQ_OK && status != RMQ_EXISTS)
            return status;
        bool taken = status == RMQ_OK;
        status = walk_epochs(checkpoint, &walk, err);
        if (status != RMQ_OK)
            return status;
        if (taken && walk.highest == epoch) {
            checkpoint->epoch = epoch;
            drop_old_epochs(checkpoint, &walk);
            return mill_checkpoint_read_floor(checkpoint, err);
        }
        if (walk.highest < epoch)
            walk.highest = epoch;
    }
}

rmq_status mill_checkpoint_check_epoch(const mill_checkpoint *checkpoint, rmq_error *err)
{
    char name[MILL_CHECKPOINT_NAME_BYTES];
    snprintf(name, sizeof(name), "epoch/%lld", (long long)checkpoint->epoch + 1);
    char *body = NULL;
    size_t len = 0;
    rmq_status status = mill_checkpoint_file_get(&checkpoint->files, name, &body, &len, err);
    if (status == RMQ_NOT_FOUND)
        return RMQ_OK;
    if (status != RMQ_OK && status != RMQ_CORRUPT)
        return status;
    char host[256] = "?";
    int64_t pid = 0, started_ms = 0;
    if (status == RMQ_OK)
        (void)read_owner(body, host, sizeof(host), &pid, &started_ms);
    rmq_free(body);
    return rmq_error_set(err, RMQ_FENCED,
                         "a newer process took over: epoch %lld of checkpoint %s is pid %lld on "
                         "host %s, this process has epoch %lld and stops",
                         (long long)checkpoint->epoch + 1, checkpoint->files.address,
                         (long long)pid, host, (long long)checkpoint->epoch);
}

rmq_status mill_checkpoint_run_name(const mill_checkpoint *checkpoint,
                                    char out_run[MILL_RUN_NAME_BYTES], rmq_error *err)
{
    uint64_t random = 0;
    rmq_status status = random_bytes(&random, sizeof(random), err);
    if (status == RMQ_OK)
        snprintf(out_run, MILL_RUN_NAME_BYTES, "e%lld-%016llx", (long long)checkpoint->epoch,
                 (unsigned long long)random);
    return status;
}

/* ---- floor ---- */

rmq_status mill_checkpoint_read_floor(mill_checkpoint *checkpoint, rmq_error *err)
{
    char *body = NULL;
    size_t len = 0;
    rmq_status status = mill_checkpoint_file_get(&checkpoint->files, "floor", &body, &len, err);
    if (status == RMQ_NOT_FOUND)
        return RMQ_OK;
    if (status != RMQ_OK)
        return status;
    rmq_json json;
    rmq_json_init(&json, (rmq_slice){body, len}, false);
    int64_t floor = -1;
    rmq_slice key;
    bool good = rmq_json_enter_object(&json);
    while (good && rmq_json_next_key(&json, &key))
        good = rmq_slice_equals(key, "floor") ? rmq_json_read_int64(&json, &floor)
                                              : rmq_json_skip(&json);
    rmq_json_deinit(&json);
    rmq_free(body);
    if (!good || floor < 0) {
        rmq_error_set(err, RMQ_CORRUPT, "it can't be read");
        return mill_checkpoint_file_wrap(&checkpoint->files, "floor", RMQ_CORRUPT, err);
    }
    checkpoint->floor = floor;
    return RMQ_OK;
}

rmq_status mill_checkpoint_check_floor(mill_checkpoint *checkpoint, int64_t batch_id,
                                       rmq_error *err)
{
    rmq_status status = mill_checkpoint_read_floor(checkpoint, err);
    if (status != RMQ_OK || batch_id > checkpoint->floor)
        return status;
    return rmq_error_set(err, RMQ_FENCED,
                         "a newer process took over: batch %lld of checkpoint %s is done and "
                         "forgotten (floor %lld), this process stops",
                         (long long)batch_id, checkpoint->files.address,
                         (long long)checkpoint->floor);
}

rmq_status mill_checkpoint_raise_floor(mill_checkpoint *checkpoint, int64_t floor, rmq_error *err)
{
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    rmq_json_begin_object(&writer);
    mill_json_put_int64(&writer, "floor", floor);
    rmq_json_end_object(&writer);
    rmq_status status = mill_checkpoint_json_replace(&checkpoint->files, "floor", &writer, err);
    rmq_json_writer_deinit(&writer);
    if (status == RMQ_OK)
        checkpoint->floor = floor;
    return status;
}
