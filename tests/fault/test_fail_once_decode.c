/* Every fallible call of the decoders and encoders fails once, over the golden vectors:
 * allocations, and the contexts of the compressors. What is decoded is written out again and summed
 * up; a run that says OK must come to the same sum as one without faults, so that nothing is left
 * out in silence (a body marked as broken because there was no memory to decompress it, say). */
#include "../support/support.h"
#include "fail_once.h"

#include <stdlib.h>
#include <string.h>

#include "../../proto/command.h"
#include "../../proto/heartbeat.h"
#include "../../proto/record.h"
#include "../../proto/route.h"
#include "../proto/golden_body.h"
#include "../proto/golden_commands.h"
#include <rmq/json.h>

#define POINTS_LEAST 300

static rmq_buf out; /* what was decoded, written again */
static uint64_t expected_sum;

static void begin(void)
{
    rmq_buf_init(&out, (size_t)1 << 24);
}

/* Ends a run: without an error the sum must be the usual one. */
static rmq_status finish(rmq_status status, rmq_error *err)
{
    uint64_t sum = 1469598103934665603u;
    for (size_t i = 0; i < out.len; i++)
        sum = (sum ^ out.data[i]) * 1099511628211u;
    if (status == RMQ_OK && out.failed != RMQ_OK)
        status = rmq_error_set(err, out.failed, "the buffer failed");
    if (status == RMQ_OK && expected_sum == 0)
        expected_sum = sum;
    if (status == RMQ_OK && sum != expected_sum)
        fail_once_wrong("what was decoded is not what is decoded without a fault");
    rmq_buf_deinit(&out);
    return status;
}

/* ---- frames ---- */

static uint8_t *vectors[128];
static size_t vector_lens[128];

static void load_frames(void)
{
    ck_assert_int_le(n_golden_commands, 128);
    for (int i = 0; i < n_golden_commands; i++)
        golden_load(golden_commands[i].name, &vectors[i], &vector_lens[i]);
}

static rmq_status again(const rmq_frame *frame, rmq_error *err)
{
    rmq_command command;
    rmq_status status = rmq_command_decode(frame, &command, err);
    if (status != RMQ_OK)
        return status;
    status = rmq_command_encode(&command, RMQ_SERIALIZATION_JSON, &out, err);
    if (status == RMQ_OK && command.code <= INT16_MAX) /* what fits into its header */
        status = rmq_command_encode(&command, RMQ_SERIALIZATION_BINARY, &out, err);
    rmq_command_deinit(&command);
    return status;
}

/* The vector comes in two parts. */
static rmq_status split(rmq_splitter *splitter, const uint8_t *data, size_t len, rmq_error *err)
{
    rmq_frame *frame = NULL;
    rmq_status status = RMQ_OK;
    for (size_t put = 0; put < len && status == RMQ_OK;) {
        uint8_t *space = NULL;
        size_t capacity = 0;
        status = rmq_splitter_space(splitter, &space, &capacity, err);
        if (status != RMQ_OK)
            break;
        size_t part = put == 0 ? len / 2 : len - put;
        part = part < capacity ? part : capacity;
        memcpy(space, data + put, part);
        rmq_splitter_filled(splitter, part);
        put += part;
        status = rmq_splitter_next(splitter, &frame, err);
        if (status == RMQ_AGAIN && put < len)
            status = RMQ_OK;
    }
    if (status == RMQ_OK && frame != NULL)
        status = again(frame, err);
    rmq_frame_unref(frame);
    return status;
}

static rmq_status frames(void *state, rmq_error *err)
{
    (void)state;
    begin();
    rmq_status status = RMQ_OK;
    rmq_splitter *splitter = rmq_splitter_new(RMQ_FRAME_MAX_BYTES_DEFAULT);
    if (splitter == NULL)
        status = rmq_error_set(err, RMQ_NOMEM, "no splitter");
    for (int i = 0; i < n_golden_commands && status == RMQ_OK; i++)
        status = split(splitter, vectors[i], vector_lens[i], err);
    rmq_splitter_free(splitter);
    return finish(status, err);
}

/* ---- bodies ---- */

enum { STANDARD_ROUTE, LEGACY_ROUTE, CLUSTER, STATS, CONSUMERS, BEAT, LOCKS, LOCKED, N_BODIES };
static const char *const body_names[N_BODIES] = {
    "route_resp_standard_json", "route_resp_legacy_json", "cluster_info_resp", "topic_stats_resp",
    "consumer_list_resp",       "heartbeat_req",          "lock_batch_req",    "lock_batch_resp"};
static rmq_slice bodies[N_BODIES];
static uint8_t *body_memory[N_BODIES];

static void load_bodies(void)
{
    for (int i = 0; i < N_BODIES; i++)
        bodies[i] = golden_body(body_names[i], &body_memory[i]);
}

static void append_text(const char *text)
{
    rmq_buf_append(&out, text, strlen(text) + 1);
}

static rmq_status route_again(int which, rmq_error *err)
{
    rmq_route route = {0};
    rmq_status status = which == CLUSTER ? rmq_cluster_info_decode(bodies[which], &route, err)
                                         : rmq_route_decode(bodies[which], &route, err);
    if (status != RMQ_OK)
        return status;
    status = rmq_route_encode(&route, which == STANDARD_ROUTE, &out, err);
    rmq_route_deinit(&route);
    return status;
}

static rmq_status stats_again(rmq_error *err)
{
    rmq_topic_stat *stats = NULL;
    size_t count = 0;
    rmq_status status = rmq_topic_stats_decode(bodies[STATS], &stats, &count, err);
    if (status != RMQ_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        append_text(stats[i].topic);
        append_text(stats[i].broker_name);
        rmq_buf_append_u64(&out, (uint64_t)stats[i].max_offset);
    }
    rmq_topic_stats_free(stats, count);
    return RMQ_OK;
}

static rmq_status consumers_again(rmq_error *err)
{
    char **ids = NULL;
    size_t count = 0;
    rmq_status status = rmq_consumer_list_decode(bodies[CONSUMERS], &ids, &count, err);
    if (status != RMQ_OK)
        return status;
    for (size_t i = 0; i < count; i++)
        append_text(ids[i]);
    rmq_topic_list_free(ids, count);
    return RMQ_OK;
}

static rmq_status beat_again(rmq_error *err)
{
    rmq_heartbeat heartbeat = {0};
    rmq_status status = rmq_heartbeat_decode(bodies[BEAT], &heartbeat, err);
    if (status != RMQ_OK)
        return status;
    status = rmq_heartbeat_encode(&heartbeat, &out, err);
    rmq_heartbeat_deinit(&heartbeat);
    return status;
}

static rmq_status locks_again(rmq_error *err)
{
    rmq_lock_request request = {0};
    rmq_lock_queue *queues = NULL;
    size_t count = 0;
    rmq_status status = rmq_lock_request_decode(bodies[LOCKS], &request, err);
    if (status != RMQ_OK)
        return status;
    status = rmq_lock_request_encode(&request, &out, err);
    rmq_lock_request_deinit(&request);
    if (status == RMQ_OK)
        status = rmq_lock_response_decode(bodies[LOCKED], &queues, &count, err);
    if (status != RMQ_OK)
        return status;
    status = rmq_lock_response_encode(queues, count, &out, err);
    rmq_lock_queues_free(queues, count);
    return status;
}

static rmq_status all_bodies(void *state, rmq_error *err)
{
    (void)state;
    begin();
    rmq_status status = route_again(STANDARD_ROUTE, err);
    if (status == RMQ_OK)
        status = route_again(LEGACY_ROUTE, err);
    if (status == RMQ_OK)
        status = route_again(CLUSTER, err);
    if (status == RMQ_OK)
        status = stats_again(err);
    if (status == RMQ_OK)
        status = consumers_again(err);
    if (status == RMQ_OK)
        status = beat_again(err);
    if (status == RMQ_OK)
        status = locks_again(err);
    return finish(status, err);
}

/* ---- records ---- */

static const char *const record_names[] = {"pull_body_zlib_and_batch", "pull_body_java_client_mix",
                                           "record_magic_v2", "record_bornhost_v6",
                                           "record_inner_batch"};
#define N_RECORDS (sizeof(record_names) / sizeof(record_names[0]))
static uint8_t *record_data[N_RECORDS];
static size_t record_lens[N_RECORDS];

static void load_records(void)
{
    for (size_t i = 0; i < N_RECORDS; i++)
        golden_load(record_names[i], &record_data[i], &record_lens[i]);
}

static rmq_status record_again(rmq_slice body, rmq_error *err)
{
    rmq_decode_options options = {.end_offset = INT64_MAX,
                                  .broker_name = RMQ_SLICE_LITERAL("broker-a")};
    rmq_batch *batch = NULL;
    rmq_status status = rmq_batch_decode(body, NULL, &options, &batch, err);
    if (status != RMQ_OK)
        return status;
    for (size_t i = 0; i < rmq_batch_count(batch); i++) {
        const rmq_message *message = rmq_batch_at(batch, i);
        rmq_buf_append_u32(&out, (uint32_t)message->body_status);
        rmq_buf_append_slice(&out, message->broker_name);
        rmq_record_encode(message, &out);
    }
    rmq_batch_unref(batch);
    return RMQ_OK;
}

static rmq_status records(void *state, rmq_error *err)
{
    (void)state;
    begin();
    rmq_status status = RMQ_OK;
    for (size_t i = 0; i < N_RECORDS && status == RMQ_OK; i++)
        status = record_again((rmq_slice){(const char *)record_data[i], record_lens[i]}, err);
    return finish(status, err);
}

/* ---- compression ---- */

static char text[40000];

static rmq_status there_and_back(rmq_compression compression, rmq_error *err)
{
    rmq_buf packed;
    rmq_buf_init(&packed, (size_t)1 << 24);
    rmq_status status =
        rmq_body_compress(NULL, compression, (rmq_slice){text, sizeof(text)}, &packed, err);
    if (status == RMQ_OK)
        status = rmq_body_decompress(NULL, rmq_compression_sys_flag(compression),
                                     (rmq_slice){(char *)packed.data, packed.len}, sizeof(text),
                                     &out, err);
    rmq_buf_deinit(&packed);
    return status;
}

static rmq_status compressions(void *state, rmq_error *err)
{
    (void)state;
    begin();
    rmq_status status = RMQ_OK;
    for (rmq_compression c = RMQ_COMPRESSION_ZLIB; c <= RMQ_COMPRESSION_ZSTD; c++) {
        if (status == RMQ_OK && rmq_compression_available(c))
            status = there_and_back(c, err);
    }
    return finish(status, err);
}

/* ---- JSON ---- */

static const char json_text[] =
    "{\"a\\u0041\":[1,2.5e3,0.1,true,null,\"esc\\nape\",{\"deep\":[[[\"\\ud83d\\ude00\"]]]}],"
    "\"big\":12345678901234567890123456789.125,\"raw\":{\"x\":[1,2]}}";

static void write_value(rmq_json *json, rmq_json_writer *writer)
{
    rmq_slice slice = {NULL, 0};
    double number = 0;
    bool flag = false;
    switch (rmq_json_peek(json)) {
    case RMQ_JSON_NUMBER:
        if (rmq_json_read_double(json, &number))
            rmq_json_double(writer, number);
        break;
    case RMQ_JSON_STRING:
        if (rmq_json_read_string(json, &slice))
            rmq_json_string_slice(writer, slice);
        break;
    case RMQ_JSON_BOOL:
        if (rmq_json_read_bool(json, &flag))
            rmq_json_bool(writer, flag);
        break;
    default:
        if (rmq_json_read_raw(json, &slice))
            rmq_json_raw(writer, slice);
        break;
    }
}

static rmq_status json_again(void *state, rmq_error *err)
{
    (void)state;
    begin();
    rmq_json json;
    rmq_json_writer writer;
    rmq_slice key;
    rmq_slice written;
    rmq_json_writer_init(&writer);
    rmq_json_init(&json, RMQ_SLICE_LITERAL(json_text), false);
    rmq_json_begin_object(&writer);
    bool inside = rmq_json_enter_object(&json);
    while (inside && rmq_json_next_key(&json, &key)) {
        rmq_json_key_slice(&writer, key);
        rmq_json_begin_array(&writer);
        if (rmq_json_peek(&json) != RMQ_JSON_ARRAY) {
            write_value(&json, &writer);
        } else if (rmq_json_enter_array(&json)) {
            while (rmq_json_next_element(&json))
                write_value(&json, &writer);
        }
        rmq_json_end_array(&writer);
    }
    rmq_json_end_object(&writer);
    rmq_status status = rmq_json_status(&json, err);
    if (status == RMQ_OK) {
        status = rmq_json_writer_finish(&writer, &written);
        if (status != RMQ_OK)
            rmq_error_set(err, status, "the writer failed");
        else
            rmq_buf_append_slice(&out, written);
    }
    rmq_json_writer_deinit(&writer);
    rmq_json_deinit(&json);
    return finish(status, err);
}

/* ---- all ---- */

static const fail_scenario scenarios[] = {
    {.name = "frames", .operate = frames, .whole = true},
    {.name = "bodies", .operate = all_bodies, .whole = true},
    {.name = "records", .operate = records, .whole = true},
    {.name = "compressions", .operate = compressions, .whole = true},
    {.name = "JSON", .operate = json_again, .whole = true},
};

static void set_up(void)
{
    load_frames();
    load_bodies();
    load_records();
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i * i % 23);
    expected_sum = 0;
}

static void tear_down(void)
{
    for (int i = 0; i < n_golden_commands; i++)
        free(vectors[i]);
    for (int i = 0; i < N_BODIES; i++)
        free(body_memory[i]);
    for (size_t i = 0; i < N_RECORDS; i++)
        free(record_data[i]);
}

START_TEST(every_call_fails_once)
{
    fail_once_run(&scenarios[_i]);
}
END_TEST

START_TEST(enough_points)
{
    fail_once_floor(POINTS_LEAST, POINTS_LEAST);
}
END_TEST

Suite *test_suite(void)
{
    fail_once_install();
    Suite *suite = suite_create("fail_once_decode");
    TCase *tcase = tcase_create("decode");
    tcase_set_timeout(tcase, 600);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, every_call_fails_once, 0,
                        (int)(sizeof(scenarios) / sizeof(scenarios[0])));
    suite_add_tcase(suite, tcase);
    TCase *last = tcase_create("floor");
    tcase_add_test(last, enough_points);
    suite_add_tcase(suite, last);
    return suite;
}
