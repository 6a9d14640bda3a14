/* The directory: what survives a restart, a kill and a torn file, and what is refused. */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker_client.h"
#include "codes.h"

static rmq_devbroker *open_broker(const char *directory)
{
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    rmq_devbroker *broker = NULL;
    rmq_error err;
    config.directory = directory;
    ck_ok(rmq_devbroker_new(&config, &broker, &err), &err);
    return broker;
}

static rmq_status try_open(const char *directory)
{
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    rmq_devbroker *broker = NULL;
    rmq_error err;
    config.directory = directory;
    rmq_status status = rmq_devbroker_new(&config, &broker, &err);
    rmq_devbroker_free(broker);
    return status;
}

static char *journal_path(const char *directory)
{
    char *path = NULL;
    ck_assert_int_gt(asprintf(&path, "%s/journal", directory), 0);
    return path;
}

static off_t journal_size(const char *directory)
{
    char *path = journal_path(directory);
    struct stat info;
    ck_assert_int_eq(stat(path, &info), 0);
    free(path);
    return info.st_size;
}

static int64_t ask(raw_client *client, int32_t code, const char *const *fields, const char *name)
{
    raw_frame answer = raw_call(client, code, fields, RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    int64_t value = raw_int(&answer, name);
    raw_frame_free(&answer);
    return value;
}

START_TEST(everything_comes_back)
{
    char *directory = temp_dir_make();
    rmq_error err;
    rmq_devbroker *broker = open_broker(directory);
    ck_ok(rmq_devbroker_topic(broker, "T", 3, &err), &err);
    ck_ok(rmq_devbroker_topic(broker, "Gone", 1, &err), &err);
    raw_client client = raw_connect(rmq_devbroker_address(broker));
    broker_send_with(&client, "T", 2, "with a tag", "TAGS\1A\2");
    broker_send_batch(&client, "T", 0, "m", 10);
    broker_send(&client, "Gone", 0, "x");
    raw_frame answer =
        raw_call(&client, RMQ_REQUEST_DELETE_TOPIC_IN_BROKER, RAW("topic=Gone"), RAW_NO_BODY);
    raw_frame_free(&answer);
    answer = broker_pull_call(&client, &(broker_pull){.group = "G"}); /* makes the group */
    raw_frame_free(&answer);
    answer =
        raw_call(&client, RMQ_REQUEST_UPDATE_CONSUMER_OFFSET,
                 RAW("consumerGroup=G", "topic=T", "queueId=0", "commitOffset=7"), RAW_NO_BODY);
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    ck_ok(rmq_devbroker_delete_below(broker, "T", 0, 3, &err), &err);
    ck_ok(rmq_devbroker_delete_from(broker, "T", 0, 8, &err), &err);
    broker_send(&client, "T", 0, "last");
    raw_close(&client);
    rmq_devbroker_free(broker);

    broker = open_broker(directory);
    client = raw_connect(rmq_devbroker_address(broker));
    ck_assert_int_eq(
        ask(&client, RMQ_REQUEST_GET_MIN_OFFSET, RAW("topic=T", "queueId=0"), "offset"), 3);
    ck_assert_int_eq(
        ask(&client, RMQ_REQUEST_GET_MAX_OFFSET, RAW("topic=T", "queueId=0"), "offset"), 9);
    ck_assert_int_eq(ask(&client, RMQ_REQUEST_QUERY_CONSUMER_OFFSET,
                         RAW("consumerGroup=G", "topic=T", "queueId=0"), "offset"),
                     7);
    answer = broker_pull_call(&client, &(broker_pull){.offset = 3});
    rmq_batch *batch = broker_batch(&answer);
    ck_assert_uint_eq(rmq_batch_count(batch), 6);
    broker_expect_body(batch, 0, "m3");
    broker_expect_body(batch, 5, "last");
    rmq_batch_unref(batch);
    raw_frame_free(&answer);
    answer = broker_pull_call(&client, &(broker_pull){.queue_id = 2, .subscription = "A"});
    raw_expect(&answer, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&answer);
    answer = broker_pull_call(&client, &(broker_pull){.topic = "Gone"});
    raw_expect(&answer, RMQ_RESPONSE_TOPIC_NOT_EXIST);
    raw_frame_free(&answer);
    /* And it goes on: offsets and physical offsets continue. */
    ck_assert_int_eq(broker_send(&client, "T", 0, "more"), 9);
    raw_close(&client);
    rmq_devbroker_free(broker);
    broker = open_broker(directory);
    rmq_devbroker_free(broker);
    temp_dir_remove(directory);
}
END_TEST

/* Sends messages and writes each acknowledged offset into the pipe until it is killed. */
static void child_sends_for_ever(const char *directory, int fd)
{
    rmq_devbroker *broker = open_broker(directory);
    rmq_error err;
    ck_ok(rmq_devbroker_topic(broker, "T", 1, &err), &err);
    raw_client client = raw_connect(rmq_devbroker_address(broker));
    for (int64_t i = 0;; i++) {
        char body[32];
        snprintf(body, sizeof(body), "message %lld", (long long)i);
        int64_t offset = broker_send(&client, "T", 0, body);
        if (write(fd, &offset, sizeof(offset)) != (ssize_t)sizeof(offset))
            _exit(1);
    }
}

START_TEST(kill_9_loses_nothing_acknowledged)
{
    char *directory = temp_dir_make();
    int pipe_fds[2];
    ck_assert_int_eq(pipe(pipe_fds), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        close(pipe_fds[0]);
        child_sends_for_ever(directory, pipe_fds[1]);
        _exit(0);
    }
    close(pipe_fds[1]);
    int64_t acknowledged = -1;
    int64_t wanted = 200 + _i * 37;
    while (acknowledged < wanted)
        ck_assert_int_eq(read(pipe_fds[0], &acknowledged, sizeof(acknowledged)),
                         (ssize_t)sizeof(acknowledged));
    kill(child, SIGKILL);
    int64_t offset;
    while (read(pipe_fds[0], &offset, sizeof(offset)) == (ssize_t)sizeof(offset))
        acknowledged = offset;
    close(pipe_fds[0]);
    int child_status;
    ck_assert_int_eq(waitpid(child, &child_status, 0), child);
    ck_assert(WIFSIGNALED(child_status));

    rmq_devbroker *broker = open_broker(directory);
    raw_client client = raw_connect(rmq_devbroker_address(broker));
    int64_t max = ask(&client, RMQ_REQUEST_GET_MAX_OFFSET, RAW("topic=T", "queueId=0"), "offset");
    ck_assert_msg(max > acknowledged, "max %lld, acknowledged %lld (round %d)", (long long)max,
                  (long long)acknowledged, _i);
    ck_assert_int_le(max, acknowledged + 2);
    raw_frame answer = broker_pull_call(&client, &(broker_pull){.offset = acknowledged});
    rmq_batch *batch = broker_batch(&answer);
    char body[32];
    snprintf(body, sizeof(body), "message %lld", (long long)acknowledged);
    broker_expect_body(batch, 0, body);
    rmq_batch_unref(batch);
    raw_frame_free(&answer);
    raw_close(&client);
    rmq_devbroker_free(broker);
    temp_dir_remove(directory);
}
END_TEST

/* A journal with three messages; returns its size. */
static off_t write_journal(const char *directory)
{
    rmq_devbroker *broker = open_broker(directory);
    rmq_error err;
    ck_ok(rmq_devbroker_topic(broker, "T", 1, &err), &err);
    raw_client client = raw_connect(rmq_devbroker_address(broker));
    for (int i = 0; i < 3; i++)
        broker_send(&client, "T", 0, "message");
    raw_close(&client);
    rmq_devbroker_free(broker);
    return journal_size(directory);
}

START_TEST(a_torn_tail_is_cut)
{
    char *directory = temp_dir_make();
    char *path = journal_path(directory);
    off_t whole = write_journal(directory);
    /* Every cut within the last two messages, and what is left is taken up again. */
    for (off_t size = whole - 1; size > whole - 300; size -= 7) {
        ck_assert_int_eq(truncate(path, size), 0);
        rmq_devbroker *broker = open_broker(directory);
        raw_client client = raw_connect(rmq_devbroker_address(broker));
        int64_t max =
            ask(&client, RMQ_REQUEST_GET_MAX_OFFSET, RAW("topic=T", "queueId=0"), "offset");
        ck_assert(max == 1 || max == 2);
        ck_assert_int_eq(broker_send(&client, "T", 0, "message"), max);
        while (max < 2)
            max = broker_send(&client, "T", 0, "message");
        raw_close(&client);
        rmq_devbroker_free(broker);
        ck_assert_int_ge(journal_size(directory), whole);
    }
    free(path);
    temp_dir_remove(directory);
}
END_TEST

START_TEST(a_broken_middle_is_refused)
{
    char *directory = temp_dir_make();
    char *path = journal_path(directory);
    off_t whole = write_journal(directory);
    int fd = open(path, O_RDWR);
    ck_assert_int_ge(fd, 0);
    size_t refused = 0;
    for (off_t at = 0; at < whole; at += 5) {
        uint8_t byte;
        ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
        uint8_t flipped = byte ^ 0x10;
        ck_assert_int_eq(pwrite(fd, &flipped, 1, at), 1);
        rmq_status status = try_open(directory);
        ck_assert_msg(status == RMQ_CORRUPT, "byte %lld: %s", (long long)at,
                      rmq_status_name(status));
        refused++;
        ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
    }
    ck_assert_uint_gt(refused, 50);
    ck_status(try_open(directory), RMQ_OK);
    close(fd);
    free(path);
    temp_dir_remove(directory);
}
END_TEST

START_TEST(one_process_at_a_time)
{
    char *directory = temp_dir_make();
    rmq_devbroker *broker = open_broker(directory);
    ck_status(try_open(directory), RMQ_LOCKED);
    rmq_devbroker_free(broker);
    ck_status(try_open(directory), RMQ_OK);
    temp_dir_remove(directory);
}
END_TEST

START_TEST(no_such_place)
{
    ck_status(try_open("/nonexistent/deep/down"), RMQ_IO);
}
END_TEST

START_TEST(a_large_journal)
{
    char *directory = temp_dir_make();
    rmq_devbroker *broker = open_broker(directory);
    rmq_error err;
    ck_ok(rmq_devbroker_topic(broker, "T", 2, &err), &err);
    raw_client client = raw_connect(rmq_devbroker_address(broker));
    char *large = malloc(3000001);
    ck_assert_ptr_nonnull(large);
    memset(large, 'x', 3000000);
    large[3000000] = '\0';
    broker_send(&client, "T", 1, large);
    for (int i = 0; i < 20; i++)
        broker_send_batch(&client, "T", 0, "m", 1000);
    broker_send(&client, "T", 1, large);
    free(large);
    raw_close(&client);
    rmq_devbroker_free(broker);
    broker = open_broker(directory);
    client = raw_connect(rmq_devbroker_address(broker));
    ck_assert_int_eq(
        ask(&client, RMQ_REQUEST_GET_MAX_OFFSET, RAW("topic=T", "queueId=0"), "offset"), 20000);
    ck_assert_int_eq(
        ask(&client, RMQ_REQUEST_GET_MAX_OFFSET, RAW("topic=T", "queueId=1"), "offset"), 2);
    raw_close(&client);
    rmq_devbroker_free(broker);
    temp_dir_remove(directory);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("journal");
    TCase *tcase = tcase_create("journal");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, everything_comes_back);
    tcase_add_loop_test(tcase, kill_9_loses_nothing_acknowledged, 0, 3);
    tcase_add_test(tcase, a_torn_tail_is_cut);
    tcase_add_test(tcase, a_broken_middle_is_refused);
    tcase_add_test(tcase, one_process_at_a_time);
    tcase_add_test(tcase, no_such_place);
    tcase_add_test(tcase, a_large_journal);
    suite_add_tcase(suite, tcase);
    return suite;
}
