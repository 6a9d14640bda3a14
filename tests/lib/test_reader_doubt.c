/* What a reader doubts for some seconds before it believes it, on any broker. */
#include "reader_room.h"

/* All at once, since each takes its time. */
typedef struct doubt_case {
    int64_t start, end;
    int32_t queue_id;
    int64_t n_before; /* messages that come first */
    rmq_status status;
} doubt_case;

static const doubt_case cases[] = {
    {130, 140, 1, 0, RMQ_DATA_LOSS},
    {90, 140, 1, 10, RMQ_DATA_LOSS},
    {130, RMQ_READ_ENDLESS, 1, 0, RMQ_DATA_LOSS},
    {100, 101, 1, 0, RMQ_DATA_LOSS},
    {5, 6, 0, 0, RMQ_DATA_LOSS}, /* an empty queue */
    {0, 10, 99, 0, RMQ_INVAL},
    {0, RMQ_READ_ENDLESS, 99, 0, RMQ_INVAL},
};
#define N_CASES (sizeof(cases) / sizeof(cases[0]))

static void expect_loss(rmq_reader *reader, const doubt_case *want)
{
    rmq_status status;
    rmq_data_loss loss = rmq_reader_loss(reader);
    ck_assert_int_eq(loss.wanted_offset, want->start + want->n_before);
    ck_assert_int_eq(loss.min_offset, 0);
    ck_assert_int_eq(loss.max_offset, want->queue_id == 1 ? 100 : 0);
    ck_assert(!loss.reset);
    ck_status(next_status(reader, 0), RMQ_DATA_LOSS);
    if (want->queue_id != 1)
        return;
    ck_ok(rmq_reader_seek(reader, 80, &err), &err);
    ck_assert_int_eq(test_reader_expect(reader, 80, 20, 60, 10000, &status), 20);
}

START_TEST(what_can_not_be_is_believed_in_the_end)
{
    rmq_reader *readers[N_CASES];
    rmq_status status;
    test_broker_fill(&broker, &queue, 0, 100, 60);
    for (size_t i = 0; i < N_CASES; i++) {
        rmq_reader_config config = config_for(cases[i].start, cases[i].end);
        config.queue.queue_id = cases[i].queue_id;
        readers[i] = open_reader(&config);
    }
    for (size_t i = 0; i < N_CASES; i++) {
        int64_t n = cases[i].n_before;
        ck_assert_int_eq(test_reader_expect(readers[i], cases[i].start, n, 60, 10000, &status), n);
        rmq_status got = next_status(readers[i], 20000);
        ck_assert_msg(got == cases[i].status, "case %zu: %s", i, rmq_status_name(got));
        ck_assert_ptr_nonnull(strstr(err.text, queue.topic));
        if (got == RMQ_DATA_LOSS)
            expect_loss(readers[i], &cases[i]);
    }
    for (size_t i = 0; i < N_CASES; i++)
        rmq_reader_close(readers[i]);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("reader_doubt");
    TCase *tcase = tcase_create("reader_doubt");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, what_can_not_be_is_believed_in_the_end);
    suite_add_tcase(suite, tcase);
    return suite;
}
