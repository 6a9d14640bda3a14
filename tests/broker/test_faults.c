/* Every action of a fault rule, which requests a rule hits, and the text form. */
#include "support.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "broker_client.h"
#include "codes.h"

static rmq_devbroker *broker;
static raw_client client;

static void start(void)
{
    broker = broker_start(NULL);
    client = raw_connect(rmq_devbroker_address(broker));
}

static void stop(void)
{
    raw_close(&client);
    rmq_devbroker_free(broker);
}

static int32_t add(const char *text)
{
    int32_t id = 0;
    rmq_error err;
    ck_ok(rmq_devbroker_add_fault_text(broker, text, &id, &err), &err);
    ck_assert_int_gt(id, 0);
    return id;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Asks for the maximum offset of T's queue 0; returns the opaque. */
static int32_t ask(void)
{
    return raw_send(&client, RMQ_REQUEST_GET_MAX_OFFSET, RAW("topic=T", "queueId=0"), RAW_NO_BODY);
}

static void expect_next(int32_t opaque)
{
    raw_frame frame = raw_read(&client);
    ck_assert_int_eq(frame.command.opaque, opaque);
    raw_expect(&frame, RMQ_RESPONSE_SUCCESS);
    raw_frame_free(&frame);
}

static int64_t max_offset(void)
{
    raw_client other = raw_connect(rmq_devbroker_address(broker));
    raw_frame answer =
        raw_call(&other, RMQ_REQUEST_GET_MAX_OFFSET, RAW("topic=T", "queueId=0"), RAW_NO_BODY);
    int64_t offset = raw_int(&answer, "offset");
    raw_frame_free(&answer);
    raw_close(&other);
    return offset;
}

#define SEND_FIELDS RAW("a=PG", "b=T", "c=TBW102", "d=4", "e=0", "f=0", "g=1", "h=0", "m=false")

static int32_t send_one(void)
{
    return raw_send(&client, RMQ_REQUEST_SEND_MESSAGE_V2, SEND_FIELDS, RMQ_SLICE_LITERAL("x"));
}

START_TEST(delay)
{
    start();
    int32_t id = add("code=30,action=delay,ms=300,times=1");
    int64_t began = now_ms();
    int32_t late = ask();
    int32_t next = ask();
    expect_next(next); /* it overtakes */
    expect_next(late);
    ck_assert_int_ge(now_ms() - began, 300);
    ck_assert_uint_eq(rmq_devbroker_fault_hits(broker, id), 1);
    stop();
}
END_TEST

/* Two sends, of which the rule hits the first: only the second is answered, with this offset. */
static void expect_second_at(const char *rule, int64_t offset)
{
    start();
    add(rule);
    send_one();
    int32_t second = send_one();
    raw_frame answer = raw_read(&client);
    ck_assert_int_eq(answer.command.opaque, second);
    ck_assert_int_eq(raw_int(&answer, "queueOffset"), offset);
    raw_frame_free(&answer);
    stop();
}

START_TEST(drop_does_it_without_an_answer)
{
    expect_second_at("code=310,action=drop,times=1", 1);
}
END_TEST

START_TEST(ignore_does_not_do_it)
{
    expect_second_at("code=310,action=ignore,times=1", 0);
}
END_TEST

START_TEST(cut_in_mid_frame)
{
    start();
    add("code=310,action=cut,bytes=20,times=1");
    send_one();
    ask(); /* unread requests must not take the cut bytes back */
    uint8_t bytes[64];
    ck_assert_uint_eq(raw_read_to_end(&client, bytes, sizeof(bytes)), 20);
    ck_assert_int_eq(max_offset(), 1); /* it was done */
    stop();
}
END_TEST

START_TEST(cut_a_pull_with_records)
{
    start();
    broker_send_batch(&client, "T", 0, "m", 20);
    raw_frame whole = broker_pull_call(&client, &(broker_pull){0});
    size_t total = rmq_frame_bytes(whole.frame);
    raw_frame_free(&whole);
    char text[64];
    snprintf(text, sizeof(text), "code=11,action=cut,bytes=%zu", total - 5);
    add(text);
    broker_pull_send(&client, &(broker_pull){0});
    static uint8_t bytes[65536];
    ck_assert_uint_eq(raw_read_to_end(&client, bytes, sizeof(bytes)), total - 5);
    stop();
}
END_TEST

START_TEST(cut_of_nothing)
{
    start();
    add("code=30,action=cut,bytes=0");
    ask();
    uint8_t byte;
    ck_assert_uint_eq(raw_read_to_end(&client, &byte, 1), 0);
    stop();
}
END_TEST

START_TEST(close_without_an_answer)
{
    start();
    add("code=310,action=close");
    send_one();
    uint8_t byte;
    ck_assert_uint_eq(raw_read_to_end(&client, &byte, 1), 0);
    ck_assert_int_eq(max_offset(), 0);
    stop();
}
END_TEST

START_TEST(repeat)
{
    start();
    add("code=310,action=repeat,times=1");
    int32_t opaque = send_one();
    for (int i = 0; i < 2; i++) {
        raw_frame answer = raw_read(&client);
        ck_assert_int_eq(answer.command.opaque, opaque);
        ck_assert_int_eq(raw_int(&answer, "queueOffset"), 0);
        raw_frame_free(&answer);
    }
    ck_assert_int_eq(max_offset(), 1); /* answered twice, done once */
    stop();
}
END_TEST

START_TEST(reorder)
{
    start();
    add("code=310,action=reorder,times=1");
    int32_t first = send_one();
    ck_assert(raw_silent(&client, 30));
    int32_t second = ask();
    expect_next(second);
    expect_next(first);
    stop();
}
END_TEST

START_TEST(reorder_always_swaps_pairs)
{
    start();
    add("action=reorder");
    int32_t opaques[4];
    for (int i = 0; i < 4; i++)
        opaques[i] = ask();
    expect_next(opaques[1]);
    expect_next(opaques[0]);
    expect_next(opaques[3]);
    expect_next(opaques[2]);
    stop();
}
END_TEST

START_TEST(corrupt_one_bit)
{
    start();
    broker_send(&client, "T", 0, "to be broken");
    raw_frame good = broker_pull_call(&client, &(broker_pull){0});
    add("code=11,action=corrupt,bit=32,times=1"); /* the serialization byte's first bit */
    broker_pull_send(&client, &(broker_pull){0});
    uint8_t bytes[4096];
    size_t total = rmq_frame_bytes(good.frame);
    for (size_t len = 0; len < total;) {
        ssize_t n = recv(client.fd, bytes + len, total - len, 0);
        ck_assert_int_gt(n, 0);
        len += (size_t)n;
    }
    ck_assert_uint_eq(bytes[4], 0x80);
    raw_frame_free(&good);
    stop();
}
END_TEST

START_TEST(corrupt_at_random)
{
    start();
    rmq_fault_rule rule = RMQ_FAULT_RULE_INIT;
    rmq_error err;
    int32_t id;
    rule.request_code = RMQ_REQUEST_GET_MAX_OFFSET;
    rule.action = RMQ_FAULT_CORRUPT;
    rule.corrupt_bit = -1;
    rule.seed = 7;
    rule.times = 8;
    uint8_t plain[4096];
    uint8_t broken[4096];
    raw_client other = raw_connect(rmq_devbroker_address(broker));
    raw_frame frame =
        raw_call(&other, RMQ_REQUEST_GET_MAX_OFFSET, RAW("topic=T", "queueId=0"), RAW_NO_BODY);
    size_t total = rmq_frame_bytes(frame.frame);
    raw_frame_free(&frame);
    ck_assert_uint_lt(total, sizeof(plain));
    ck_ok(rmq_devbroker_add_fault(broker, &rule, &id, &err), &err);
    size_t different = 0;
    for (int round = 0; round < 8; round++) {
        /* A connection each, so that the opaque and with it every other bit is the same. */
        raw_close(&other);
        other = raw_connect(rmq_devbroker_address(broker));
        raw_send(&other, RMQ_REQUEST_GET_MAX_OFFSET, RAW("topic=T", "queueId=0"), RAW_NO_BODY);
        for (size_t len = 0; len < total;) {
            ssize_t n = recv(other.fd, broken + len, total - len, 0);
            ck_assert_int_gt(n, 0);
            len += (size_t)n;
        }
        if (round > 0) {
            size_t bits = 0;
            for (size_t i = 0; i < total; i++)
                bits += (size_t)__builtin_popcount(plain[i] ^ broken[i]);
            ck_assert_uint_le(bits, 2); /* each has one flipped */
            different += bits > 0;
        }
        memcpy(plain, broken, total);
    }
    ck_assert_uint_gt(different, 0);
    ck_assert_uint_eq(rmq_devbroker_fault_hits(broker, id), 8);
    raw_close(&other);
    stop();
}
END_TEST

START_TEST(answer_with_a_code)
{
    start();
    add("code=310,action=code,answer=2,times=1");
    raw_frame answer = raw_read_answer(&client, send_one());
    raw_expect(&answer, RMQ_RESPONSE_SYSTEM_BUSY);
    ck_assert(answer.command.has_remark);
    raw_frame_free(&answer);
    ck_assert_int_eq(max_offset(), 0);
    stop();
}
END_TEST

START_TEST(restart_comes_back)
{
    start();
    char address[64];
    snprintf(address, sizeof(address), "%s", rmq_devbroker_address(broker));
    broker_send(&client, "T", 0, "kept");
    raw_client bystander = raw_connect(rmq_devbroker_namesrv(broker));
    add("code=310,action=restart,ms=200,times=1");
    send_one();
    uint8_t byte;
    ck_assert_uint_eq(raw_read_to_end(&client, &byte, 1), 0);
    ck_assert_uint_eq(raw_read_to_end(&bystander, &byte, 1), 0);
    raw_close(&bystander);
    raw_close(&client);
    /* It refuses, then listens again. */
    rmq_error err;
    int64_t began = now_ms();
    while (!raw_reachable(address))
        ck_assert_int_lt(now_ms() - began, 10000);
    ck_assert_int_eq(max_offset(), 1);
    /* A stop while it is down stays a stop. */
    client = raw_connect(address);
    rmq_devbroker_clear_faults(broker);
    add("code=310,action=restart,ms=50,times=1");
    send_one();
    ck_assert_uint_eq(raw_read_to_end(&client, &byte, 1), 0);
    ck_ok(rmq_devbroker_stop(broker, &err), &err);
    for (began = now_ms(); now_ms() - began < 150;)
        ck_assert(!raw_reachable(address));
    ck_ok(rmq_devbroker_start(broker, &err), &err);
    ck_assert_int_eq(max_offset(), 1);
    stop();
}
END_TEST

START_TEST(stall)
{
    start();
    add("code=30,action=stall,times=1");
    ask();
    send_one();
    ck_assert(raw_silent(&client, 100));
    ck_assert_int_eq(max_offset(), 0);
    stop();
}
END_TEST

START_TEST(skip_and_times)
{
    start();
    int32_t id = add("code=30,action=code,answer=1,skip=2,times=3");
    for (int i = 0; i < 8; i++) {
        raw_frame answer = raw_read_answer(&client, ask());
        ck_assert_int_eq(answer.command.code, i >= 2 && i < 5 ? 1 : 0);
        raw_frame_free(&answer);
    }
    ck_assert_uint_eq(rmq_devbroker_fault_hits(broker, id), 3);
    stop();
}
END_TEST

START_TEST(first_rule_wins_and_topics_count)
{
    start();
    int32_t by_topic = add("topic=U,action=code,answer=7");
    int32_t any = add("code=30,action=code,answer=8");
    raw_frame answer =
        raw_call(&client, RMQ_REQUEST_GET_MAX_OFFSET, RAW("topic=U", "queueId=0"), RAW_NO_BODY);
    raw_expect(&answer, 7);
    raw_frame_free(&answer);
    answer = raw_read_answer(&client, ask());
    raw_expect(&answer, 8);
    raw_frame_free(&answer);
    /* The topic of a send stands in field b. */
    rmq_devbroker_clear_faults(broker);
    ck_assert_uint_eq(rmq_devbroker_fault_hits(broker, any), 0);
    ck_assert_uint_eq(rmq_devbroker_fault_hits(broker, by_topic), 0);
    add("topic=T,action=code,answer=9");
    answer = raw_read_answer(&client, send_one());
    raw_expect(&answer, 9);
    raw_frame_free(&answer);
    stop();
}
END_TEST

START_TEST(percent_by_seed)
{
    start();
    bool hit[2][100];
    for (int round = 0; round < 2; round++) {
        int32_t id = add("code=30,action=code,answer=1,percent=30,seed=42");
        for (int i = 0; i < 100; i++) {
            raw_frame answer = raw_read_answer(&client, ask());
            hit[round][i] = answer.command.code == 1;
            raw_frame_free(&answer);
        }
        uint64_t hits = rmq_devbroker_fault_hits(broker, id);
        ck_assert_uint_gt(hits, 10);
        ck_assert_uint_lt(hits, 60);
        rmq_devbroker_clear_faults(broker);
    }
    ck_assert_mem_eq(hit[0], hit[1], sizeof(hit[0]));
    stop();
}
END_TEST

START_TEST(held_pull_keeps_its_fault)
{
    start();
    add("code=11,action=repeat,times=1");
    int32_t opaque = broker_pull_send(
        &client, &(broker_pull){.hold_ms = 10000, .sys_flag = PULL_SUBSCRIPTION | PULL_SUSPEND});
    ck_assert(raw_silent(&client, 30));
    rmq_devbroker_clear_faults(broker); /* the rule is gone, what it began goes on */
    raw_client sender = raw_connect(rmq_devbroker_address(broker));
    broker_send(&sender, "T", 0, "wake");
    raw_close(&sender);
    for (int i = 0; i < 2; i++) {
        raw_frame answer = raw_read(&client);
        ck_assert_int_eq(answer.command.opaque, opaque);
        raw_frame_free(&answer);
    }
    stop();
}
END_TEST

START_TEST(name_server_too)
{
    start();
    add("code=105,action=code,answer=17,times=1");
    raw_client namesrv = raw_connect(rmq_devbroker_namesrv(broker));
    raw_frame answer =
        raw_call(&namesrv, RMQ_REQUEST_GET_ROUTEINFO_BY_TOPIC, RAW("topic=T"), RAW_NO_BODY);
    raw_expect(&answer, 17);
    raw_frame_free(&answer);
    raw_close(&namesrv);
    stop();
}
END_TEST

START_TEST(wrong_texts)
{
    static const char *const texts[] = {
        "",
        "code=11",
        "action=explode",
        "action",
        "action=delay,ms=x",
        "action=delay,ms=-1",
        "action=delay,ms=99999999999",
        "action=cut,bytes=-1",
        "action=drop,percent=101",
        "action=drop,percent=-1",
        "action=drop,skip=-1",
        "action=drop,times=-1",
        "action=drop,topic=",
        "action=drop,colour=red",
        "action=drop,code=",
        "action=corrupt,bit=-2",
    };
    start();
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        rmq_error err;
        int32_t id = -5;
        rmq_status status = rmq_devbroker_add_fault_text(broker, texts[i], &id, &err);
        ck_assert_msg(status == RMQ_INVAL, "'%s' gives %s", texts[i], rmq_status_name(status));
        ck_assert_int_eq(id, -5);
        ck_assert_uint_gt(strlen(err.text), 0);
    }
    rmq_fault_rule rule = RMQ_FAULT_RULE_INIT;
    rmq_error err;
    rule.struct_size = 0;
    ck_status(rmq_devbroker_add_fault(broker, &rule, NULL, &err), RMQ_INVAL);
    rule.struct_size = sizeof(rule);
    ck_status(rmq_devbroker_add_fault(broker, &rule, NULL, &err), RMQ_INVAL);
    expect_next(ask());
    stop();
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("faults");
    TCase *tcase = tcase_create("faults");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, delay);
    tcase_add_test(tcase, drop_does_it_without_an_answer);
    tcase_add_test(tcase, ignore_does_not_do_it);
    tcase_add_test(tcase, cut_in_mid_frame);
    tcase_add_test(tcase, cut_a_pull_with_records);
    tcase_add_test(tcase, cut_of_nothing);
    tcase_add_test(tcase, close_without_an_answer);
    tcase_add_test(tcase, repeat);
    tcase_add_test(tcase, reorder);
    tcase_add_test(tcase, reorder_always_swaps_pairs);
    tcase_add_test(tcase, corrupt_one_bit);
    tcase_add_test(tcase, corrupt_at_random);
    tcase_add_test(tcase, answer_with_a_code);
    tcase_add_test(tcase, restart_comes_back);
    tcase_add_test(tcase, stall);
    tcase_add_test(tcase, skip_and_times);
    tcase_add_test(tcase, first_rule_wins_and_topics_count);
    tcase_add_test(tcase, percent_by_seed);
    tcase_add_test(tcase, held_pull_keeps_its_fault);
    tcase_add_test(tcase, name_server_too);
    tcase_add_test(tcase, wrong_texts);
    suite_add_tcase(suite, tcase);
    return suite;
}
