/* What a checkpoint holds, for people and tools.
 *
 * Every file is checked as the job itself checks it, and then passed on as the JSON that it is: so
 * what is shown is what is there, and a corrupt file is named instead of shown. */
#include <mill/checkpoint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint_file.h"

/* Newest number among the names of a directory, and its whole name. */
typedef struct newest {
    int64_t number;
    char name[MILL_CHECKPOINT_NAME_BYTES];
    int64_t wanted; /* 0: the largest; else the first of just this number */
} newest;

static rmq_status see_name(const char *name, void *ctx)
{
    newest *found = ctx;
    char *end = NULL;
    long long number = strtoll(name, &end, 10);
    if (end == name || (*end != '\0' && *end != '.') || number < 0)
        return RMQ_OK;
    bool better = found->wanted > 0 ? number == found->wanted : number > found->number;
    if (better || (number == 0 && found->name[0] == '\0' && found->wanted <= 0)) {
        found->number = number;
        snprintf(found->name, sizeof(found->name), "%s", name);
    }
    return RMQ_OK;
}

static rmq_status find_newest(const mill_checkpoint_files *files, const char *directory,
                              int64_t wanted, newest *out_found, rmq_error *err)
{
    memset(out_found, 0, sizeof(*out_found));
    out_found->wanted = wanted;
    return files->store.vtable->list(files->store.self, directory, see_name, out_found, err);
}

/* Puts the body of `name` under `key`; a file that isn't there is left out. */
static rmq_status put_file(const mill_checkpoint_files *files, const char *key, const char *name,
                           rmq_json_writer *writer, rmq_error *err)
{
    char *body = NULL;
    size_t len = 0;
    rmq_status status = mill_checkpoint_file_get(files, name, &body, &len, err);
    if (status == RMQ_NOT_FOUND)
        return RMQ_OK;
    if (status != RMQ_OK)
        return status;
    rmq_json_key(writer, key);
    rmq_json_raw(writer, (rmq_slice){body, len});
    rmq_free(body);
    return RMQ_OK;
}

static rmq_status put_newest(const mill_checkpoint_files *files, const char *key,
                             const char *directory, const newest *found, rmq_json_writer *writer,
                             rmq_error *err)
{
    char name[2 * MILL_CHECKPOINT_NAME_BYTES];
    if (found->name[0] == '\0')
        return RMQ_OK;
    snprintf(name, sizeof(name), "%s/%s", directory, found->name);
    return put_file(files, key, name, writer, err);
}

static void put_number(rmq_json_writer *writer, const char *key, int64_t number)
{
    rmq_json_key(writer, key);
    rmq_json_int64(writer, number);
}

/* The lock is no file of the checkpoint's own form: one line, without a checksum. */
static void put_lock(const mill_checkpoint_files *files, rmq_json_writer *writer)
{
    char *line = NULL;
    size_t len = 0;
    if (files->store.vtable->get(files->store.self, "lock", &line, &len, NULL) != RMQ_OK)
        return;
    rmq_json json;
    rmq_json_init(&json, (rmq_slice){line, len}, false);
    rmq_slice text;
    bool good = rmq_json_peek(&json) == RMQ_JSON_OBJECT && rmq_json_read_raw(&json, &text);
    if (good) {
        rmq_json_key(writer, "lock");
        rmq_json_raw(writer, text);
    }
    rmq_json_deinit(&json);
    rmq_free(line);
}

static rmq_status describe(const mill_checkpoint_files *files, rmq_json_writer *writer,
                           rmq_error *err)
{
    newest epoch;
    newest plan;
    newest done;
    newest state;
    rmq_status status = find_newest(files, "epoch", 0, &epoch, err);
    if (status == RMQ_OK)
        status = find_newest(files, "plan", 0, &plan, err);
    if (status == RMQ_OK)
        status = find_newest(files, "done", 0, &done, err);
    if (status == RMQ_OK)
        status = find_newest(files, "state", done.number > 0 ? done.number : -1, &state, err);
    if (status != RMQ_OK)
        return status;
    rmq_json_begin_object(writer);
    rmq_json_key(writer, "address");
    rmq_json_string(writer, files->address);
    put_number(writer, "epoch", epoch.number);
    put_number(writer, "lastPlanned", plan.number);
    put_number(writer, "lastDone", done.number);
    put_lock(files, writer);
    status = put_file(files, "meta", "meta.json", writer, err);
    if (status == RMQ_OK)
        status = put_newest(files, "epochOwner", "epoch", &epoch, writer, err);
    if (status == RMQ_OK)
        status = put_file(files, "floor", "floor", writer, err);
    if (status == RMQ_OK)
        status = put_newest(files, "plan", "plan", &plan, writer, err);
    if (status == RMQ_OK)
        status = put_newest(files, "state", "state", &state, writer, err);
    rmq_json_end_object(writer);
    return status;
}

rmq_status mill_checkpoint_describe(const char *address, char **out_json, rmq_error *err)
{
    mill_checkpoint_files files = {{NULL, NULL}, NULL};
    char *body = NULL;
    size_t len = 0;
    rmq_slice text;
    if (address == NULL || address[0] == '\0')
        return rmq_error_set(err, RMQ_INVAL, "the address of the checkpoint is empty");
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    rmq_status status = mill_store_open(address, false, &files.store, err);
    if (status != RMQ_OK)
        goto out;
    files.address = rmq_strdup(address);
    if (files.address == NULL) {
        status = rmq_error_set(err, RMQ_NOMEM, "out of memory");
        goto out;
    }
    status = mill_checkpoint_check_format(&files, err);
    if (status == RMQ_OK)
        status = mill_checkpoint_file_get(&files, "meta.json", &body, &len, err);
    if (status == RMQ_NOT_FOUND)
        status =
            rmq_error_set(err, RMQ_NOT_FOUND, "%s holds no checkpoint (no meta.json)", address);
    if (status == RMQ_OK)
        status = describe(&files, &writer, err);
    if (status == RMQ_OK)
        status = rmq_json_writer_finish(&writer, &text);
    if (status == RMQ_OK) {
        *out_json = rmq_slice_dup(text);
        status = *out_json != NULL ? RMQ_OK : RMQ_NOMEM;
    }
    if (status == RMQ_NOMEM)
        rmq_error_set(err, RMQ_NOMEM, "out of memory");
out:
    rmq_free(body);
    rmq_free(files.address);
    rmq_json_writer_deinit(&writer);
    if (files.store.vtable != NULL)
        mill_store_close(&files.store);
    return status;
}
