#include "../support/support.h"

#include <stdlib.h>
#include <string.h>

#include "../../lib/pull_judge.h"

typedef struct judge_case {
    int32_t code;
    const char *remark;
    int64_t asked, next, min, max;
    const char *body;
    rmq_pull_meaning meaning;
    rmq_status status;
    bool reset;
    bool ask_route;
} judge_case;

#define NO (-2) /* the answer has none */

static const judge_case judge_cases[] = {
    {0, "FOUND", 5, 8, 0, 8, "records", RMQ_PULL_RECORDS, RMQ_OK, false, false},
    /* the broker reads maxOffset before the records */
    {0, "FOUND", 5, 9, 0, 8, "records", RMQ_PULL_RECORDS, RMQ_OK, false, false},
    {0, "FOUND", 5, 8, 0, 8, NULL, RMQ_PULL_MOVED, RMQ_OK, false, false},
    {0, "FOUND", 5, 5, 0, 8, "records", RMQ_PULL_DOUBTFUL, RMQ_PROTO, false, false},
    {0, "FOUND", 5, 4, 0, 8, "records", RMQ_PULL_DOUBTFUL, RMQ_PROTO, false, false},
    {0, "FOUND", 5, NO, 0, 8, "records", RMQ_PULL_DOUBTFUL, RMQ_PROTO, false, false},
    {19, "OFFSET_OVERFLOW_ONE", 8, 8, 0, 8, NULL, RMQ_PULL_NOTHING, RMQ_OK, false, false},
    {20, "NO_MATCHED_MESSAGE", 5, 800, 0, 900, NULL, RMQ_PULL_MOVED, RMQ_OK, false, false},
    {20, "NO_MATCHED_MESSAGE", 5, 5, 0, 9, NULL, RMQ_PULL_TROUBLE, RMQ_BROKER, false, false},
    {21, "OFFSET_TOO_SMALL", 5, 7, 7, 9, NULL, RMQ_PULL_GONE, RMQ_OK, false, false},
    {21, "OFFSET_OVERFLOW_BADLY", 11, 9, 7, 9, NULL, RMQ_PULL_BEYOND, RMQ_OK, false, false},
    {21, "NO_MESSAGE_IN_QUEUE", 11, 0, 0, 0, NULL, RMQ_PULL_BEYOND, RMQ_OK, false, false},
    {21, "OFFSET_RESET", 8, 3, 0, 9, NULL, RMQ_PULL_GONE, RMQ_OK, true, false},
    {1, "java.lang.NullPointerException", 5, NO, NO, NO, NULL, RMQ_PULL_TROUBLE, RMQ_BROKER, false,
     false},
    {1, "org.apache.rocketmq.acl.common.AclException: no", 5, NO, NO, NO, NULL, RMQ_PULL_REFUSED,
     RMQ_AUTH, false, false},
    {1, "The broker does not support consumer to filter message by SQL92", 5, NO, NO, NO, NULL,
     RMQ_PULL_REFUSED, RMQ_UNSUPPORTED, false, false},
    {1, "queueId[9] is illegal, topic:[T] topicConfig.readQueueNums:[4]", 5, NO, NO, NO, NULL,
     RMQ_PULL_DOUBTFUL, RMQ_INVAL, false, false},
    {2, "[REJECTREQUEST]", 5, NO, NO, NO, NULL, RMQ_PULL_TROUBLE, RMQ_BROKER, false, false},
    {3, NULL, 5, NO, NO, NO, NULL, RMQ_PULL_REFUSED, RMQ_UNSUPPORTED, false, false},
    {14, NULL, 5, NO, NO, NO, NULL, RMQ_PULL_TROUBLE, RMQ_BROKER, false, false},
    {16, "no permission", 5, NO, NO, NO, NULL, RMQ_PULL_REFUSED, RMQ_AUTH, false, false},
    {17, "no topic", 5, NO, NO, NO, NULL, RMQ_PULL_TROUBLE, RMQ_NOT_FOUND, false, true},
    {23, "bad expression", 5, NO, NO, NO, NULL, RMQ_PULL_REFUSED, RMQ_INVAL, false, false},
    {26, "no group", 5, NO, NO, NO, NULL, RMQ_PULL_DOUBTFUL, RMQ_NOT_FOUND, false, false},
    {29, "queueId", 5, NO, NO, NO, NULL, RMQ_PULL_DOUBTFUL, RMQ_INVAL, false, false},
    {215, NULL, 5, NO, NO, NO, NULL, RMQ_PULL_TROUBLE, RMQ_BROKER, false, false},
    {501, NULL, 5, NO, NO, NO, NULL, RMQ_PULL_TROUBLE, RMQ_BROKER, false, true},
    {4711, NULL, 5, NO, NO, NO, NULL, RMQ_PULL_DOUBTFUL, RMQ_BROKER, false, false},
};

/* Judges a made-up answer. */
static rmq_pull_verdict judge(const judge_case *made, rmq_error *out_error)
{
    rmq_answer answer = {NULL, {0}};
    rmq_command_init(&answer.command, made->code);
    if (made->remark != NULL)
        rmq_command_set_remark(&answer.command, made->remark);
    if (made->next != NO)
        rmq_command_set_int(&answer.command, "nextBeginOffset", made->next);
    if (made->min != NO)
        rmq_command_set_int(&answer.command, "minOffset", made->min);
    if (made->max != NO)
        rmq_command_set_int(&answer.command, "maxOffset", made->max);
    rmq_command_set(&answer.command, "suggestWhichBrokerId", "1");
    answer.command.body = rmq_slice_of(made->body);
    rmq_pull_verdict verdict;
    rmq_pull_judge(&answer, made->asked, "broker-a", &verdict, out_error);
    rmq_command_deinit(&answer.command);
    return verdict;
}

START_TEST(codes)
{
    const judge_case *want = &judge_cases[_i];
    rmq_error err = {0};
    rmq_pull_verdict got = judge(want, &err);
    ck_assert_msg(got.meaning == want->meaning, "case %d (code %d): meaning %d", _i, want->code,
                  got.meaning);
    ck_assert_msg(got.status == want->status, "case %d (code %d): %s", _i, want->code,
                  rmq_status_name(got.status));
    ck_assert_int_eq(got.reset, want->reset);
    ck_assert_int_eq(got.ask_route, want->ask_route);
    ck_assert_int_eq(got.suggested_broker_id, 1);
    ck_assert_int_eq(got.next_offset, want->next == NO ? -1 : want->next);
    if (got.meaning >= RMQ_PULL_TROUBLE)
        ck_assert_int_eq(err.status, want->status);
}
END_TEST

typedef struct golden_case {
    const char *name;
    int64_t asked;
    rmq_pull_meaning meaning;
} golden_case;

static const golden_case golden_cases[] = {
    {"pull_resp_zlib_and_batch", 0, RMQ_PULL_RECORDS}, {"pull_resp_rocketmq", 0, RMQ_PULL_RECORDS},
    {"pull_resp_no_new", 0, RMQ_PULL_NOTHING},         {"pull_resp_no_match", 0, RMQ_PULL_MOVED},
    {"pull_resp_offset_moved", 1000, RMQ_PULL_BEYOND},
};

START_TEST(real_answers)
{
    uint8_t *bytes;
    size_t len;
    golden_load(golden_cases[_i].name, &bytes, &len);
    rmq_error err = {0};
    rmq_answer answer = {NULL, {0}};
    ck_ok(rmq_frame_from_bytes(bytes, len, &answer.frame, &err), &err);
    ck_ok(rmq_command_decode(answer.frame, &answer.command, &err), &err);
    rmq_pull_verdict got;
    rmq_pull_judge(&answer, golden_cases[_i].asked, "broker-a", &got, &err);
    ck_assert_msg(got.meaning == golden_cases[_i].meaning, "%s: meaning %d", golden_cases[_i].name,
                  got.meaning);
    ck_assert_int_ge(got.max_offset, 0);
    ck_assert_int_ge(got.next_offset, 0);
    rmq_command_deinit(&answer.command);
    rmq_frame_unref(answer.frame);
    free(bytes);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("pull_judge");
    TCase *tcase = tcase_create("pull_judge");
    tcase_add_loop_test(tcase, codes, 0, sizeof(judge_cases) / sizeof(judge_cases[0]));
    tcase_add_loop_test(tcase, real_answers, 0, sizeof(golden_cases) / sizeof(golden_cases[0]));
    suite_add_tcase(suite, tcase);
    return suite;
}
