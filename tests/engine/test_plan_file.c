/* Plans and states as JSON: there and back, cut at every prefix, and each kind of wrong value. */
#include "../support/support.h"

#include <string.h>

#include "stream/plan_file.h"

static mill_position position_of(const char *broker, int32_t queue_id, int64_t offset)
{
    mill_position position = {.topic = (char *)(uintptr_t) "Order\"Topic",
                              .broker_name = (char *)(uintptr_t)broker,
                              .queue_id = queue_id,
                              .next_offset = offset};
    return position;
}

static mill_stream_plan *make_plan(void)
{
    mill_stream_plan *plan = mill_stream_plan_new(2);
    plan->batch_id = 7;
    plan->epoch = 3;
    plan->time_ms = 1700000000123;
    plan->sources[0].name = rmq_strdup("direct");
    plan->sources[1].name = rmq_strdup("other");
    rmq_error err;
    mill_position position = position_of("broker-a", 1, 100);
    position.generation = 2;
    position.last = (mill_fingerprint){.offset_id = "7F00000100002A9F0000000000001234",
                                       .store_timestamp_ms = 5,
                                       .queue_offset = 99};
    ck_ok(mill_ranges_add(&plan->sources[0].ranges, &position, &err), &err);
    plan->sources[0].ranges.items[0].end_offset = 150;
    plan->sources[0].ranges.items[0].lost = 4;
    position = position_of("broker-a", 0, INT64_MAX - 1);
    ck_ok(mill_ranges_add(&plan->sources[0].ranges, &position, &err), &err);
    mill_ranges_sort(&plan->sources[0].ranges);
    return plan;
}

static char *text_of(const mill_stream_plan *plan, const mill_state *state)
{
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    if (plan != NULL)
        mill_stream_plan_encode(plan, &writer);
    else
        mill_state_encode(state, &writer);
    rmq_slice text;
    ck_assert_int_eq(rmq_json_writer_finish(&writer, &text), RMQ_OK);
    char *copy = rmq_slice_dup(text);
    rmq_json_writer_deinit(&writer);
    return copy;
}

START_TEST(plan_there_and_back)
{
    mill_stream_plan *plan = make_plan(), *again = NULL;
    char *text = text_of(plan, NULL);
    rmq_error err;
    ck_ok(mill_stream_plan_decode(rmq_slice_of(text), &again, &err), &err);
    ck_assert_int_eq(again->batch_id, 7);
    ck_assert_int_eq(again->epoch, 3);
    ck_assert_int_eq(again->time_ms, 1700000000123);
    ck_assert_uint_eq(again->n_sources, 2);
    ck_assert_str_eq(again->sources[1].name, "other");
    ck_assert_uint_eq(again->sources[1].ranges.count, 0);
    ck_assert_uint_eq(again->sources[0].ranges.count, 2);
    const mill_range *first = &again->sources[0].ranges.items[0];
    ck_assert_int_eq(first->from.queue_id, 0);
    ck_assert_int_eq(first->from.next_offset, INT64_MAX - 1);
    ck_assert_int_eq(first->end_offset, INT64_MAX - 1);
    ck_assert_str_eq(first->from.last.offset_id, "");
    const mill_range *second = &again->sources[0].ranges.items[1];
    ck_assert_str_eq(second->from.topic, "Order\"Topic");
    ck_assert_str_eq(second->from.broker_name, "broker-a");
    ck_assert_int_eq(second->from.generation, 2);
    ck_assert_int_eq(second->end_offset, 150);
    ck_assert_int_eq(second->lost, 4);
    ck_assert_str_eq(second->from.last.offset_id, "7F00000100002A9F0000000000001234");
    ck_assert_int_eq(second->from.last.store_timestamp_ms, 5);
    ck_assert_int_eq(second->from.last.queue_offset, 99);
    char *text_again = text_of(again, NULL);
    ck_assert_str_eq(text, text_again);
    rmq_free(text);
    rmq_free(text_again);
    mill_stream_plan_free(plan);
    mill_stream_plan_free(again);
}
END_TEST

START_TEST(plan_cut_anywhere_is_corrupt)
{
    mill_stream_plan *plan = make_plan(), *again = NULL;
    char *text = text_of(plan, NULL);
    for (size_t len = 0; len < strlen(text); len++) {
        rmq_error err;
        ck_assert_msg(mill_stream_plan_decode((rmq_slice){text, len}, &again, &err) == RMQ_CORRUPT,
                      "cut at %zu", len);
        ck_assert_int_eq(err.status, RMQ_CORRUPT);
        ck_assert(err.text[0] != '\0');
    }
    rmq_free(text);
    mill_stream_plan_free(plan);
}
END_TEST

/* One thing wrong in each; the first is right and shows that the others fail for that reason. */
static const char *const plans[] = {
    "{\"batchId\":1,\"epoch\":1,\"timeMs\":0,\"sources\":[{\"name\":\"a\",\"ranges\":[{\"topic\":"
    "\"T\",\"brokerName\":\"b\",\"queueId\":0,\"start\":0,\"end\":1}]}],\"new\":[{}]}",
    "{\"batchId\":0,\"epoch\":1,\"timeMs\":0,\"sources\":[]}",
    "{\"batchId\":1,\"timeMs\":0,\"sources\":[]}",
    "{\"batchId\":1,\"epoch\":1,\"timeMs\":0}",
    "{\"batchId\":\"x\",\"epoch\":1,\"timeMs\":0,\"sources\":[]}",
    "{\"batchId\":1,\"epoch\":1,\"timeMs\":-1,\"sources\":[]}",
    "{\"batchId\":1,\"epoch\":1,\"timeMs\":0,\"sources\":[]} x",
    "{\"batchId\":1,\"epoch\":1,\"timeMs\":0,\"sources\":[{\"ranges\":[]}]}",
    "{\"batchId\":1,\"epoch\":1,\"timeMs\":0,\"sources\":[{\"name\":\"a\",\"ranges\":[{\"topic\":"
    "\"T\",\"brokerName\":\"b\",\"queueId\":0,\"start\":2,\"end\":1}]}]}",
    "{\"batchId\":1,\"epoch\":1,\"timeMs\":0,\"sources\":[{\"name\":\"a\",\"ranges\":[{\"topic\":"
    "\"T\",\"brokerName\":\"b\",\"queueId\":0,\"end\":1}]}]}",
    "{\"batchId\":1,\"epoch\":1,\"timeMs\":0,\"sources\":[{\"name\":\"a\",\"ranges\":[{\"topic\":"
    "\"T\",\"brokerName\":\"b\",\"start\":0,\"end\":1}]}]}",
    "{\"batchId\":1,\"epoch\":1,\"timeMs\":0,\"sources\":[{\"name\":\"a\",\"ranges\":[{\"topic\":"
    "\"T\",\"brokerName\":\"b\",\"queueId\":4294967296,\"start\":0,\"end\":1}]}]}",
    "{\"batchId\":1,\"epoch\":1,\"timeMs\":0,\"sources\":[{\"name\":\"a\",\"ranges\":[{\"topic\":"
    "\"T\",\"brokerName\":\"b\",\"queueId\":0,\"start\":0,\"end\":1,\"fingerprint\":{}}]}]}",
    "{\"batchId\":1,\"epoch\":1,\"timeMs\":0,\"sources\":[{\"name\":\"a\",\"ranges\":[{\"topic\":"
    "\"T\",\"brokerName\":\"b\",\"queueId\":0,\"start\":0,\"end\":1,\"fingerprint\":{"
    "\"offsetMsgId\":\"000000000000000000000000000000000000000000000000000000000000\","
    "\"queueOffset\":1}}]}]}",
};

START_TEST(wrong_values)
{
    mill_stream_plan *plan = NULL;
    rmq_error err;
    rmq_status status = mill_stream_plan_decode(rmq_slice_of(plans[_i]), &plan, &err);
    ck_assert_msg(status == (_i == 0 ? RMQ_OK : RMQ_CORRUPT), "plan %d: %s", _i,
                  rmq_status_name(status));
    if (_i == 0)
        mill_stream_plan_free(plan);
}
END_TEST

START_TEST(state_there_and_back)
{
    mill_state *state = mill_state_new(1), *again = NULL;
    state->batch_id = 12;
    state->epoch = 2;
    state->time_ms = 77;
    strcpy(state->run, "e2-0123456789abcdef");
    strcpy(state->parent_run, "e1-00");
    state->input_rows = 10;
    state->output_rows = 20;
    state->lost = 3;
    state->sources[0].name = rmq_strdup("direct");
    rmq_error err;
    mill_position position = position_of("broker-b", 5, 9);
    ck_ok(mill_positions_copy(&state->sources[0].positions, &position, &err), &err);
    char *text = text_of(NULL, state);
    ck_ok(mill_state_decode(rmq_slice_of(text), &again, &err), &err);
    ck_assert_int_eq(again->batch_id, 12);
    ck_assert_str_eq(again->run, "e2-0123456789abcdef");
    ck_assert_str_eq(again->parent_run, "e1-00");
    ck_assert_uint_eq(again->input_rows, 10);
    ck_assert_uint_eq(again->output_rows, 20);
    ck_assert_uint_eq(again->lost, 3);
    const mill_positions *positions = mill_state_positions(again, "direct");
    ck_assert_ptr_nonnull(positions);
    rmq_queue queue = mill_position_queue(&position);
    ck_assert_int_eq(mill_positions_find(positions, &queue)->next_offset, 9);
    ck_assert_ptr_null(mill_state_positions(again, "nobody"));
    for (size_t len = 0; len < strlen(text); len++) {
        mill_state *cut = NULL;
        ck_assert_int_eq(mill_state_decode((rmq_slice){text, len}, &cut, &err), RMQ_CORRUPT);
    }
    rmq_free(text);
    mill_state_free(state);
    mill_state_free(again);
}
END_TEST

START_TEST(positions_are_found_by_queue)
{
    mill_positions positions = {0};
    rmq_error err;
    for (int32_t i = 20; i > 0; i--) {
        rmq_queue queue = {i % 2 ? "A" : "B", i % 3 ? "x" : "y", i};
        ck_ok(mill_positions_add(&positions, &queue, i * 10, &err), &err);
    }
    mill_positions_sort(&positions);
    for (int32_t i = 1; i <= 20; i++) {
        rmq_queue queue = {i % 2 ? "A" : "B", i % 3 ? "x" : "y", i};
        const mill_position *found = mill_positions_find(&positions, &queue);
        ck_assert_ptr_nonnull(found);
        ck_assert_int_eq(found->next_offset, i * 10);
        queue.topic = "C";
        ck_assert_ptr_null(mill_positions_find(&positions, &queue));
    }
    mill_positions_clear(&positions);
    rmq_queue queue = {"A", "x", 1};
    ck_assert_ptr_null(mill_positions_find(&positions, &queue));
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("plan_file");
    TCase *tc = tcase_create("plan_file");
    tcase_add_test(tc, plan_there_and_back);
    tcase_add_test(tc, plan_cut_anywhere_is_corrupt);
    tcase_add_loop_test(tc, wrong_values, 0, (int)(sizeof(plans) / sizeof(plans[0])));
    tcase_add_test(tc, state_there_and_back);
    tcase_add_test(tc, positions_are_found_by_queue);
    suite_add_tcase(suite, tc);
    return suite;
}
