/* The loop thread: order of posts, waiting, timers, and that stopping loses nothing. */
#include "../support/support.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../lib/loop.h"

#define N_THREADS 4
#define N_POSTS 2000

static rmq_loop *make_loop(void)
{
    rmq_loop *loop = NULL;
    rmq_error err;
    ck_ok(rmq_loop_new(&loop, &err), &err);
    return loop;
}

typedef struct counted {
    rmq_task task;
    struct poster *poster;
    int number;
} counted;

typedef struct poster {
    rmq_loop *loop;
    counted *tasks;
    int n_seen;   /* loop thread */
    bool ordered; /* loop thread */
} poster;

static void run_counted(rmq_task *task)
{
    counted *each = (counted *)task;
    if (each->number != each->poster->n_seen)
        each->poster->ordered = false;
    if (!rmq_loop_is_current(each->poster->loop))
        each->poster->ordered = false;
    each->poster->n_seen++;
}

static void *post_all(void *ctx)
{
    struct poster *own = ctx;
    for (int i = 0; i < N_POSTS; i++) {
        own->tasks[i] = (counted){.task = {.run = run_counted}, .poster = own, .number = i};
        rmq_loop_post(own->loop, &own->tasks[i].task);
    }
    return NULL;
}

START_TEST(posts_of_a_thread_run_in_order_and_all_run)
{
    rmq_loop *loop = make_loop();
    poster posters[N_THREADS];
    pthread_t threads[N_THREADS];
    for (int i = 0; i < N_THREADS; i++) {
        posters[i] = (poster){loop, calloc(N_POSTS, sizeof(counted)), 0, true};
        ck_assert_ptr_nonnull(posters[i].tasks);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, post_all, &posters[i]), 0);
    }
    for (int i = 0; i < N_THREADS; i++)
        pthread_join(threads[i], NULL);
    rmq_loop_free(loop); /* runs what is still posted */
    for (int i = 0; i < N_THREADS; i++) {
        ck_assert_int_eq(posters[i].n_seen, N_POSTS);
        ck_assert(posters[i].ordered);
        free(posters[i].tasks);
    }
}
END_TEST

typedef struct reposter {
    rmq_task task;
    rmq_loop *loop;
    int left;
    int n_runs;
} reposter;

static void run_repost(rmq_task *task)
{
    reposter *own = (reposter *)task;
    own->n_runs++;
    if (--own->left > 0)
        rmq_loop_post(own->loop, &own->task);
}

START_TEST(what_is_posted_while_it_stops_still_runs)
{
    reposter own = {.task = {.run = run_repost}, .loop = make_loop(), .left = 50};
    rmq_loop_post(own.loop, &own.task);
    rmq_loop_free(own.loop);
    ck_assert_int_eq(own.n_runs, 50);
}
END_TEST

START_TEST(run_sync_waits)
{
    reposter own = {.task = {.run = run_repost}, .loop = make_loop(), .left = 1};
    ck_assert(!rmq_loop_is_current(own.loop));
    rmq_loop_run_sync(own.loop, &own.task);
    ck_assert_int_eq(own.n_runs, 1);
    rmq_loop_free(own.loop);
}
END_TEST

typedef struct timer_test {
    rmq_task task;
    rmq_loop *loop;
    rmq_timer timers[4];
    int order[8];
    int n_fired;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool done;
} timer_test;

static timer_test *test_of_timer; /* one test per process */

static void on_timer(rmq_timer *timer)
{
    timer_test *own = test_of_timer;
    int index = (int)(timer - own->timers);
    own->order[own->n_fired++] = index;
    if (index == 0)
        rmq_timer_clear(&own->timers[1]); /* the next one due */
    if (index != 3)
        return;
    pthread_mutex_lock(&own->mutex);
    own->done = true;
    pthread_cond_signal(&own->cond);
    pthread_mutex_unlock(&own->mutex);
}

static void run_set_timers(rmq_task *task)
{
    timer_test *own = (timer_test *)task;
    rmq_error err;
    for (int i = 0; i < 4; i++)
        ck_ok(rmq_timer_init(&own->timers[i], own->loop, on_timer, &err), &err);
    rmq_timer_set(&own->timers[3], 60);
    rmq_timer_set(&own->timers[2], 40);
    rmq_timer_set(&own->timers[1], 20);
    rmq_timer_set(&own->timers[0], 100000);
    rmq_timer_set(&own->timers[0], -5); /* sets anew; at once */
}

static void run_deinit_timers(rmq_task *task)
{
    timer_test *own = (timer_test *)task;
    for (int i = 0; i < 4; i++)
        rmq_timer_deinit(&own->timers[i]);
}

START_TEST(timers_fire_in_order_and_cleared_ones_never)
{
    timer_test own = {.task = {.run = run_set_timers}, .loop = make_loop()};
    test_of_timer = &own;
    pthread_mutex_init(&own.mutex, NULL);
    pthread_cond_init(&own.cond, NULL);
    rmq_loop_run_sync(own.loop, &own.task);
    pthread_mutex_lock(&own.mutex);
    while (!own.done)
        pthread_cond_wait(&own.cond, &own.mutex);
    pthread_mutex_unlock(&own.mutex);
    own.task.run = run_deinit_timers;
    rmq_loop_run_sync(own.loop, &own.task);
    rmq_loop_free(own.loop);
    ck_assert_int_eq(own.n_fired, 3);
    ck_assert_int_eq(own.order[0], 0);
    ck_assert_int_eq(own.order[1], 2);
    ck_assert_int_eq(own.order[2], 3);
}
END_TEST

/* libevent warns when epoll refuses a descriptor; stderr is the program's. */
START_TEST(libevent_prints_nothing)
{
    rmq_loop *loop = make_loop();
    FILE *seen = tmpfile();
    int closed = dup(STDERR_FILENO);
    ck_assert(seen != NULL && closed >= 0);
    close(closed);
    struct event_base *base = event_base_new();
    struct event *event = event_new(base, closed, EV_READ, NULL, NULL);
    ck_assert(base != NULL && event != NULL);
    int before = dup(STDERR_FILENO);
    dup2(fileno(seen), STDERR_FILENO);
    int result = event_add(event, NULL);
    dup2(before, STDERR_FILENO);
    close(before);
    ck_assert_int_eq(result, -1);
    ck_assert_int_eq(lseek(fileno(seen), 0, SEEK_END), 0);
    event_free(event);
    event_base_free(base);
    fclose(seen);
    rmq_loop_free(loop);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("loop");
    TCase *tc = tcase_create("loop");
    tcase_add_test(tc, posts_of_a_thread_run_in_order_and_all_run);
    tcase_add_test(tc, what_is_posted_while_it_stops_still_runs);
    tcase_add_test(tc, run_sync_waits);
    tcase_add_test(tc, libevent_prints_nothing);
    tcase_add_test(tc, timers_fire_in_order_and_cleared_ones_never);
    suite_add_tcase(suite, tc);
    return suite;
}
