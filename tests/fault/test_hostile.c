/* A server that lies: whatever it says, the client's memory stays within what was configured and
 * 32 MiB, nothing crashes or hangs, the operation ends with a documented status in its time, and
 * once the server is honest again the same client works.
 *
 * Each case runs in a process of its own against a server in another. Memory is the process's: the
 * high-water mark of its resident set (VmHWM), reset before the lie, less what was resident then. A
 * lie that was not told is no case. Sanitizers have memory of their own, so under them only
 * everything else is judged. */
#include "hostile_cases.h"
#include "network_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rmq/admin.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEASURE_MEMORY 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MEASURE_MEMORY 0
#endif
#endif
#ifndef MEASURE_MEMORY
#define MEASURE_MEMORY 1
#endif

#define FRAME_BYTES ((size_t)8 << 20)
#define DEFAULT_FRAME_BYTES ((size_t)64 << 20)
#define BUFFERED_BYTES ((size_t)1 << 20)
#define BODY_BYTES ((size_t)1 << 20)
#define SLACK_KIB (32 * 1024)
#define FOLLOW_MS 5000
#define IGNORE_MS 2000
#define ENOUGH 3000 /* messages of an endless read */
#define DEADLINE_MS 15000
#define HONEST_MS 10000

static hostile_server server;
static int64_t read_ms;
static rmq_client *client;
static rmq_producer *producer;
static const rmq_queue queue = {HOSTILE_TOPIC, "b", 0};

/* ---- memory ---- */

static int64_t status_kib(const char *name)
{
    char line[256];
    int64_t kib = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtoll(line + strlen(name) + 1, NULL, 10);
    }
    if (file != NULL)
        fclose(file);
    return kib;
}

static int64_t reset_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (file == NULL || fputs("5", file) < 0 || fclose(file) != 0)
        return -1;
    return status_kib("VmRSS");
}

/* ---- operations ---- */

static unsigned bit_of(rmq_status status)
{
    switch (status) {
    case RMQ_OK:
        return MAY_OK;
    case RMQ_PROTO:
        return MAY_PROTO;
    case RMQ_TIMEOUT:
        return MAY_TIMEOUT;
    case RMQ_CLOSED:
    case RMQ_IO:
        return MAY_CLOSED;
    case RMQ_FULL:
        return MAY_FULL;
    case RMQ_BROKER:
        return MAY_BROKER;
    case RMQ_NOT_FOUND:
        return MAY_NOT_FOUND;
    case RMQ_DATA_LOSS:
        return MAY_LOSS;
    case RMQ_AGAIN:
        return MAY_AGAIN;
    case RMQ_INVAL:
        return MAY_INVAL;
    default:
        return 0;
    }
}

/* Whether a message that has no body_status is the one that was stored there. `out_bad`: it has
 * one, or is of an answer that makes its own messages. */
static bool is_right(const rmq_message *message, int64_t offset, bool *out_bad)
{
    char body[32];
    int len = snprintf(body, sizeof(body), "message-%lld", (long long)offset);
    if (message->queue_offset != offset || !rmq_slice_equals(message->topic, HOSTILE_TOPIC) ||
        message->queue_id != 0)
        return false;
    if (message->body_status != RMQ_OK || message->body.len != (size_t)len ||
        memcmp(message->body.data, body, (size_t)len) != 0)
        *out_bad = true;
    return true;
}

static unsigned read_queue(int64_t end, int64_t within_ms, bool take, rmq_error *err)
{
    rmq_reader *reader = NULL;
    rmq_reader_config config = RMQ_READER_CONFIG_INIT;
    config.queue = queue;
    config.end_offset = end;
    config.max_buffered_bytes = BUFFERED_BYTES;
    config.max_body_bytes = BODY_BYTES;
    config.hold_ms = 100;
    ck_ok(rmq_reader_open(client, &config, &reader, err), err);
    int64_t until_ms = network_now_ms() + within_ms;
    while (!take && network_now_ms() < until_ms)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    int64_t next = 0;
    bool bad = false;
    rmq_status status = RMQ_OK;
    while (status == RMQ_OK && next < end && next < ENOUGH && network_now_ms() < until_ms) {
        rmq_batch *batch = NULL;
        status = rmq_reader_next(reader, until_ms - network_now_ms(), &batch, err);
        for (size_t i = 0; status == RMQ_OK && i < rmq_batch_count(batch); i++, next++)
            ck_assert_msg(is_right(rmq_batch_at(batch, i), next, &bad),
                          "a wrong message where %lld should be", (long long)next);
        rmq_batch_unref(batch);
    }
    if (status == RMQ_AGAIN)
        rmq_reader_trouble(reader, err->text, sizeof(err->text));
    rmq_reader_close(reader);
    if (status == RMQ_AGAIN && end == RMQ_READ_ENDLESS && next > 0)
        status = RMQ_OK; /* some came, and more would */
    return bad && status == RMQ_OK ? MAY_BAD_ROW : bit_of(status);
}

static rmq_status ask(hostile_operation operation, rmq_error *err)
{
    rmq_queue_list *queues = NULL;
    rmq_topic_names *names = NULL;
    rmq_topic_description *description = NULL;
    rmq_send_result result;
    rmq_outgoing message = RMQ_OUTGOING_INIT;
    int64_t offset;
    rmq_status status;
    switch (operation) {
    case DO_ROUTE:
        status = rmq_client_queues(client, HOSTILE_TOPIC, &queues, err);
        if (status == RMQ_OK)
            rmq_queue_list_free(queues);
        return status;
    case DO_MAX:
        return rmq_queue_max_offset(client, &queue, &offset, err);
    case DO_LIST:
        status = rmq_topic_list(client, &names, err);
        rmq_topic_names_free(names);
        return status;
    case DO_DESCRIBE:
        status = rmq_topic_describe(client, HOSTILE_TOPIC, &description, err);
        if (status == RMQ_OK)
            rmq_topic_description_free(description);
        return status;
    default:
        message.topic = HOSTILE_TOPIC;
        message.body = rmq_slice_of("x");
        return rmq_producer_send(producer, &message, &result, err);
    }
}

static unsigned perform(hostile_operation operation, rmq_error *err)
{
    if (operation == DO_READ)
        return read_queue(HOSTILE_MESSAGES, read_ms, true, err);
    if (operation == DO_FOLLOW)
        return read_queue(RMQ_READ_ENDLESS, FOLLOW_MS, true, err);
    if (operation == DO_IGNORE)
        return read_queue(RMQ_READ_ENDLESS, IGNORE_MS, false, err);
    return bit_of(ask(operation, err));
}

/* ---- cases ---- */

static void open_client(int64_t timeout_ms)
{
    rmq_error err = {0};
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    config.namesrv = server.address;
    config.request_timeout_ms = timeout_ms;
    config.connect_timeout_ms = timeout_ms;
    config.reconnect_max_ms = 50;
    config.max_frame_bytes = hostile_cap;
    config.max_write_bytes = hostile_cap;
    read_ms = timeout_ms < 2000 ? 4 * timeout_ms : 2 * timeout_ms + 1000;
    ck_ok(rmq_client_new(&config, &client, &err), &err);
    rmq_producer_config sending = RMQ_PRODUCER_CONFIG_INIT;
    sending.send_timeout_ms = timeout_ms;
    ck_ok(rmq_producer_new(client, &sending, &producer, &err), &err);
}

static void be_honest(hostile_operation operation, const char *name)
{
    rmq_error err = {0};
    unsigned got = 0;
    server.board->lying = 0;
    int64_t until_ms = network_now_ms() + HONEST_MS * (MEASURE_MEMORY ? 1 : 4);
    if (operation == DO_FOLLOW || operation == DO_IGNORE)
        operation = DO_READ;
    while (got != MAY_OK && network_now_ms() < until_ms)
        got = perform(operation, &err);
    ck_assert_msg(got == MAY_OK, "%s: afterwards, with an honest server: %s", name, err.text);
}

static const int32_t code_of[N_OPERATIONS] = {105, 30, 206, 202, 310, 11, 11, 11};

static void run_case(const hostile_case *what, hostile_operation operation, int32_t code,
                     int64_t timeout_ms)
{
    rmq_error err = {0};
    timeout_ms *= MEASURE_MEMORY ? 1 : 4;
    hostile_start(&server, code, what->answer);
    open_client(timeout_ms);
    int64_t before_kib = reset_peak();
    int64_t start_ms = network_now_ms();
    unsigned got = perform(operation, &err);
    int64_t took_ms = network_now_ms() - start_ms;
    int64_t peak_kib = status_kib("VmHWM");
    uint64_t n_lies = server.board->n_lies;
    uint64_t n_requests = server.board->n_requests;
    size_t bound = hostile_cap;
    if (operation >= DO_READ)
        bound += BUFFERED_BYTES + BODY_BYTES;
    printf("# %-42s %6s %5lld ms %6lld KiB %4llu lies, came to 0x%03x %.100s\n", what->name,
           operation == DO_FOLLOW   ? "follow"
           : operation == DO_IGNORE ? "ignore"
                                    : "",
           (long long)took_ms, (long long)(peak_kib - before_kib), (unsigned long long)n_lies, got,
           err.text);
    fflush(stdout);
    unsigned expected = what->expected;
    if (operation >= DO_READ && (expected & MAY_REFUSE) == MAY_REFUSE)
        expected |= MAY_AGAIN; /* a reader goes on trying */
    ck_assert_msg(n_lies > 0, "%s: was not told", what->name);
    ck_assert_msg(took_ms < DEADLINE_MS * (MEASURE_MEMORY ? 1 : 4), "%s: took %lld ms", what->name,
                  (long long)took_ms);
    ck_assert_msg((got & expected) != 0, "%s: came to 0x%x, expected 0x%x: %s", what->name, got,
                  expected, err.text);
    ck_assert_msg(n_requests < 1000, "%s: %llu requests: no pause between them", what->name,
                  (unsigned long long)n_requests);
    if (MEASURE_MEMORY)
        ck_assert_msg(before_kib > 0 &&
                          peak_kib - before_kib <= (int64_t)(bound / 1024) + SLACK_KIB,
                      "%s: grew by %lld KiB, allowed are %zu + %d", what->name,
                      (long long)(peak_kib - before_kib), bound / 1024, SLACK_KIB);
    be_honest(operation, what->name);
    rmq_producer_free(producer);
    start_ms = network_now_ms();
    rmq_client_free(client);
    ck_assert_int_lt(network_now_ms() - start_ms, 2000);
    hostile_stop(&server);
}

static const hostile_operation tried[] = {DO_ROUTE, DO_MAX, DO_READ, DO_SEND};

START_TEST(frame_that_lies)
{
    hostile_operation operation = tried[_i / n_frame_cases];
    hostile_cap = FRAME_BYTES;
    run_case(&frame_cases[_i % n_frame_cases], operation, code_of[operation], 300);
}
END_TEST

/* In a route answer where the case is about routes, else in the answer to the operation itself. */
START_TEST(body_that_lies)
{
    const hostile_case *what = &body_cases[_i];
    hostile_cap = FRAME_BYTES;
    bool about_route = strstr(what->name, "address") != NULL ||
                       strstr(what->name, "broker ") != NULL ||
                       strstr(what->name, "'s broker") != NULL;
    run_case(what, what->operation, about_route ? 105 : code_of[what->operation], 2000);
}
END_TEST

/* What is as long as a frame may be, with the largest frame that is allowed unless configured. */
static bool is_long(const char *name)
{
    return strncmp(name, "endless", 7) == 0 || strstr(name, "as long as a frame") != NULL ||
           strstr(name, "largest") != NULL || strstr(name, "smallest") != NULL;
}

START_TEST(long_body_that_lies)
{
    const hostile_case *what = &body_cases[_i];
    hostile_cap = DEFAULT_FRAME_BYTES;
    run_case(what, what->operation,
             strstr(what->name, "address") != NULL ? 105 : code_of[what->operation], 6000);
}
END_TEST

START_TEST(long_records_that_lie)
{
    const hostile_case *what = &record_cases[_i];
    hostile_cap = DEFAULT_FRAME_BYTES;
    run_case(what, what->operation, code_of[what->operation], 6000);
}
END_TEST

START_TEST(record_that_lies)
{
    hostile_cap = FRAME_BYTES;
    run_case(&record_cases[_i], record_cases[_i].operation, code_of[record_cases[_i].operation],
             2000);
}
END_TEST

/* ---- controls: what the instrument would see of a client without bounds ---- */

START_TEST(control_memory_is_seen)
{
    int64_t before_kib = reset_peak();
    size_t len = (size_t)64 << 20; /* as much as a length word said */
    volatile char *believed = malloc(len);
    ck_assert_ptr_nonnull((void *)believed);
    for (size_t i = 0; i < len; i += 1024)
        believed[i] = 1;
    int64_t peak_kib = status_kib("VmHWM");
    free((void *)believed);
    ck_assert_int_gt(peak_kib - before_kib, 60 * 1024);
}
END_TEST

/* The bombs are bombs: with bounds as wide as a careless client's they go off. */
START_TEST(control_bombs_go_off)
{
    rmq_error err = {0};
    const hostile_case *bomb = NULL;
    hostile_cap = FRAME_BYTES;
    for (int i = 0; i < n_record_cases; i++) {
        if (strncmp(record_cases[i].name, "zlib bombs", 10) == 0)
            bomb = &record_cases[i];
    }
    ck_assert_ptr_nonnull(bomb);
    hostile_start(&server, 11, bomb->answer);
    open_client(1000);
    int64_t before_kib = reset_peak();
    rmq_reader *reader = NULL;
    rmq_batch *batch = NULL;
    rmq_reader_config config = RMQ_READER_CONFIG_INIT;
    config.queue = queue;
    config.end_offset = 1;
    config.max_body_bytes = (size_t)1 << 30;
    ck_ok(rmq_reader_open(client, &config, &reader, &err), &err);
    ck_ok(rmq_reader_next(reader, 10000, &batch, &err), &err);
    if (MEASURE_MEMORY)
        ck_assert_int_gt(status_kib("VmHWM") - before_kib, 50 * 1024);
    rmq_batch_unref(batch);
    rmq_reader_close(reader);
    rmq_producer_free(producer);
    rmq_client_free(client);
    hostile_stop(&server);
}
END_TEST

/* Everything in full; in CI a seeded share of what is slow: the longest lies, and, where nothing is
 * measured, the frames. Each kind is there with any seed. */
static bool chosen(int i, uint64_t one_of)
{
    uint64_t mixed = (network_seed() * 131 + (uint64_t)i) * 0x9E3779B97F4A7C15u;
    return network_scale() >= 100 || (mixed >> 33) % one_of == 0;
}

static void add_long(TCase *tcase, const TTest *test, const hostile_case *cases, int n_cases)
{
    for (int i = 0; i < n_cases; i++) {
        if (MEASURE_MEMORY && is_long(cases[i].name) && chosen(i, 4))
            tcase_add_loop_test(tcase, test, i, i + 1);
    }
}

Suite *test_suite(void)
{
    Suite *suite = suite_create("hostile");
    TCase *frames = tcase_create("frames");
    tcase_set_timeout(frames, 120);
    for (int i = 0; i < 4 * n_frame_cases; i++) {
        if (MEASURE_MEMORY || chosen(i, 4))
            tcase_add_loop_test(frames, frame_that_lies, i, i + 1);
    }
    suite_add_tcase(suite, frames);
    TCase *contents = tcase_create("contents");
    tcase_set_timeout(contents, 120);
    tcase_add_loop_test(contents, body_that_lies, 0, n_body_cases);
    tcase_add_loop_test(contents, record_that_lies, 0, n_record_cases);
    add_long(contents, long_body_that_lies, body_cases, n_body_cases);
    add_long(contents, long_records_that_lie, record_cases, n_record_cases);
    tcase_add_test(contents, control_memory_is_seen);
    tcase_add_test(contents, control_bombs_go_off);
    suite_add_tcase(suite, contents);
    return suite;
}
