/* The envelope of a checkpoint file: a body, and one last line with its CRC-32.
 *
 *   {"batchId":3,...}\n
 *   crc32 5f3a0c11\n
 *
 * The line ends the file, so a file that was cut anywhere lacks it, and one byte that changed makes
 * it wrong. A file that fails the check stops the job: going on without it would mean to guess an
 * offset. It is never repaired or skipped here. */
#include "checkpoint_file.h"

#include <mill/context.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#define CHECKSUM_LINE_BYTES 16 /* "\ncrc32 xxxxxxxx\n" */

static uint32_t checksum(const char *bytes, size_t len)
{
    uLong crc = crc32_z(0L, Z_NULL, 0);
    if (len > 0)
        crc = crc32_z(crc, (const Bytef *)bytes, len);
    return (uint32_t)crc;
}

static rmq_status corrupt(const mill_checkpoint_files *files, const char *name, const char *what,
                          rmq_error *err)
{
    return rmq_error_set(err, RMQ_CORRUPT,
                         "checkpoint file %s in %s: %s; put it back from a copy of the checkpoint, "
                         "or start a new checkpoint from the sink's offsets (adopt_sink, "
                         "--adopt-sink)",
                         name, files->address, what);
}

rmq_status mill_checkpoint_file_wrap(const mill_checkpoint_files *files, const char *name,
                                     rmq_status status, rmq_error *err)
{
    if (status != RMQ_CORRUPT)
        return status;
    char what[RMQ_ERROR_TEXT_BYTES] = "it can't be read";
    if (err != NULL)
        snprintf(what, sizeof(what), "%s", err->text);
    return corrupt(files, name, what, err);
}

static bool line_matches(const char *line, uint32_t crc)
{
    char wanted[CHECKSUM_LINE_BYTES + 1];
    snprintf(wanted, sizeof(wanted), "\ncrc32 %08x\n", crc);
    return memcmp(line, wanted, CHECKSUM_LINE_BYTES) == 0;
}

rmq_status mill_checkpoint_file_get(const mill_checkpoint_files *files, const char *name,
                                    char **out_body, size_t *out_len, rmq_error *err)
{
    char *bytes = NULL;
    size_t len = 0;
    rmq_status status = files->store.vtable->get(files->store.self, name, &bytes, &len, err);
    if (status != RMQ_OK)
        return status;
    const char *what = NULL;
    if (len < CHECKSUM_LINE_BYTES || memcmp(bytes + len - CHECKSUM_LINE_BYTES, "\ncrc32 ", 7) != 0)
        what = "its last line is no checksum: it was cut or changed";
    else if (!line_matches(bytes + len - CHECKSUM_LINE_BYTES,
                           checksum(bytes, len - CHECKSUM_LINE_BYTES)))
        what = "its checksum is wrong";
    if (what != NULL) {
        rmq_free(bytes);
        return corrupt(files, name, what, err);
    }
    len -= CHECKSUM_LINE_BYTES;
    bytes[len] = '\0';
    *out_body = bytes;
    *out_len = len;
    return RMQ_OK;
}

typedef rmq_status (*store_write)(void *self, const char *name, rmq_slice bytes, rmq_error *err);

/* Writes body and line, in one piece of memory. */
static rmq_status write_sealed(const mill_checkpoint_files *files, store_write write,
                               const char *name, rmq_slice body, rmq_error *err)
{
    char *bytes = rmq_malloc(body.len + CHECKSUM_LINE_BYTES + 1);
    if (bytes == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory for a checkpoint file of %zu bytes",
                             body.len);
    if (body.len > 0)
        memcpy(bytes, body.data, body.len);
    snprintf(bytes + body.len, CHECKSUM_LINE_BYTES + 1, "\ncrc32 %08x\n",
             checksum(body.data, body.len));
    rmq_slice file = {bytes, body.len + CHECKSUM_LINE_BYTES};
    rmq_status status = write(files->store.self, name, file, err);
    rmq_free(bytes);
    return status;
}

static rmq_status write_json(const mill_checkpoint_files *files, store_write write,
                             const char *name, rmq_json_writer *writer, rmq_error *err)
{
    rmq_slice body;
    if (rmq_json_writer_finish(writer, &body) != RMQ_OK)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory for checkpoint file %s", name);
    return write_sealed(files, write, name, body, err);
}

rmq_status mill_checkpoint_file_put(const mill_checkpoint_files *files, const char *name,
                                    rmq_slice body, rmq_error *err)
{
    return write_sealed(files, files->store.vtable->put_if_absent, name, body, err);
}

rmq_status mill_checkpoint_json_put(const mill_checkpoint_files *files, const char *name,
                                    rmq_json_writer *writer, rmq_error *err)
{
    return write_json(files, files->store.vtable->put_if_absent, name, writer, err);
}

rmq_status mill_checkpoint_json_replace(const mill_checkpoint_files *files, const char *name,
                                        rmq_json_writer *writer, rmq_error *err)
{
    return write_json(files, files->store.vtable->replace, name, writer, err);
}

/* Looked at before the checksum, which may be another one in a newer format. */
rmq_status mill_checkpoint_check_format(const mill_checkpoint_files *files, rmq_error *err)
{
    char *bytes = NULL;
    size_t len = 0;
    if (files->store.vtable->get(files->store.self, "meta.json", &bytes, &len, NULL) != RMQ_OK)
        return RMQ_OK;
    int64_t format = 0;
    rmq_json json;
    rmq_json_init(&json, (rmq_slice){bytes, len}, false);
    rmq_slice key;
    bool good = rmq_json_enter_object(&json);
    while (good && rmq_json_next_key(&json, &key))
        good = rmq_slice_equals(key, "format") ? rmq_json_read_int64(&json, &format)
                                               : rmq_json_skip(&json);
    rmq_json_deinit(&json);
    rmq_free(bytes);
    if (format <= MILL_CHECKPOINT_FORMAT)
        return RMQ_OK;
    return rmq_error_set(err, RMQ_UNSUPPORTED,
                         "checkpoint %s has format %lld, this version (%s) knows up to %d: use "
                         "the version that wrote it, or a newer one",
                         files->address, (long long)format, mill_version(), MILL_CHECKPOINT_FORMAT);
}
