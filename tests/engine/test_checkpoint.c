/* The checkpoint over the file: store: ownership, put-if-absent, floors, and every kind of file
 * cut, changed, missing or from another job. */
#include "../support/support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stream/checkpoint.h"

#define JOB RMQ_SLICE_LITERAL("{\"sources\":[\"direct\"]}")

static char *dir;

static void setup(void)
{
    dir = temp_dir_make();
}

static void teardown(void)
{
    temp_dir_remove(dir);
}

static mill_checkpoint *open_checkpoint(void)
{
    mill_checkpoint *checkpoint = NULL;
    rmq_error err;
    ck_ok(mill_checkpoint_open(dir, false, &checkpoint, &err), &err);
    ck_ok(mill_checkpoint_meta(checkpoint, "orders", JOB, &err), &err);
    ck_ok(mill_checkpoint_next_epoch(checkpoint, &err), &err);
    return checkpoint;
}

/* A second owner of the same directory, as after a take-over: the first is still there. */
static mill_checkpoint *take_over(void)
{
    mill_checkpoint *checkpoint = NULL;
    rmq_error err;
    ck_ok(mill_checkpoint_open(dir, true, &checkpoint, &err), &err);
    ck_ok(mill_checkpoint_meta(checkpoint, "orders", JOB, &err), &err);
    ck_ok(mill_checkpoint_next_epoch(checkpoint, &err), &err);
    return checkpoint;
}

static mill_stream_plan *make_plan(int64_t batch_id, int64_t epoch, int64_t end)
{
    mill_stream_plan *plan = mill_stream_plan_new(1);
    plan->batch_id = batch_id;
    plan->epoch = epoch;
    plan->sources[0].name = rmq_strdup("direct");
    mill_position from = {.topic = (char *)(uintptr_t) "T",
                          .broker_name = (char *)(uintptr_t) "broker-a"};
    rmq_error err;
    ck_ok(mill_ranges_add(&plan->sources[0].ranges, &from, &err), &err);
    plan->sources[0].ranges.items[0].end_offset = end;
    return plan;
}

static int64_t put_plan(mill_checkpoint *checkpoint, int64_t batch_id, int64_t end, bool *out_found)
{
    mill_stream_plan *plan = make_plan(batch_id, checkpoint->epoch, end);
    rmq_error err;
    ck_ok(mill_checkpoint_put_plan(checkpoint, &plan, out_found, &err), &err);
    int64_t got = plan->sources[0].ranges.items[0].end_offset;
    mill_stream_plan_free(plan);
    return got;
}

static void path_of(char *out_path, size_t capacity, const char *name)
{
    snprintf(out_path, capacity, "%s/%s", dir, name);
}

static bool exists(const char *name)
{
    char path[512];
    path_of(path, sizeof(path), name);
    return access(path, F_OK) == 0;
}

static size_t read_file(const char *name, char *out_bytes, size_t capacity)
{
    char path[512];
    path_of(path, sizeof(path), name);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s", path);
    size_t len = fread(out_bytes, 1, capacity, file);
    fclose(file);
    return len;
}

static void write_file(const char *name, const char *bytes, size_t len)
{
    char path[512];
    path_of(path, sizeof(path), name);
    FILE *file = fopen(path, "wb");
    ck_assert_msg(file != NULL, "%s", path);
    ck_assert_uint_eq(fwrite(bytes, 1, len, file), len);
    fclose(file);
}

START_TEST(epochs_count_up)
{
    mill_checkpoint *first = open_checkpoint();
    ck_assert_int_eq(first->epoch, 1);
    ck_assert(first->fresh);
    char stream_id[MILL_STREAM_ID_BYTES];
    memcpy(stream_id, first->stream_id, sizeof(stream_id));
    ck_assert_uint_eq(strlen(stream_id), 36);
    rmq_error err;
    ck_ok(mill_checkpoint_next_epoch(first, &err), &err);
    ck_assert_int_eq(first->epoch, 2);
    mill_checkpoint_close(first);
    mill_checkpoint *second = open_checkpoint();
    ck_assert_int_eq(second->epoch, 3);
    ck_assert(!second->fresh);
    ck_assert_str_eq(second->stream_id, stream_id);
    mill_checkpoint_close(second);
}
END_TEST

START_TEST(run_names_never_repeat)
{
    mill_checkpoint *checkpoint = open_checkpoint();
    char first[MILL_RUN_NAME_BYTES], second[MILL_RUN_NAME_BYTES];
    rmq_error err;
    ck_ok(mill_checkpoint_run_name(checkpoint, first, &err), &err);
    ck_ok(mill_checkpoint_run_name(checkpoint, second, &err), &err);
    ck_assert_str_ne(first, second);
    ck_assert_int_eq(strncmp(first, "e1-", 3), 0);
    mill_checkpoint_close(checkpoint);
}
END_TEST

START_TEST(second_process_is_told_who_holds_it)
{
    mill_checkpoint *first = open_checkpoint();
    int pipe_fds[2];
    ck_assert_int_eq(pipe(pipe_fds), 0);
    pid_t child = fork();
    if (child == 0) {
        mill_checkpoint *second = NULL;
        rmq_error err = {0};
        rmq_status status = mill_checkpoint_open(dir, false, &second, &err);
        ssize_t written = write(pipe_fds[1], &err, sizeof(err));
        _exit(written == sizeof(err) ? (int)status : 99);
    }
    rmq_error err;
    ck_assert_int_eq(read(pipe_fds[0], &err, sizeof(err)), sizeof(err));
    int wait_status = 0;
    ck_assert_int_eq(waitpid(child, &wait_status, 0), child);
    ck_assert_int_eq(WEXITSTATUS(wait_status), RMQ_LOCKED);
    char pid[40];
    snprintf(pid, sizeof(pid), "held by pid %d on host ", (int)getpid());
    ck_assert_msg(strstr(err.text, pid) != NULL, "%s", err.text);
    ck_assert_msg(strstr(err.text, "--take-over") != NULL, "%s", err.text);
    mill_checkpoint_close(first);
}
END_TEST

START_TEST(taken_over)
{
    mill_checkpoint *first = open_checkpoint();
    rmq_error err;
    ck_ok(mill_checkpoint_check_epoch(first, &err), &err);
    mill_checkpoint *second = take_over();
    ck_status(mill_checkpoint_check_epoch(first, &err), RMQ_FENCED);
    ck_assert_ptr_nonnull(strstr(err.text, "a newer process took over"));
    ck_ok(mill_checkpoint_check_epoch(second, &err), &err);
    mill_checkpoint_close(second);
    mill_checkpoint_close(first);
}
END_TEST

START_TEST(plan_is_never_changed)
{
    mill_checkpoint *first = open_checkpoint(), *second = take_over();
    bool found = true;
    ck_assert_int_eq(put_plan(first, 1, 10, &found), 10);
    ck_assert(!found);
    ck_assert_int_eq(put_plan(second, 1, 20, &found), 10);
    ck_assert(found);
    int64_t last = 0;
    rmq_error err;
    ck_ok(mill_checkpoint_last_plan(first, &last, &err), &err);
    ck_assert_int_eq(last, 1);
    mill_checkpoint_close(second);
    mill_checkpoint_close(first);
}
END_TEST

START_TEST(first_decision_counts)
{
    mill_checkpoint *first = open_checkpoint(), *second = take_over();
    char run[MILL_RUN_NAME_BYTES] = "e2-b", other[MILL_RUN_NAME_BYTES] = "e1-a";
    rmq_error err;
    ck_ok(mill_checkpoint_decide(second, 5, run, &err), &err);
    ck_assert_str_eq(run, "e2-b");
    ck_ok(mill_checkpoint_decide(first, 5, other, &err), &err);
    ck_assert_str_eq(other, "e2-b");
    ck_status(mill_checkpoint_decided(first, 6, other, &err), RMQ_NOT_FOUND);
    mill_checkpoint_close(second);
    mill_checkpoint_close(first);
}
END_TEST

/* The case of the model: a process sleeps before its put while others go on and forget. */
START_TEST(forgotten_names_are_not_taken_again)
{
    mill_checkpoint *sleeper = open_checkpoint(), *owner = take_over();
    bool found = false;
    rmq_error err;
    for (int64_t n = 1; n <= 4; n++) {
        char run[MILL_RUN_NAME_BYTES];
        snprintf(run, sizeof(run), "e2-%d", (int)n);
        put_plan(owner, n, n * 10, &found);
        ck_ok(mill_checkpoint_decide(owner, n, run, &err), &err);
        mill_state *state = mill_state_new(0);
        state->batch_id = n;
        memcpy(state->run, run, sizeof(run));
        ck_ok(mill_checkpoint_put_state(owner, state, &err), &err);
        mill_state_free(state);
        ck_ok(mill_checkpoint_put_output(owner, n, run, RMQ_SLICE_LITERAL("rows"), &err), &err);
        ck_ok(mill_checkpoint_put_done(owner, n, run, &err), &err);
    }
    ck_ok(mill_checkpoint_forget(owner, 2, &err), &err);
    static const char *const gone[] = {"plan/2",     "commit/2", "state/2.e2-2",
                                       "out/2.e2-2", "done/2",   "plan/1"};
    static const char *const kept[] = {"plan/3",     "commit/3", "state/3.e2-3",
                                       "out/3.e2-3", "done/3",   "floor"};
    for (size_t i = 0; i < 6; i++) {
        ck_assert_msg(!exists(gone[i]), "%s", gone[i]);
        ck_assert_msg(exists(kept[i]), "%s", kept[i]);
    }
    mill_stream_plan *plan = make_plan(2, 1, 99);
    ck_status(mill_checkpoint_put_plan(sleeper, &plan, &found, &err), RMQ_FENCED);
    mill_stream_plan_free(plan);
    char run[MILL_RUN_NAME_BYTES] = "e1-late";
    ck_status(mill_checkpoint_decide(sleeper, 1, run, &err), RMQ_FENCED);
    /* The sleeper's own forgetting must not lower the floor. */
    ck_status(mill_checkpoint_forget(sleeper, 1, &err), RMQ_FENCED);
    ck_ok(mill_checkpoint_check_floor(owner, 3, &err), &err);
    ck_status(mill_checkpoint_check_floor(owner, 2, &err), RMQ_FENCED);
    mill_checkpoint_close(owner);
    mill_checkpoint_close(sleeper);
}
END_TEST

START_TEST(loss_records)
{
    mill_checkpoint *checkpoint = open_checkpoint();
    mill_stream_plan *loss = make_plan(3, 1, 7), *got = NULL;
    rmq_error err;
    ck_status(mill_checkpoint_get_loss(checkpoint, 3, 1, &got, &err), RMQ_NOT_FOUND);
    ck_ok(mill_checkpoint_put_loss(checkpoint, 1, &loss, &err), &err);
    mill_stream_plan_free(loss);
    loss = make_plan(3, 1, 8);
    ck_ok(mill_checkpoint_put_loss(checkpoint, 1, &loss, &err), &err);
    ck_assert_int_eq(loss->sources[0].ranges.items[0].end_offset, 7);
    mill_stream_plan_free(loss);
    ck_ok(mill_checkpoint_get_loss(checkpoint, 3, 1, &got, &err), &err);
    mill_stream_plan_free(got);
    mill_checkpoint_close(checkpoint);
}
END_TEST

START_TEST(belongs_to_another_job)
{
    mill_checkpoint_close(open_checkpoint());
    mill_checkpoint *checkpoint = NULL;
    rmq_error err;
    ck_ok(mill_checkpoint_open(dir, false, &checkpoint, &err), &err);
    ck_status(mill_checkpoint_meta(checkpoint, "payments", JOB, &err), RMQ_INVAL);
    ck_assert_msg(strstr(err.text, "\"orders\"") && strstr(err.text, "\"payments\""), "%s",
                  err.text);
    ck_status(
        mill_checkpoint_meta(checkpoint, "orders", RMQ_SLICE_LITERAL("{\"sources\":[]}"), &err),
        RMQ_INVAL);
    ck_assert_msg(strstr(err.text, "belongs to another job") && strstr(err.text, "direct"), "%s",
                  err.text);
    mill_checkpoint_close(checkpoint);
}
END_TEST

START_TEST(newer_format)
{
    mill_checkpoint_close(open_checkpoint());
    static const char newer[] = "{\"format\":9,\"more\":[]}\nsha 00\n";
    write_file("meta.json", newer, sizeof(newer) - 1);
    mill_checkpoint *checkpoint = NULL;
    rmq_error err;
    ck_ok(mill_checkpoint_open(dir, false, &checkpoint, &err), &err);
    ck_status(mill_checkpoint_meta(checkpoint, "orders", JOB, &err), RMQ_UNSUPPORTED);
    ck_assert_msg(strstr(err.text, "format 9") != NULL, "%s", err.text);
    mill_checkpoint_close(checkpoint);
}
END_TEST

START_TEST(meta_is_missing)
{
    mill_checkpoint *checkpoint = open_checkpoint();
    bool found = false;
    put_plan(checkpoint, 1, 10, &found);
    mill_checkpoint_close(checkpoint);
    char path[512];
    path_of(path, sizeof(path), "meta.json");
    ck_assert_int_eq(unlink(path), 0);
    rmq_error err;
    ck_ok(mill_checkpoint_open(dir, false, &checkpoint, &err), &err);
    ck_status(mill_checkpoint_meta(checkpoint, "orders", JOB, &err), RMQ_CORRUPT);
    mill_checkpoint_close(checkpoint);
}
END_TEST

/* ---- every file, cut and changed ---- */

static const char *const files[] = {"meta.json",  "floor",    "plan/1", "state/1.e1-r",
                                    "out/1.e1-r", "commit/1", "done/1", "loss/1.1"};
#define N_FILES (int)(sizeof(files) / sizeof(files[0]))

static void fill(mill_checkpoint *checkpoint)
{
    bool found = false;
    put_plan(checkpoint, 1, 10, &found);
    rmq_error err;
    mill_state *state = mill_state_new(0);
    state->batch_id = 1;
    strcpy(state->run, "e1-r");
    ck_ok(mill_checkpoint_put_state(checkpoint, state, &err), &err);
    mill_state_free(state);
    ck_ok(mill_checkpoint_put_output(checkpoint, 1, "e1-r", RMQ_SLICE_LITERAL("{}\nrows"), &err),
          &err);
    char run[MILL_RUN_NAME_BYTES] = "e1-r";
    ck_ok(mill_checkpoint_decide(checkpoint, 1, run, &err), &err);
    ck_ok(mill_checkpoint_put_done(checkpoint, 1, run, &err), &err);
    mill_stream_plan *loss = make_plan(1, 1, 7);
    ck_ok(mill_checkpoint_put_loss(checkpoint, 1, &loss, &err), &err);
    mill_stream_plan_free(loss);
    ck_ok(mill_checkpoint_raise_floor(checkpoint, 0, &err), &err);
}

/* Reads file `which` through the function that reads it. */
static rmq_status load(mill_checkpoint *checkpoint, int which, rmq_error *err)
{
    mill_stream_plan *plan = NULL;
    mill_state *state = NULL;
    char *bytes = NULL, run[MILL_RUN_NAME_BYTES];
    size_t len = 0;
    rmq_status status = RMQ_OK;
    switch (which) {
    case 0:
        return mill_checkpoint_meta(checkpoint, "orders", JOB, err);
    case 1:
        return mill_checkpoint_check_floor(checkpoint, 1, err);
    case 2:
        status = mill_checkpoint_get_plan(checkpoint, 1, &plan, err);
        break;
    case 3:
        status = mill_checkpoint_get_state(checkpoint, 1, "e1-r", &state, err);
        break;
    case 4:
        status = mill_checkpoint_get_output(checkpoint, 1, "e1-r", &bytes, &len, err);
        break;
    case 5:
        return mill_checkpoint_decided(checkpoint, 1, run, err);
    case 6:
        return mill_checkpoint_get_done(checkpoint, 1, run, err);
    default:
        status = mill_checkpoint_get_loss(checkpoint, 1, 1, &plan, err);
    }
    mill_stream_plan_free(plan);
    mill_state_free(state);
    rmq_free(bytes);
    return status;
}

START_TEST(damaged_files_are_named)
{
    mill_checkpoint *checkpoint = open_checkpoint();
    fill(checkpoint);
    char bytes[4096], damaged[4096];
    size_t len = read_file(files[_i], bytes, sizeof(bytes));
    rmq_error err;
    ck_ok(load(checkpoint, _i, &err), &err);
    ck_assert_msg(len > 16 && memcmp(bytes + len - 16, "\ncrc32 ", 7) == 0, "%s", files[_i]);
    for (size_t cut = 0; cut < len; cut++) {
        write_file(files[_i], bytes, cut);
        ck_assert_msg(load(checkpoint, _i, &err) == RMQ_CORRUPT, "%s cut at %zu", files[_i], cut);
    }
    ck_assert_msg(strstr(err.text, files[_i]) && strstr(err.text, dir) && strstr(err.text, "copy"),
                  "%s", err.text);
    for (size_t at = 0; at < len; at++) {
        memcpy(damaged, bytes, len);
        damaged[at] ^= 0x04;
        write_file(files[_i], damaged, len);
        rmq_status status = load(checkpoint, _i, &err);
        bool newer = _i == 0 && status == RMQ_UNSUPPORTED; /* the format's own digit */
        ck_assert_msg(status == RMQ_CORRUPT || newer, "%s changed at %zu", files[_i], at);
    }
    write_file(files[_i], bytes, len);
    ck_ok(load(checkpoint, _i, &err), &err);
    mill_checkpoint_close(checkpoint);
}
END_TEST

/* A whole file of another batch or run under this name is no less wrong. */
START_TEST(swapped_files)
{
    mill_checkpoint *checkpoint = open_checkpoint();
    fill(checkpoint);
    bool found = false;
    put_plan(checkpoint, 2, 20, &found);
    char bytes[4096];
    size_t len = read_file("plan/2", bytes, sizeof(bytes));
    write_file("plan/1", bytes, len);
    len = read_file("state/1.e1-r", bytes, sizeof(bytes));
    write_file("state/1.e1-x", bytes, len);
    len = read_file("commit/1", bytes, sizeof(bytes));
    write_file("commit/2", bytes, len);
    mill_stream_plan *plan = NULL;
    mill_state *state = NULL;
    char run[MILL_RUN_NAME_BYTES];
    rmq_error err;
    ck_status(mill_checkpoint_get_plan(checkpoint, 1, &plan, &err), RMQ_CORRUPT);
    ck_status(mill_checkpoint_get_state(checkpoint, 1, "e1-x", &state, &err), RMQ_CORRUPT);
    ck_status(mill_checkpoint_decided(checkpoint, 2, run, &err), RMQ_CORRUPT);
    mill_checkpoint_close(checkpoint);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("checkpoint");
    TCase *tc = tcase_create("checkpoint");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, epochs_count_up);
    tcase_add_test(tc, run_names_never_repeat);
    tcase_add_test(tc, second_process_is_told_who_holds_it);
    tcase_add_test(tc, taken_over);
    tcase_add_test(tc, plan_is_never_changed);
    tcase_add_test(tc, first_decision_counts);
    tcase_add_test(tc, forgotten_names_are_not_taken_again);
    tcase_add_test(tc, loss_records);
    tcase_add_test(tc, belongs_to_another_job);
    tcase_add_test(tc, newer_format);
    tcase_add_test(tc, meta_is_missing);
    tcase_add_loop_test(tc, damaged_files_are_named, 0, N_FILES);
    tcase_add_test(tc, swapped_files);
    suite_add_tcase(suite, tc);
    return suite;
}
