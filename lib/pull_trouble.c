/* Retrying for ever, politely.
 *
 * Pauses double from 100 ms to the client's reconnect_max_ms, each shortened by up to a quarter, by
 * chance, so that thousands of queues don't come back in step. The first failure and the recovery
 * are logged, what lies between is not.
 *
 * Some answers would be fatal if true ("your offset lies beyond my end", "no such queue"), but a
 * broker that has just come back says them for a moment, too. These are doubted: asked again for
 * some seconds before they are believed. */
#include "pull_trouble.h"

#include <stdio.h>
#include <string.h>

#define FIRST_BACKOFF_MS 100
#define DOUBT_PAUSE_MS 200
#define DOUBT_NS (3 * INT64_C(1000000000))
#define FIRST_IDLE_MS 20
#define MAX_IDLE_MS 1000

static void pause_over(rmq_timer *timer)
{
    rmq_pull_trouble *trouble = (rmq_pull_trouble *)(void *)timer; /* its first field */
    trouble->paused = false;
    trouble->again(trouble->ctx);
}

rmq_status rmq_pull_trouble_init(rmq_pull_trouble *trouble, rmq_error *err)
{
    trouble->random = (uint64_t)rmq_clock_monotonic_ns() ^ (uint64_t)(uintptr_t)trouble;
    return rmq_timer_init(&trouble->timer, rmq_client_loop(trouble->client), pause_over, err);
}

void rmq_pull_trouble_deinit(rmq_pull_trouble *trouble)
{
    rmq_timer_deinit(&trouble->timer);
}

int64_t rmq_pull_trouble_pause(int64_t longest_ms, uint64_t random)
{
    return longest_ms - (int64_t)(random % (uint64_t)(longest_ms / 4 + 1));
}

static void pause_for(rmq_pull_trouble *trouble, int64_t longest_ms)
{
    trouble->random = trouble->random * 6364136223846793005u + 1442695040888963407u;
    trouble->paused = true;
    rmq_timer_set(&trouble->timer, rmq_pull_trouble_pause(longest_ms, trouble->random >> 33));
}

static void tell(rmq_pull_trouble *trouble, rmq_log_level level, const char *text)
{
    bool news = trouble->text[0] == '\0' || (level == RMQ_LOG_WARN && !trouble->warned);
    if (strncmp(trouble->text, text, sizeof(trouble->text) - 1) == 0)
        return;
    snprintf(trouble->text, sizeof(trouble->text), "%s", text);
    if (news)
        rmq_client_log(trouble->client, level, "reader", "%s: %s; retrying", trouble->queue_name,
                       trouble->text);
    trouble->warned = trouble->warned || level == RMQ_LOG_WARN;
    trouble->changed(trouble->ctx, trouble->text);
}

static void begin(rmq_pull_trouble *trouble, rmq_log_level level, const char *text)
{
    tell(trouble, level, text);
    if (trouble->paused)
        return;
    int64_t longest = rmq_client_settings(trouble->client)->reconnect_max_ms;
    int64_t next = trouble->backoff_ms > 0 ? trouble->backoff_ms * 2 : FIRST_BACKOFF_MS;
    trouble->backoff_ms = next < longest ? next : longest;
    pause_for(trouble, trouble->backoff_ms);
}

void rmq_pull_trouble_begin(rmq_pull_trouble *trouble, const char *text)
{
    begin(trouble, RMQ_LOG_WARN, text);
}

void rmq_pull_trouble_link(rmq_pull_trouble *trouble, const char *text)
{
    begin(trouble, RMQ_LOG_INFO, text);
}

bool rmq_pull_trouble_doubt(rmq_pull_trouble *trouble, const char *text)
{
    int64_t now_ns = rmq_clock_monotonic_ns();
    if (trouble->doubt_since_ns == 0)
        trouble->doubt_since_ns = now_ns;
    if (now_ns - trouble->doubt_since_ns >= DOUBT_NS)
        return true;
    tell(trouble, RMQ_LOG_WARN, text);
    if (!trouble->paused) {
        if (trouble->backoff_ms == 0)
            trouble->backoff_ms = FIRST_BACKOFF_MS;
        pause_for(trouble, DOUBT_PAUSE_MS);
    }
    return false;
}

void rmq_pull_trouble_no_doubt(rmq_pull_trouble *trouble)
{
    trouble->doubt_since_ns = 0;
}

void rmq_pull_trouble_idle(rmq_pull_trouble *trouble)
{
    if (trouble->paused)
        return;
    trouble->idle_ms = trouble->idle_ms > 0 ? trouble->idle_ms * 2 : FIRST_IDLE_MS;
    if (trouble->idle_ms > MAX_IDLE_MS)
        trouble->idle_ms = MAX_IDLE_MS;
    pause_for(trouble, trouble->idle_ms);
}

static void forget(rmq_pull_trouble *trouble)
{
    trouble->idle_ms = 0;
    trouble->doubt_since_ns = 0;
    if (trouble->paused)
        rmq_timer_clear(&trouble->timer);
    trouble->paused = false;
    trouble->backoff_ms = 0;
}

void rmq_pull_trouble_stop(rmq_pull_trouble *trouble)
{
    forget(trouble);
    trouble->text[0] = '\0';
    trouble->warned = false;
}

void rmq_pull_trouble_over(rmq_pull_trouble *trouble)
{
    forget(trouble);
    if (trouble->text[0] == '\0')
        return;
    trouble->text[0] = '\0';
    rmq_client_log(trouble->client, trouble->warned ? RMQ_LOG_WARN : RMQ_LOG_INFO, "reader",
                   "%s: reading again", trouble->queue_name);
    trouble->warned = false;
    trouble->changed(trouble->ctx, "");
}
