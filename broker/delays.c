/* Delayed messages wait in queues of two internal topics, as in a real broker: level n in queue n -
 * 1 of SCHEDULE_TOPIC_XXXX, timers in rmq_sys_wheel_timer. In each of these queues the messages
 * stand in the order in which they are due: those of one level by nature, a timer because it goes
 * to the first queue whose last message isn't due after it. So the next message due is the first of
 * some queue, a delivered one is simply deleted from its queue's front, and a restart from a
 * directory finds exactly what wasn't delivered. (The process may die between the two: then the
 * message is delivered again. Real brokers do so, too.)
 *
 * One event waits for the earliest time. Times are the wall clock's, since a restart must
 * understand them. Source: ScheduleMessageService, TimerMessageStore 5.4.0; protocol facts 11. */
#include "delays.h"

#include "broker_state.h"
#include "json_scan.h"
#include "lifecycle.h"
#include "properties.h"
#include "props.h"
#include "real_place.h"
#include "record_view.h"

#define TIMER_MAX_AHEAD_MS (INT64_C(259200) * 1000)
#define TIMER_PRECISION_MS 1000
#define RETRY_MS 1000 /* when a due message can't be stored */
#define WAIT_MAX_MS (60 * 60 * 1000)

static const int32_t level_seconds[RMQ_DEV_DELAY_LEVELS] = {
    1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200};

/* ---- planning ---- */

/* The time that a timer property asks for; 0 if there is none, -1 if it is wrong. */
static int64_t timer_time(rmq_slice properties, int64_t now_ms)
{
    static const struct {
        const char *name;
        int64_t unit_ms;
        bool absolute;
    } timers[] = {{"TIMER_DELAY_SEC", 1000, false},
                  {"TIMER_DELAY_MS", 1, false},
                  {"TIMER_DELIVER_MS", 1, true}};
    for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++) {
        rmq_slice text;
        int64_t value;
        if (!rmq_props_get(properties, timers[i].name, &text))
            continue;
        if (!rmq_parse_int64(text, &value))
            return -1;
        if (timers[i].absolute)
            return value > 0 ? value : 1;
        if (value > TIMER_MAX_AHEAD_MS)
            return -1;
        return value > 0 ? now_ms + value * timers[i].unit_ms : 1;
    }
    return 0;
}

rmq_status rmq_dev_delay_plan_read(rmq_slice properties, bool is_v5, int64_t now_ms,
                                   rmq_dev_delay_plan *out_plan)
{
    rmq_dev_delay_plan plan = {0, 0};
    rmq_slice text;
    int64_t level = 0;
    if (rmq_props_get(properties, RMQ_PROPERTY_DELAY, &text) &&
        (!rmq_parse_int64(text, &level) || level > INT32_MAX || level < INT32_MIN))
        return RMQ_INVAL;
    if (level > 0) {
        plan.level = (int32_t)(level < RMQ_DEV_DELAY_LEVELS ? level : RMQ_DEV_DELAY_LEVELS);
    } else if (is_v5) {
        int64_t deliver_ms = timer_time(properties, now_ms);
        if (deliver_ms < 0 || deliver_ms - now_ms > TIMER_MAX_AHEAD_MS)
            return RMQ_UNSUPPORTED;
        if (deliver_ms > now_ms)
            plan.out_ms = deliver_ms - deliver_ms % TIMER_PRECISION_MS;
    }
    *out_plan = plan;
    return RMQ_OK;
}

/* ---- waiting ---- */

/* When a waiting message is due. A timer is looked at once its second is over. */
static int64_t due_ms(const rmq_dev_stored *stored, bool is_timer, int32_t queue_id)
{
    if (!is_timer)
        return stored->store_ms + (int64_t)level_seconds[queue_id] * 1000;
    rmq_message message;
    int64_t out_ms = 0;
    if (!rmq_dev_record_read((rmq_slice){(const char *)stored->data, stored->size_bytes},
                             &message) ||
        !rmq_dev_property_int(message.properties, "TIMER_OUT_MS", &out_ms))
        return 0;
    return out_ms + TIMER_PRECISION_MS;
}

/* The queue in which the new message is the last one due; -1 if there is none. */
static int32_t timer_queue(const rmq_dev_topic *topic, int64_t new_due_ms)
{
    for (int32_t i = 0; i < topic->n_queues; i++) {
        const rmq_dev_queue *queue = topic->queues[i];
        if (queue == NULL || queue->count == 0)
            return i;
        if (due_ms(rmq_dev_queue_at(queue, rmq_dev_queue_max(queue) - 1), true, i) <= new_due_ms)
            return i;
    }
    return -1;
}

/* Sets the event to the earliest time. */
static void arm(rmq_devbroker *broker, int64_t at_ms)
{
    if (broker->delay_due_ms != 0 && broker->delay_due_ms <= at_ms)
        return;
    int64_t wait_ms = at_ms - rmq_dev_wall_ms();
    wait_ms = wait_ms < 0 ? 0 : wait_ms > WAIT_MAX_MS ? WAIT_MAX_MS : wait_ms;
    struct timeval after = {wait_ms / 1000, (wait_ms % 1000) * 1000};
    broker->delay_due_ms = at_ms;
    event_add(broker->delay_timer, &after);
}

rmq_status rmq_dev_delay_store(rmq_devbroker *broker, rmq_message *message, rmq_buf *properties,
                               const rmq_dev_delay_plan *plan, rmq_error *err)
{
    bool is_timer = plan->level == 0;
    const char *name = is_timer ? RMQ_DEV_TIMER_TOPIC : RMQ_DEV_SCHEDULE_TOPIC;
    rmq_dev_topic *topic = rmq_dev_store_topic(&broker->store, rmq_slice_of(name));
    int32_t queue_id =
        is_timer ? timer_queue(topic, plan->out_ms + TIMER_PRECISION_MS) : plan->level - 1;
    if (queue_id < 0)
        return rmq_error_set(err, RMQ_FULL, "too many timers in falling order");
    if (is_timer)
        rmq_dev_property_append_int(properties, "TIMER_OUT_MS", plan->out_ms);
    rmq_dev_real_place_note(properties, message);
    if (properties->failed != RMQ_OK)
        return rmq_error_set(err, properties->failed, "no room for a delayed message's properties");
    int32_t real_queue_id = message->queue_id;
    message->topic = rmq_slice_of(topic->name);
    message->queue_id = queue_id;
    message->properties = (rmq_slice){(const char *)properties->data, properties->len};
    rmq_status status = rmq_dev_store_append(&broker->store, topic, message, err);
    message->queue_id = real_queue_id;
    if (status == RMQ_OK)
        arm(broker, is_timer ? plan->out_ms + TIMER_PRECISION_MS
                             : message->store_timestamp_ms +
                                   (int64_t)level_seconds[plan->level - 1] * 1000);
    return status;
}

/* ---- delivering ---- */

/* Puts the waiting message into the queue it is for. A message whose topic or queue is gone is
 * dropped, with a word in the log. */
static rmq_status deliver(rmq_devbroker *broker, const rmq_dev_stored *stored, bool is_timer,
                          rmq_error *err)
{
    rmq_message message;
    rmq_dev_topic *topic = NULL;
    if (rmq_dev_record_read((rmq_slice){(const char *)stored->data, stored->size_bytes}, &message))
        topic = rmq_dev_real_place(broker, message.properties, &message.queue_id);
    if (topic == NULL) {
        rmq_dev_log(&broker->settings, RMQ_LOG_WARN, "a delayed message's queue is gone");
        return RMQ_OK;
    }
    rmq_buf properties;
    rmq_buf_init(&properties, 2 * 32768);
    rmq_buf_append_slice(&properties, message.properties);
    if (is_timer) {
        rmq_dev_property_append_int(&properties, "TIMER_ENQUEUE_MS", stored->store_ms);
        rmq_dev_property_append_int(&properties, "TIMER_DEQUEUE_MS", rmq_dev_wall_ms());
    }
    rmq_status status = rmq_dev_real_place_store(broker, topic, &message, &properties, err);
    rmq_buf_deinit(&properties);
    return status;
}

/* Delivers what is due in one queue; returns when the next of it is due, 0 for never. */
static int64_t deliver_queue(rmq_devbroker *broker, rmq_dev_topic *topic, int32_t queue_id,
                             bool is_timer)
{
    rmq_dev_queue *queue = topic->queues[queue_id];
    while (queue != NULL && queue->count > 0) {
        rmq_error err;
        const rmq_dev_stored *first = rmq_dev_queue_at(queue, queue->min_offset);
        int64_t at_ms = due_ms(first, is_timer, queue_id);
        if (at_ms > rmq_dev_wall_ms())
            return at_ms;
        rmq_status status = deliver(broker, first, is_timer, &err);
        if (status == RMQ_OK)
            status = rmq_dev_store_delete_below(&broker->store, topic, queue_id,
                                                queue->min_offset + 1, &err);
        if (status != RMQ_OK) {
            rmq_dev_log(&broker->settings, RMQ_LOG_WARN, "a delayed message waits on: %s",
                        err.text);
            return rmq_dev_wall_ms() + RETRY_MS;
        }
    }
    return 0;
}

static void deliver_due(rmq_devbroker *broker)
{
    static const char *const names[] = {RMQ_DEV_SCHEDULE_TOPIC, RMQ_DEV_TIMER_TOPIC};
    int64_t next_ms = 0;
    broker->delay_due_ms = 0;
    for (int kind = 0; kind < 2; kind++) {
        rmq_dev_topic *topic = rmq_dev_store_topic(&broker->store, rmq_slice_of(names[kind]));
        for (int32_t i = 0; topic != NULL && i < topic->n_queues; i++) {
            int64_t at_ms = deliver_queue(broker, topic, i, kind == 1);
            if (at_ms != 0 && (next_ms == 0 || at_ms < next_ms))
                next_ms = at_ms;
        }
    }
    if (next_ms != 0)
        arm(broker, next_ms);
}

static void on_delay_timer(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    rmq_devbroker *broker = ctx;
    deliver_due(broker);
    rmq_dev_settle(broker);
}

rmq_status rmq_dev_delays_start(rmq_devbroker *broker, rmq_error *err)
{
    broker->delay_timer = evtimer_new(broker->base, on_delay_timer, broker);
    if (broker->delay_timer == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for the broker's timers");
    arm(broker, rmq_dev_wall_ms());
    return RMQ_OK;
}

void rmq_dev_delays_free(rmq_devbroker *broker)
{
    if (broker->delay_timer != NULL)
        event_free(broker->delay_timer);
}
