/* The journal: an append-only file of checksummed entries.
 *
 *   file   "MILLDEV1" entry entry ...
 *   entry  4 length of the payload, 1 type, 4 CRC-32 of these 5 bytes, 4 CRC-32 of the payload,
 *          payload                                                              (big-endian)
 *
 * Entries are gathered in memory while requests are handled and written in one go before any of
 * their answers leaves (see rmq_dev_settle). There is no fsync: what was answered survives the
 * death of the process, kill -9 included, not that of the machine. A development broker needs no
 * more.
 *
 * An entry that is cut short at the end of the file was being written when the process died and was
 * never answered: it is cut off. A broken entry is CORRUPT and stops the start: forgetting messages
 * silently would be worse (a length that lies has a wrong checksum, and is not taken for a torn
 * tail). The file only grows; delete the directory to begin
 * anew.
 *
 * A failed write leaves the file's end unknown, so the file is cut back to its last good length and
 * the journal refuses everything from then on. */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cursor.h"
#include "record.h"

#define MAGIC "MILLDEV1"
#define MAGIC_BYTES 8
#define ENTRY_HEADER_BYTES 13
#define ENTRY_SUMMED_BYTES 5
#define ENTRY_MAX_BYTES (32u * 1024 * 1024)
#define PENDING_COMMIT_BYTES (1u * 1024 * 1024)
#define READ_BYTES (1u * 1024 * 1024)

enum entry_type {
    ENTRY_TOPIC = 'T',
    ENTRY_TOPIC_DELETE = 't',
    ENTRY_MESSAGE = 'M',
    ENTRY_DELETE_BELOW = 'B',
    ENTRY_DELETE_FROM = 'F',
    ENTRY_GROUP = 'G',
    ENTRY_GROUP_DELETE = 'g',
    ENTRY_OFFSET = 'O',
    ENTRY_HALF_DECIDED = 'H'
};

struct rmq_dev_journal {
    int fd;
    int64_t file_bytes; /* what is known to be written */
    bool failed;
    rmq_buf pending;
    size_t last_entry_at; /* in pending */
};

/* ---- writing ---- */

static rmq_status refuse(rmq_error *err)
{
    return rmq_error_set(err, RMQ_IO, "the directory could not be written before");
}

rmq_status rmq_dev_journal_commit(rmq_dev_journal *journal, rmq_error *err)
{
    size_t done = 0;
    while (done < journal->pending.len) {
        ssize_t n = write(journal->fd, journal->pending.data + done, journal->pending.len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int write_errno = n < 0 ? errno : ENOSPC;
            journal->failed = true;
            rmq_buf_clear(&journal->pending);
            if (ftruncate(journal->fd, (off_t)journal->file_bytes) != 0)
                return rmq_error_set_errno(err, errno, "journal: can't write, nor cut it back");
            return rmq_error_set_errno(err, write_errno, "journal: can't write");
        }
        done += (size_t)n;
    }
    journal->file_bytes += (int64_t)done;
    rmq_buf_clear(&journal->pending);
    return RMQ_OK;
}

static rmq_status entry_begin(rmq_dev_journal *journal, enum entry_type type, rmq_error *err)
{
    if (journal->failed)
        return refuse(err);
    if (journal->pending.len >= PENDING_COMMIT_BYTES) {
        rmq_status status = rmq_dev_journal_commit(journal, err);
        if (status != RMQ_OK)
            return status;
    }
    journal->last_entry_at = journal->pending.len;
    rmq_buf_append_u32(&journal->pending, 0);
    rmq_buf_append_u8(&journal->pending, (uint8_t)type);
    rmq_buf_append_u32(&journal->pending, 0);
    rmq_buf_append_u32(&journal->pending, 0);
    return RMQ_OK;
}

static rmq_status entry_end(rmq_dev_journal *journal, rmq_error *err)
{
    rmq_buf *pending = &journal->pending;
    if (pending->failed != RMQ_OK) {
        rmq_dev_journal_undo(journal);
        pending->failed = RMQ_OK;
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a journal entry");
    }
    size_t at = journal->last_entry_at;
    size_t payload = pending->len - at - ENTRY_HEADER_BYTES;
    const char *entry = (const char *)pending->data + at;
    rmq_buf_patch_u32(pending, at, (uint32_t)payload);
    rmq_buf_patch_u32(pending, at + 5, rmq_body_crc((rmq_slice){entry, ENTRY_SUMMED_BYTES}));
    rmq_buf_patch_u32(pending, at + 9,
                      rmq_body_crc((rmq_slice){entry + ENTRY_HEADER_BYTES, payload}));
    return RMQ_OK;
}

static void append_string(rmq_buf *out, rmq_slice string)
{
    rmq_buf_append_u16(out, (uint16_t)string.len);
    rmq_buf_append_slice(out, string);
}

static void append_range(rmq_buf *out, const rmq_dev_journal_range *range)
{
    append_string(out, range->topic);
    rmq_buf_append_u32(out, (uint32_t)range->queue_id);
    rmq_buf_append_u64(out, (uint64_t)range->offset);
}

rmq_status rmq_dev_journal_topic(rmq_dev_journal *journal, const rmq_dev_topic_spec *spec,
                                 rmq_error *err)
{
    rmq_status status = entry_begin(journal, ENTRY_TOPIC, err);
    if (status != RMQ_OK)
        return status;
    append_string(&journal->pending, spec->name);
    rmq_buf_append_u32(&journal->pending, (uint32_t)spec->read_queues);
    rmq_buf_append_u32(&journal->pending, (uint32_t)spec->write_queues);
    rmq_buf_append_u32(&journal->pending, (uint32_t)spec->perm);
    rmq_buf_append_u32(&journal->pending, (uint32_t)spec->sys_flag);
    rmq_buf_append_u8(&journal->pending, spec->order);
    rmq_buf_append_u8(&journal->pending, spec->system);
    return entry_end(journal, err);
}

static rmq_status add_name(rmq_dev_journal *journal, enum entry_type type, rmq_slice name,
                           rmq_error *err)
{
    rmq_status status = entry_begin(journal, type, err);
    if (status != RMQ_OK)
        return status;
    append_string(&journal->pending, name);
    return entry_end(journal, err);
}

rmq_status rmq_dev_journal_topic_delete(rmq_dev_journal *journal, rmq_slice name, rmq_error *err)
{
    return add_name(journal, ENTRY_TOPIC_DELETE, name, err);
}

rmq_status rmq_dev_journal_group(rmq_dev_journal *journal, rmq_slice name, bool deleted,
                                 rmq_error *err)
{
    return add_name(journal, deleted ? ENTRY_GROUP_DELETE : ENTRY_GROUP, name, err);
}

rmq_status rmq_dev_journal_message(rmq_dev_journal *journal, rmq_slice record, rmq_error *err)
{
    rmq_status status = entry_begin(journal, ENTRY_MESSAGE, err);
    if (status != RMQ_OK)
        return status;
    rmq_buf_append_slice(&journal->pending, record);
    return entry_end(journal, err);
}

rmq_status rmq_dev_journal_delete(rmq_dev_journal *journal, bool below,
                                  const rmq_dev_journal_range *range, rmq_error *err)
{
    rmq_status status = entry_begin(journal, below ? ENTRY_DELETE_BELOW : ENTRY_DELETE_FROM, err);
    if (status != RMQ_OK)
        return status;
    append_range(&journal->pending, range);
    return entry_end(journal, err);
}

rmq_status rmq_dev_journal_offset(rmq_dev_journal *journal, rmq_slice group,
                                  const rmq_dev_journal_range *range, rmq_error *err)
{
    rmq_status status = entry_begin(journal, ENTRY_OFFSET, err);
    if (status != RMQ_OK)
        return status;
    append_string(&journal->pending, group);
    append_range(&journal->pending, range);
    return entry_end(journal, err);
}

rmq_status rmq_dev_journal_half_decided(rmq_dev_journal *journal, int64_t offset, rmq_error *err)
{
    rmq_status status = entry_begin(journal, ENTRY_HALF_DECIDED, err);
    if (status != RMQ_OK)
        return status;
    rmq_buf_append_u64(&journal->pending, (uint64_t)offset);
    return entry_end(journal, err);
}

void rmq_dev_journal_undo(rmq_dev_journal *journal)
{
    journal->pending.len = journal->last_entry_at;
}

/* ---- reading ---- */

static rmq_slice read_string(rmq_cursor *cursor)
{
    return rmq_cursor_bytes(cursor, rmq_cursor_u16(cursor));
}

static void read_range(rmq_cursor *cursor, rmq_dev_journal_range *out_range)
{
    out_range->topic = read_string(cursor);
    out_range->queue_id = (int32_t)rmq_cursor_u32(cursor);
    out_range->offset = (int64_t)rmq_cursor_u64(cursor);
}

static rmq_status replay_topic(const rmq_dev_journal_reader *reader, rmq_cursor *cursor,
                               rmq_error *err)
{
    rmq_dev_topic_spec spec = {.name = read_string(cursor)};
    spec.read_queues = (int32_t)rmq_cursor_u32(cursor);
    spec.write_queues = (int32_t)rmq_cursor_u32(cursor);
    spec.perm = (int32_t)rmq_cursor_u32(cursor);
    spec.sys_flag = (int32_t)rmq_cursor_u32(cursor);
    spec.order = rmq_cursor_u8(cursor) != 0;
    spec.system = rmq_cursor_u8(cursor) != 0;
    if (!rmq_cursor_ok(cursor) || spec.read_queues < 0 || spec.write_queues < 0)
        return rmq_error_set(err, RMQ_CORRUPT, "a topic's entry is broken");
    return reader->topic(reader->ctx, &spec, err);
}

static rmq_status replay_entry(const rmq_dev_journal_reader *reader, uint8_t type,
                               rmq_slice payload, rmq_error *err)
{
    rmq_cursor cursor = rmq_cursor_of(payload.data, payload.len);
    rmq_dev_journal_range range;
    rmq_slice name;
    switch (type) {
    case ENTRY_TOPIC:
        return replay_topic(reader, &cursor, err);
    case ENTRY_MESSAGE:
        return reader->message(reader->ctx, payload, err);
    case ENTRY_TOPIC_DELETE:
    case ENTRY_GROUP:
    case ENTRY_GROUP_DELETE:
        name = read_string(&cursor);
        if (!rmq_cursor_ok(&cursor))
            break;
        if (type == ENTRY_TOPIC_DELETE)
            return reader->topic_delete(reader->ctx, name, err);
        return reader->group(reader->ctx, name, type == ENTRY_GROUP_DELETE, err);
    case ENTRY_DELETE_BELOW:
    case ENTRY_DELETE_FROM:
        read_range(&cursor, &range);
        if (!rmq_cursor_ok(&cursor))
            break;
        return reader->messages_delete(reader->ctx, type == ENTRY_DELETE_BELOW, &range, err);
    case ENTRY_OFFSET:
        name = read_string(&cursor);
        read_range(&cursor, &range);
        if (!rmq_cursor_ok(&cursor))
            break;
        return reader->offset(reader->ctx, name, &range, err);
    case ENTRY_HALF_DECIDED:
        range.offset = (int64_t)rmq_cursor_u64(&cursor);
        if (!rmq_cursor_ok(&cursor))
            break;
        return reader->half_decided(reader->ctx, range.offset, err);
    default:
        break;
    }
    return rmq_error_set(err, RMQ_CORRUPT, "an entry of type %u is broken or unknown", type);
}

/* What stands at the start of `bytes`: an entry of *out_len bytes (OK), the beginning of one
 * (AGAIN), or something else (CORRUPT). */
static rmq_status entry_check(rmq_slice bytes, size_t *out_len, rmq_error *err)
{
    rmq_cursor cursor = rmq_cursor_of(bytes.data, bytes.len);
    size_t payload = rmq_cursor_u32(&cursor);
    rmq_cursor_skip(&cursor, 1);
    uint32_t header_crc = rmq_cursor_u32(&cursor);
    uint32_t payload_crc = rmq_cursor_u32(&cursor);
    if (!rmq_cursor_ok(&cursor))
        return RMQ_AGAIN;
    if (rmq_body_crc((rmq_slice){bytes.data, ENTRY_SUMMED_BYTES}) != header_crc ||
        payload > ENTRY_MAX_BYTES)
        return rmq_error_set(err, RMQ_CORRUPT, "a header's checksum is wrong");
    if (rmq_cursor_left(&cursor) < payload)
        return RMQ_AGAIN;
    if (rmq_body_crc((rmq_slice){bytes.data + ENTRY_HEADER_BYTES, payload}) != payload_crc)
        return rmq_error_set(err, RMQ_CORRUPT, "a checksum is wrong");
    *out_len = ENTRY_HEADER_BYTES + payload;
    return RMQ_OK;
}

/* Handles the whole entries of `buffer` and takes them out of it. */
static rmq_status replay_buffer(rmq_dev_journal *journal, rmq_buf *buffer,
                                const rmq_dev_journal_reader *reader, rmq_error *err)
{
    size_t at = 0;
    rmq_status status = RMQ_OK;
    while (status == RMQ_OK) {
        rmq_slice rest = {(const char *)buffer->data + at, buffer->len - at};
        size_t len = 0;
        status = entry_check(rest, &len, err);
        if (status == RMQ_OK)
            status = replay_entry(
                reader, (uint8_t)rest.data[4],
                (rmq_slice){rest.data + ENTRY_HEADER_BYTES, len - ENTRY_HEADER_BYTES}, err);
        if (status == RMQ_OK) {
            at += len;
            journal->file_bytes += (int64_t)len;
        }
    }
    if (status != RMQ_AGAIN) {
        rmq_error_wrap(err, "journal entry at byte %lld", (long long)journal->file_bytes);
        return status;
    }
    if (at > 0) {
        memmove(buffer->data, buffer->data + at, buffer->len - at);
        buffer->len -= at;
    }
    return RMQ_OK;
}

static rmq_status read_some(int fd, rmq_buf *buffer, size_t *out_read, rmq_error *err)
{
    uint8_t *space = rmq_buf_extend(buffer, READ_BYTES);
    if (space == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory to read the journal");
    ssize_t n;
    do {
        n = read(fd, space, READ_BYTES);
    } while (n < 0 && errno == EINTR);
    buffer->len -= READ_BYTES - (n > 0 ? (size_t)n : 0);
    if (n < 0)
        return rmq_error_set_errno(err, errno, "journal: can't read");
    *out_read = (size_t)n;
    return RMQ_OK;
}

static rmq_status replay(rmq_dev_journal *journal, const rmq_dev_journal_reader *reader,
                         rmq_error *err)
{
    rmq_buf buffer;
    rmq_buf_init(&buffer, ENTRY_MAX_BYTES + 2 * READ_BYTES);
    rmq_status status = RMQ_OK;
    size_t n = 0;
    do {
        status = read_some(journal->fd, &buffer, &n, err);
        if (status == RMQ_OK && journal->file_bytes == 0 && buffer.len >= MAGIC_BYTES) {
            if (memcmp(buffer.data, MAGIC, MAGIC_BYTES) != 0) {
                status = rmq_error_set(err, RMQ_CORRUPT, "the file is no journal");
                break;
            }
            journal->file_bytes = MAGIC_BYTES;
            memmove(buffer.data, buffer.data + MAGIC_BYTES, buffer.len - MAGIC_BYTES);
            buffer.len -= MAGIC_BYTES;
        }
        if (status == RMQ_OK && journal->file_bytes > 0)
            status = replay_buffer(journal, &buffer, reader, err);
    } while (status == RMQ_OK && n > 0);
    rmq_buf_deinit(&buffer);
    return status;
}

/* Cuts the torn tail, and writes the magic into a new file. */
static rmq_status finish_open(rmq_dev_journal *journal, rmq_error *err)
{
    if (ftruncate(journal->fd, (off_t)journal->file_bytes) != 0)
        return rmq_error_set_errno(err, errno, "journal: can't cut the torn tail");
    if (journal->file_bytes > 0)
        return RMQ_OK;
    rmq_buf_append(&journal->pending, MAGIC, MAGIC_BYTES);
    if (journal->pending.failed != RMQ_OK)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for the journal");
    return rmq_dev_journal_commit(journal, err);
}

static rmq_status open_file(const char *directory, int *out_fd, rmq_error *err)
{
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return rmq_error_set_errno(err, errno, "can't make %s", directory);
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/journal", directory) >= (int)sizeof(path))
        return rmq_error_set(err, RMQ_INVAL, "%s is too long a name", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return rmq_error_set_errno(err, errno, "can't open %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return rmq_error_set(err, RMQ_LOCKED, "another process uses %s", directory);
    }
    *out_fd = fd;
    return RMQ_OK;
}

rmq_status rmq_dev_journal_open(const char *directory, const rmq_dev_journal_reader *reader,
                                rmq_dev_journal **out_journal, rmq_error *err)
{
    rmq_dev_journal *journal = rmq_calloc(1, sizeof(*journal));
    if (journal == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for the journal");
    journal->fd = -1;
    rmq_buf_init(&journal->pending, 2 * ENTRY_MAX_BYTES);
    rmq_status status = open_file(directory, &journal->fd, err);
    if (status != RMQ_OK)
        goto out;
    status = replay(journal, reader, err);
    if (status == RMQ_OK)
        status = finish_open(journal, err);
out:
    if (status != RMQ_OK) {
        rmq_error_wrap(err, "%s", directory);
        rmq_dev_journal_close(journal);
        return status;
    }
    *out_journal = journal;
    return RMQ_OK;
}

void rmq_dev_journal_close(rmq_dev_journal *journal)
{
    if (journal == NULL)
        return;
    if (journal->fd >= 0) {
        rmq_status ignored = rmq_dev_journal_commit(journal, NULL);
        (void)ignored;
        close(journal->fd);
    }
    rmq_buf_deinit(&journal->pending);
    rmq_free(journal);
}
