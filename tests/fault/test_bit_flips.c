/* Every bit of recorded pull answers is flipped in memory, and the answer goes the whole way:
 * frame, header, opaque, the judge of pulls, records, checksums, gaps. It comes to an error, to a
 * message with a body_status, or to the right rows, as far as the protocol lets it.
 *
 * A record's checksum covers its stored body only. Topic, queue, offset and all lengths are
 * compared with what was asked and with each other. What is left has nothing to be compared with:
 * properties, times, hosts, flags, the place in the commit log, the number of deliveries. Flips
 * there that are not found are counted by field and printed; one anywhere else fails the test.
 * (docs/protocol.md 5.1 has the list.) */
#include "../support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../lib/pull_judge.h"
#include "../../lib/read_batch.h"
#include "../../proto/record.h"

typedef enum field {
    FIELD_TOPIC = 0,
    FIELD_QUEUE,
    FIELD_OFFSET,
    FIELD_BODY,
    FIELD_COUNT,
    N_CHECKED, /* of those before it no flip may pass */
    FIELD_PROPERTIES = N_CHECKED,
    FIELD_FLAG,
    FIELD_SYS_FLAG,
    FIELD_BORN_TIME,
    FIELD_STORE_TIME,
    FIELD_HOSTS,
    FIELD_PHYSICAL,
    FIELD_DELIVERIES,
    FIELD_PREPARED,
    N_FIELDS
} field;

static const char *const field_names[N_FIELDS] = {"topic",
                                                  "queue",
                                                  "offset",
                                                  "body",
                                                  "number of messages",
                                                  "properties",
                                                  "flag",
                                                  "sysFlag",
                                                  "born time",
                                                  "store time",
                                                  "hosts",
                                                  "commit log place",
                                                  "deliveries",
                                                  "prepared offset"};

typedef struct tally {
    int64_t n_flips;
    int64_t n_refused;  /* an error, or an answer that brings nothing */
    int64_t n_bad_rows; /* a message whose body_status says so */
    int64_t n_right;
    int64_t passed[N_FIELDS];
    char first_wrong[200];
} tally;

/* What was asked. */
typedef struct asked {
    int32_t opaque;
    int64_t from;
    int64_t to;
    char topic[128];
    int32_t queue_id;
} asked;

static bool same(rmq_slice left, rmq_slice right)
{
    return left.len == right.len && (left.len == 0 || memcmp(left.data, right.data, left.len) == 0);
}

/* Decodes as the client does; false if it would not come to rows. */
static bool decode(rmq_slice bytes, const asked *what, rmq_batch **out_batch)
{
    rmq_error err;
    rmq_answer answer;
    rmq_pull_verdict verdict;
    rmq_read_doubt doubt;
    int64_t end;
    bool good = false;
    *out_batch = NULL;
    if (rmq_frame_from_bytes(bytes.data, bytes.len, &answer.frame, &err) != RMQ_OK)
        return false;
    if (rmq_command_decode(answer.frame, &answer.command, &err) != RMQ_OK) {
        rmq_frame_unref(answer.frame);
        return false;
    }
    if (rmq_command_is_response(&answer.command) && answer.command.opaque == what->opaque) {
        rmq_pull_judge(&answer, what->from, "test", &verdict, &err);
        const rmq_chunk chunk = {.frame = answer.frame,
                                 .body = answer.command.body,
                                 .from = what->from,
                                 .to = verdict.next_offset < what->to ? verdict.next_offset
                                                                      : what->to,
                                 .offset_delta = verdict.offset_delta};
        const rmq_read_rules rules = {.queue = {what->topic, "b", what->queue_id},
                                      .dense = true,
                                      .max_body_bytes = 1 << 20,
                                      .max_records = 65536,
                                      .max_batch_bytes = 1 << 20};
        good = verdict.meaning == RMQ_PULL_RECORDS &&
               rmq_read_batch(&rules, &chunk, out_batch, &end, &doubt, &err) == RMQ_OK;
        if (good && doubt.gap) { /* read again, and DATA_LOSS if it stays */
            rmq_batch_unref(*out_batch);
            *out_batch = NULL;
            good = false;
        }
    }
    rmq_command_deinit(&answer.command);
    rmq_frame_unref(answer.frame);
    return good;
}

static void compare(const rmq_message *got, const rmq_message *right, bool out_differs[N_FIELDS])
{
    out_differs[FIELD_TOPIC] = !same(got->topic, right->topic);
    out_differs[FIELD_QUEUE] = got->queue_id != right->queue_id;
    out_differs[FIELD_OFFSET] = got->queue_offset != right->queue_offset;
    out_differs[FIELD_BODY] = !same(got->body, right->body);
    out_differs[FIELD_PROPERTIES] = !same(got->properties, right->properties);
    out_differs[FIELD_FLAG] = got->flag != right->flag;
    out_differs[FIELD_SYS_FLAG] = got->sys_flag != right->sys_flag;
    out_differs[FIELD_BORN_TIME] = got->born_timestamp_ms != right->born_timestamp_ms;
    out_differs[FIELD_STORE_TIME] = got->store_timestamp_ms != right->store_timestamp_ms;
    out_differs[FIELD_HOSTS] =
        memcmp(got->born_host.address, right->born_host.address, 16) != 0 ||
        got->born_host.port != right->born_host.port ||
        memcmp(got->store_host.address, right->store_host.address, 16) != 0 ||
        got->store_host.port != right->store_host.port;
    out_differs[FIELD_PHYSICAL] = got->physical_offset != right->physical_offset;
    out_differs[FIELD_DELIVERIES] = got->reconsume_times != right->reconsume_times;
    out_differs[FIELD_PREPARED] =
        got->prepared_transaction_offset != right->prepared_transaction_offset;
}

static void judge(tally *sum, size_t bit, const rmq_batch *got, const rmq_batch *right)
{
    bool differs[N_FIELDS] = {false};
    bool bad_row = false;
    /* Fewer are right, too: nextBeginOffset said so, and the rest is asked for from there. */
    differs[FIELD_COUNT] = rmq_batch_count(got) > rmq_batch_count(right);
    for (size_t i = 0; i < rmq_batch_count(got) && !differs[FIELD_COUNT]; i++) {
        bool here[N_FIELDS] = {false};
        const rmq_message *message = rmq_batch_at(got, i);
        compare(message, rmq_batch_at(right, i), here);
        bad_row = bad_row || message->body_status != RMQ_OK;
        if (message->body_status != RMQ_OK)
            here[FIELD_BODY] = false; /* it says that it is not right */
        for (int f = 0; f < N_FIELDS; f++)
            differs[f] = differs[f] || here[f];
    }
    bool any = false;
    for (int f = 0; f < N_FIELDS; f++) {
        any = any || differs[f];
        if (differs[f] && !(bad_row && f == FIELD_SYS_FLAG))
            sum->passed[f]++;
        if (differs[f] && f < N_CHECKED && sum->first_wrong[0] == '\0')
            snprintf(sum->first_wrong, sizeof(sum->first_wrong), "bit %zu of byte %zu: another %s",
                     bit % 8, bit / 8, field_names[f]);
    }
    sum->n_bad_rows += bad_row;
    sum->n_right += !any && !bad_row;
}

/* Everything about the clean answer; its rows. */
static rmq_batch *prepare(rmq_slice bytes, asked *out_asked)
{
    rmq_error err;
    rmq_frame *frame;
    rmq_command command;
    rmq_batch *batch = NULL;
    const rmq_decode_options all = {.end_offset = INT64_MAX};
    ck_ok(rmq_frame_from_bytes(bytes.data, bytes.len, &frame, &err), &err);
    ck_ok(rmq_command_decode(frame, &command, &err), &err);
    ck_ok(rmq_batch_decode(command.body, frame, &all, &batch, &err), &err);
    ck_assert_uint_gt(rmq_batch_count(batch), 0);
    const rmq_message *first = rmq_batch_at(batch, 0);
    *out_asked =
        (asked){.opaque = command.opaque, .from = first->queue_offset, .queue_id = first->queue_id};
    ck_assert(rmq_command_get_int64(&command, "nextBeginOffset", &out_asked->to));
    snprintf(out_asked->topic, sizeof(out_asked->topic), "%.*s", (int)first->topic.len,
             first->topic.data);
    rmq_command_deinit(&command);
    rmq_frame_unref(frame);
    rmq_batch_unref(batch);
    ck_assert_msg(decode(bytes, out_asked, &batch), "the clean answer comes to no rows");
    return batch;
}

/* Flips each bit; with `mend_checksums` as if the client did not compare them. */
static tally flip_all(uint8_t *data, size_t len, size_t from_byte, bool with_checksum)
{
    tally sum = {.n_flips = 0};
    asked what;
    rmq_batch *right = prepare((rmq_slice){(const char *)data, len}, &what);
    for (size_t bit = from_byte * 8; bit < len * 8; bit++) {
        rmq_batch *got = NULL;
        data[bit / 8] ^= (uint8_t)(0x80u >> bit % 8);
        sum.n_flips++;
        if (decode((rmq_slice){(const char *)data, len}, &what, &got))
            judge(&sum, bit, got, right);
        else
            sum.n_refused++;
        if (!with_checksum && got != NULL && rmq_batch_at(got, 0)->body_status == RMQ_CORRUPT &&
            !same(rmq_batch_at(got, 0)->body, rmq_batch_at(right, 0)->body))
            sum.passed[FIELD_BODY]++;
        rmq_batch_unref(got);
        data[bit / 8] ^= (uint8_t)(0x80u >> bit % 8);
    }
    rmq_batch_unref(right);
    return sum;
}

static const char *const recorded[] = {"pull_resp_rocketmq", "pull_resp_zlib_and_batch",
                                       "pull_resp_committed_tx"};
#define N_RECORDED ((int)(sizeof(recorded) / sizeof(recorded[0])))

static void report(const char *name, const tally *sum)
{
    printf("# %s: %lld flips, %lld refused, %lld bad rows, %lld without effect; not to be found:",
           name, (long long)sum->n_flips, (long long)sum->n_refused, (long long)sum->n_bad_rows,
           (long long)sum->n_right);
    for (int f = N_CHECKED; f < N_FIELDS; f++) {
        if (sum->passed[f] > 0)
            printf(" %s %lld", field_names[f], (long long)sum->passed[f]);
    }
    printf("\n");
    fflush(stdout);
}

static void must_be_found(const char *name, const tally *sum)
{
    report(name, sum);
    for (int f = 0; f < N_CHECKED; f++)
        ck_assert_msg(sum->passed[f] == 0, "%s: %lld flips gave a wrong %s; %s", name,
                      (long long)sum->passed[f], field_names[f], sum->first_wrong);
    ck_assert_int_gt(sum->n_refused, sum->n_flips / 4);
}

START_TEST(every_bit_of_an_official_answer)
{
    uint8_t *data;
    size_t len;
    golden_load(recorded[_i], &data, &len);
    tally sum = flip_all(data, len, 0, true);
    must_be_found(recorded[_i], &sum);
    free(data);
}
END_TEST

/* An answer with one record of each kind, made here. */
static void add(rmq_buf *body, int64_t offset, rmq_compression compression, const char *properties)
{
    rmq_buf stored;
    rmq_error err;
    char text[400];
    memset(text, 'a' + (int)offset, sizeof(text));
    rmq_buf_init(&stored, 1 << 20);
    rmq_message message = {.topic = {"Topic", 5},
                           .queue_id = 3,
                           .queue_offset = offset,
                           .sys_flag = rmq_compression_sys_flag(compression),
                           .born_timestamp_ms = 1700000000000,
                           .store_timestamp_ms = 1700000000001,
                           .born_host = {.address_bytes = 4},
                           .store_host = {.address_bytes = 4},
                           .properties = rmq_slice_of(properties),
                           .body = {text, compression == RMQ_COMPRESSION_NONE ? 40 : sizeof(text)}};
    if (compression != RMQ_COMPRESSION_NONE) {
        ck_ok(rmq_body_compress(NULL, compression, message.body, &stored, &err), &err);
        message.body = (rmq_slice){(const char *)stored.data, stored.len};
    }
    rmq_record_encode(&message, body);
    rmq_buf_deinit(&stored);
}

START_TEST(every_bit_of_all_kinds)
{
    static const rmq_compression kinds[] = {RMQ_COMPRESSION_NONE, RMQ_COMPRESSION_ZLIB,
                                            RMQ_COMPRESSION_LZ4, RMQ_COMPRESSION_ZSTD};
    rmq_buf body;
    rmq_buf frame;
    rmq_error err;
    rmq_command answer;
    rmq_buf_init(&body, 1 << 20);
    rmq_buf_init(&frame, 1 << 20);
    int64_t offset = 10;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (rmq_compression_available(kinds[i]))
            add(&body, offset++, kinds[i], "TAGS\001Aa\002KEYS\001k1 k2\002user\001value");
    }
    char next[32];
    snprintf(next, sizeof(next), "%lld", (long long)offset);
    rmq_command_init(&answer, 0);
    answer.flag = RMQ_FLAG_RESPONSE;
    answer.opaque = 77;
    answer.body = (rmq_slice){(const char *)body.data, body.len};
    rmq_command_set(&answer, "nextBeginOffset", next);
    rmq_command_set(&answer, "minOffset", "0");
    rmq_command_set(&answer, "maxOffset", next);
    ck_ok(rmq_command_encode(&answer, _i, &frame, &err), &err);
    tally sum = flip_all(frame.data, frame.len, 0, true);
    must_be_found(_i == 0 ? "all kinds, JSON header" : "all kinds, binary header", &sum);
    rmq_command_deinit(&answer);
    rmq_buf_deinit(&frame);
    rmq_buf_deinit(&body);
}
END_TEST

/* Without the checksum the same flips give wrong bodies: it is what finds them. */
START_TEST(control_checksum_is_what_finds_them)
{
    uint8_t *data;
    size_t len;
    golden_load("pull_resp_rocketmq", &data, &len);
    tally sum = flip_all(data, len, 0, false);
    ck_assert_int_ge(sum.passed[FIELD_BODY], 5 * 8); /* the body is "hello" */
    free(data);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("bit_flips");
    TCase *tcase = tcase_create("flips");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, every_bit_of_an_official_answer, 0, N_RECORDED);
    tcase_add_loop_test(tcase, every_bit_of_all_kinds, 0, 2);
    tcase_add_test(tcase, control_checksum_is_what_finds_them);
    suite_add_tcase(suite, tcase);
    return suite;
}
