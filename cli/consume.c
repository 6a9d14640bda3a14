/* millrace consume: prints a topic's messages.
 *
 * All queues are read at once; one thread waits on an eventfd that the readers' loop thread rings,
 * prints what is there, and only then, with --group, tells the broker how far it got: an offset is
 * never committed for a line that was not written.
 *
 * With --join the queues are those that the group gives this member. One that it loses is committed
 * and closed at once; its new reader may have begun a moment before, so that messages around a
 * change of members can be printed twice, but none is passed over. */
#include "commands.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rmq/group.h>

#include "connection.h"
#include "consume_queues.h"
#include "log.h"
#include "message_text.h"
#include "output.h"
#include "signals.h"

#define COMMIT_EVERY_MS 5000
#define LOOK_FOR_QUEUES_MS 10000
#define DAMAGED_SHOWN 5 /* so many are named one by one */

typedef struct consumer {
    mill_consume_plan plan;
    mill_consume_queues queues;
    rmq_group_member *member; /* NULL: without --join */
    rmq_queue_list *known;    /* with it: the topic's queues at the start */
    bool is_member;           /* and was given queues, or told that there are none for it */
    const char *format;       /* NULL: JSON */
    bool raw;
    int64_t wanted; /* messages still to be printed; -1: no limit */
    int64_t printed;
    bool failed;
    int64_t n_damaged; /* bodies that could not be had */
    int wake_fd;
    bool progress;
    int64_t progress_at_ms;
    int64_t commit_at_ms;
    int64_t look_at_ms;
    rmq_json_writer writer;
} consumer;

static void ring(void *ctx)
{
    const consumer *self = ctx;
    uint64_t one = 1;
    if (write(self->wake_fd, &one, sizeof(one)) < 0)
        return; /* full: it is readable anyway */
}

static int64_t now_ms(void)
{
    return rmq_clock_monotonic_ns() / 1000000;
}

static void note_damaged(consumer *self, const rmq_message *message)
{
    self->n_damaged++;
    if (self->n_damaged <= DAMAGED_SHOWN)
        mill_complain("consume: %.*s %.*s queue %d offset %lld: the body fails its checksum or "
                      "can't be decompressed; it is printed as it was stored",
                      (int)message->topic.len, message->topic.data, (int)message->broker_name.len,
                      message->broker_name.data, message->queue_id,
                      (long long)message->queue_offset);
}

static void print_message(consumer *self, const rmq_message *message)
{
    if (message->body_status != RMQ_OK)
        note_damaged(self, message);
    if (self->raw) {
        mill_output_write(message->body);
        mill_output_write(RMQ_SLICE_LITERAL("\n"));
    } else if (self->format != NULL) {
        mill_message_format_write(message, self->format);
    } else {
        rmq_slice text;
        rmq_json_writer_clear(&self->writer);
        mill_message_json(message, &self->writer);
        if (rmq_json_writer_finish(&self->writer, &text) == RMQ_OK)
            mill_output_write(text);
    }
    self->printed++;
    if (self->wanted > 0)
        self->wanted--;
}

/* Prints what one queue has now. *out_more: it had something. */
static rmq_status drain_queue(consumer *self, mill_consume_queue *queue, bool *out_more,
                              rmq_error *err)
{
    rmq_batch *batch = NULL;
    rmq_status status = rmq_reader_next(queue->reader, 0, &batch, err);
    if (status == RMQ_AGAIN)
        return RMQ_OK;
    if (status == RMQ_NOT_FOUND) {
        queue->ended = true;
        queue->printed = rmq_reader_position(queue->reader);
        return RMQ_OK;
    }
    if (status == RMQ_DATA_LOSS) {
        rmq_data_loss loss = rmq_reader_loss(queue->reader);
        int64_t next = loss.next_offset > loss.min_offset ? loss.next_offset : loss.min_offset;
        mill_complain(
            "consume: %s %s queue %d: offset %lld is not there, the broker has %lld to %lld; "
            "going on at %lld",
            self->plan.topic, queue->broker_name, queue->queue_id, (long long)loss.wanted_offset,
            (long long)loss.min_offset, (long long)loss.max_offset, (long long)next);
        return rmq_reader_seek(queue->reader, next, err);
    }
    if (status != RMQ_OK)
        return status;
    *out_more = true;
    queue->printed = rmq_reader_position(queue->reader);
    for (size_t i = 0; i < rmq_batch_count(batch) && mill_output_open(); i++) {
        const rmq_message *message = rmq_batch_at(batch, i);
        if (self->wanted == 0) {
            queue->printed = message->queue_offset;
            break;
        }
        print_message(self, message);
    }
    rmq_batch_unref(batch);
    return RMQ_OK;
}

static rmq_status commit_queue(consumer *self, mill_consume_queue *queue, rmq_error *err)
{
    rmq_queue id = {self->plan.topic, queue->broker_name, queue->queue_id};
    rmq_status status =
        rmq_group_offset_commit(self->plan.client, self->plan.group, &id, queue->printed, err);
    if (status == RMQ_OK)
        queue->committed = queue->printed;
    return status;
}

/* Whether a commit to this queue's broker has just failed: the next would only wait as long again.
 */
static bool is_broker_in(const bool *failed, const mill_consume_queues *queues, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (failed[i] && strcmp(queues->items[i].broker_name, queues->items[at].broker_name) == 0)
            return true;
    return false;
}

/* Commits what was printed (and, unless the command has failed, where it began); the number of
 * queues for which that failed, with why in `err`. */
static size_t commit_queues(consumer *self, bool *failed, rmq_error *err)
{
    size_t n_failed = 0;
    for (size_t i = 0; i < self->queues.count; i++) {
        mill_consume_queue *queue = &self->queues.items[i];
        if (queue->printed == queue->committed || (self->failed && queue->printed == queue->start))
            continue;
        failed[i] =
            is_broker_in(failed, &self->queues, i) || commit_queue(self, queue, err) != RMQ_OK;
        n_failed += failed[i];
    }
    return n_failed;
}

/* False if the group doesn't know all of what was printed; said aloud at the end, else logged. */
static bool commit(consumer *self, bool at_end)
{
    if (self->plan.group == NULL || self->queues.count == 0 || !mill_output_flush())
        return true;
    rmq_error err;
    bool *failed = rmq_calloc(self->queues.count, sizeof(*failed));
    size_t n_failed = self->queues.count;
    if (failed == NULL)
        (void)rmq_error_set(&err, RMQ_NOMEM, "out of memory");
    else
        n_failed = commit_queues(self, failed, &err);
    rmq_free(failed);
    if (n_failed > 0 && at_end)
        mill_complain("consume: group %s: offsets of %zu queues are not committed, their last "
                      "messages will come again: %s",
                      self->plan.group, n_failed, err.text);
    else if (n_failed > 0)
        mill_log_line(NULL, RMQ_LOG_WARN, "consume", err.text);
    return n_failed == 0;
}

/* ---- as a member of the group ---- */

static rmq_status join(consumer *self, rmq_error *err)
{
    const mill_consume_plan *plan = &self->plan;
    const rmq_topic_filter filter = {plan->topic, plan->expression, plan->sql92};
    rmq_group_member_config config = RMQ_GROUP_MEMBER_CONFIG_INIT;
    config.group = plan->group;
    config.topics = &filter;
    config.n_topics = 1;
    config.on_change = ring;
    config.on_change_ctx = self;
    rmq_status status = rmq_client_queues(plan->client, plan->topic, &self->known, err);
    if (status == RMQ_OK)
        status = rmq_group_join(plan->client, &config, &self->member, err);
    return status;
}

static void tell_part(const consumer *self)
{
    char text[256];
    snprintf(text, sizeof(text), "group %s: this member reads %zu of the %zu queues of %s",
             self->plan.group, self->queues.count, rmq_queue_list_count(self->known),
             self->plan.topic);
    mill_log_line(NULL, RMQ_LOG_INFO, "consume", text);
}

/* Takes the queues that the group gives us, and gives back those that it takes away. */
static rmq_status follow_group(consumer *self, rmq_error *err)
{
    rmq_queue_list *mine = NULL;
    if (self->member == NULL)
        return RMQ_OK;
    rmq_status status = rmq_group_member_poll(self->member, 0, &mine, err);
    if (status == RMQ_AGAIN)
        return RMQ_OK;
    if (status != RMQ_OK)
        return status;
    const bool written = mill_output_flush();
    for (size_t i = self->queues.count; i-- > 0;) {
        if (mill_consume_queues_has(mine, &self->queues.items[i]))
            continue;
        if (written && self->queues.items[i].printed != self->queues.items[i].committed &&
            commit_queue(self, &self->queues.items[i], err) != RMQ_OK)
            mill_log_line(NULL, RMQ_LOG_WARN, "consume", err->text);
        mill_consume_queues_drop(&self->queues, i);
    }
    status = mill_consume_queues_take(&self->plan, self->known, mine, &self->queues, err);
    rmq_queue_list_free(mine);
    self->is_member = true;
    tell_part(self);
    return status;
}

static void show_progress(consumer *self, bool at_end)
{
    if (!self->progress || (!at_end && now_ms() < self->progress_at_ms))
        return;
    self->progress_at_ms = now_ms() + 500;
    fprintf(stderr, "\r%lld messages%s", (long long)self->printed, at_end ? "\n" : "");
}

/* Waits until a reader rings, a stop is asked for, or some time has passed. */
static void wait_for_more(const consumer *self)
{
    struct pollfd fds[] = {{self->wake_fd, POLLIN, 0}, {mill_signals_fd(), POLLIN, 0}};
    if (poll(fds, 2, 1000) > 0 && (fds[0].revents & POLLIN) != 0) {
        uint64_t count;
        if (read(self->wake_fd, &count, sizeof(count)) < 0)
            return;
    }
}

static bool is_finished(const consumer *self)
{
    if (mill_signals_stopping() || !mill_output_open() || self->wanted == 0)
        return true;
    if (self->plan.until.kind == MILL_POSITION_NEVER || (self->plan.join && !self->is_member))
        return false;
    for (size_t i = 0; i < self->queues.count; i++)
        if (!self->queues.items[i].ended)
            return false;
    return true;
}

/* Things done now and then. */
static void housekeeping(consumer *self)
{
    rmq_error err;
    show_progress(self, false);
    if (now_ms() >= self->commit_at_ms) {
        commit(self, false);
        self->commit_at_ms = now_ms() + COMMIT_EVERY_MS;
    }
    if (self->plan.until.kind == MILL_POSITION_NEVER && !self->plan.join &&
        now_ms() >= self->look_at_ms) {
        rmq_status status = mill_consume_queues_find(&self->plan, false, &self->queues, &err);
        if (status != RMQ_OK)
            mill_log_line(NULL, RMQ_LOG_WARN, "consume", err.text);
        self->look_at_ms = now_ms() + LOOK_FOR_QUEUES_MS;
    }
}

static rmq_status consume_all(consumer *self, rmq_error *err)
{
    rmq_status status = self->plan.join
                            ? join(self, err)
                            : mill_consume_queues_find(&self->plan, true, &self->queues, err);
    if (status == RMQ_OK)
        mill_signals_cancel_client(NULL); /* from here on a stop finds offsets to commit */
    mill_log_quiet(false);                /* from here on it reconnects for ever, and says so */
    self->commit_at_ms = now_ms() + COMMIT_EVERY_MS;
    self->look_at_ms = now_ms() + LOOK_FOR_QUEUES_MS;
    while (status == RMQ_OK && !is_finished(self)) {
        bool more = false;
        status = follow_group(self, err);
        for (size_t i = 0; status == RMQ_OK && i < self->queues.count && self->wanted != 0; i++)
            if (!self->queues.items[i].ended)
                status = drain_queue(self, &self->queues.items[i], &more, err);
        if (status == RMQ_OK && !more) {
            mill_output_flush();
            if (!is_finished(self))
                wait_for_more(self);
        }
        housekeeping(self);
    }
    return status;
}

static bool parse_queue(const mill_args *args, mill_consume_plan *plan, char **out_broker)
{
    const char *text = mill_args_get(args, "queue");
    plan->queue_id = -1;
    if (text == NULL)
        return true;
    const char *colon = strrchr(text, ':');
    const char *number = colon != NULL ? colon + 1 : text;
    char *end = NULL;
    long value = strtol(number, &end, 10);
    if (end == number || *end != '\0' || value < 0 || value > INT32_MAX || colon == text) {
        mill_complain_usage(mill_args_command(args), "--queue %s is neither N nor BROKER:N", text);
        return false;
    }
    plan->queue_id = value;
    if (colon != NULL) {
        *out_broker = rmq_slice_dup((rmq_slice){text, (size_t)(colon - text)});
        plan->broker = *out_broker;
    }
    return true;
}

static bool parse_position(const mill_args *args, const char *name, bool until,
                           mill_position *position)
{
    const char *text = mill_args_get(args, name);
    if (text == NULL || mill_position_parse(text, until, rmq_clock_wall_ms(), position))
        return true;
    mill_complain_usage(mill_args_command(args),
                        "--%s %s is neither %s, nor an offset, nor a time (2026-01-31T12:00:00Z, "
                        "@milliseconds, -10m)",
                        name, text, until ? "end" : "earliest, latest");
    return false;
}

static bool parse_format(const mill_args *args, consumer *self)
{
    const char *format = mill_args_get(args, "format");
    const char *bad = NULL;
    if (format == NULL || strcmp(format, "json") == 0)
        return true;
    self->raw = strcmp(format, "raw") == 0;
    self->format = self->raw ? NULL : format;
    if (self->raw || (strchr(format, '%') != NULL && mill_message_format_check(format, &bad)))
        return true;
    mill_complain_usage(mill_args_command(args),
                        "--format %s: %.2s is unknown; it takes json, raw, or a text with %%t "
                        "topic, %%b broker, %%q queue, "
                        "%%o offset, %%k keys, %%g tags, %%s body, %%T store time, %%m message id",
                        format, bad != NULL ? bad : format);
    return false;
}

static bool parse(const mill_args *args, consumer *self, char **out_broker)
{
    mill_consume_plan *plan = &self->plan;
    const char *tags = mill_args_get(args, "tags");
    const char *sql = mill_args_get(args, "sql92");
    plan->topic = mill_args_need(args, "topic");
    plan->group = mill_args_get(args, "group");
    plan->from = (mill_position){MILL_POSITION_EARLIEST, 0};
    plan->until = (mill_position){MILL_POSITION_NEVER, 0};
    plan->expression = sql != NULL ? sql : tags;
    plan->sql92 = sql != NULL;
    plan->join = mill_args_flag(args, "join");
    if (plan->topic == NULL)
        return false;
    if (plan->join && (plan->group == NULL || mill_args_get(args, "queue") != NULL))
        return mill_complain_usage(mill_args_command(args),
                                   "--join needs --group, and the group chooses: no --queue"),
               false;
    if (tags != NULL && sql != NULL)
        return mill_complain_usage(mill_args_command(args),
                                   "--tags and --sql92 exclude each other"),
               false;
    return parse_position(args, "from", false, &plan->from) &&
           parse_position(args, "until", true, &plan->until) &&
           mill_args_int64(args, "count", 0, INT64_MAX, -1, &self->wanted) &&
           parse_queue(args, plan, out_broker) && parse_format(args, self);
}

static int run(const mill_args *args)
{
    consumer self;
    char *broker = NULL;
    rmq_error err;
    int exit_code = MILL_EXIT_USAGE;
    memset(&self, 0, sizeof(self));
    rmq_json_writer_init(&self.writer);
    self.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self.progress = isatty(STDERR_FILENO) && !isatty(STDOUT_FILENO);
    self.plan.on_ready = ring;
    self.plan.ctx = &self;
    if (parse(args, &self, &broker))
        self.plan.client = mill_connect(args, &exit_code);
    if (self.plan.client != NULL) {
        rmq_status status = consume_all(&self, &err);
        exit_code = mill_output_exit(MILL_EXIT_OK);
        self.failed = status != RMQ_OK;
        if (self.failed)
            exit_code = mill_complain_call("consume", &err);
        if (self.n_damaged > DAMAGED_SHOWN)
            mill_complain("consume: %lld bodies in all were printed as they were stored",
                          (long long)self.n_damaged);
        if (status != RMQ_CANCELLED && !commit(&self, true))
            exit_code = MILL_EXIT_FAILURE;
        show_progress(&self, true);
    }
    mill_consume_queues_close(&self.queues);
    rmq_group_leave(self.member);
    rmq_queue_list_free(self.known);
    mill_disconnect(self.plan.client);
    rmq_json_writer_deinit(&self.writer);
    rmq_free(broker);
    if (self.wake_fd >= 0)
        close(self.wake_fd);
    return exit_code;
}

static const mill_option options[] = {
    {"topic", "TOPIC", "what to read (needed)", false, false},
    {"group", "GROUP", "start at the group's offsets where it has some, and commit after printing",
     false, false},
    {"join", NULL, "as a member of the group, which shares the queues among its members", false,
     false},
    {"from", "POSITION", "earliest (default), latest, an offset, or a time", false, false},
    {"until", "POSITION",
     "end (what is there now), an offset, or a time; exclusive. Default: for ever", false, false},
    {"count", "N", "stop after N messages", false, false},
    {"queue", "[BROKER:]N", "only the queue with this id", false, false},
    {"tags", "A || B", "only messages with one of these tags", false, false},
    {"sql92", "EXPRESSION", "only messages that fit (the broker must have enablePropertyFilter)",
     false, false},
    {"format", "json|raw|TEXT", "json (default), raw bodies, or a text: %t %b %q %o %k %g %s %T %m",
     false, false},
    {NULL, NULL, NULL, false, false},
};

const mill_command mill_command_consume = {
    "consume",
    "Prints the messages of a topic, one a line.",
    "A time is RFC 3339 (2026-01-31T12:00:00Z), @milliseconds, or -10m (before now).\n"
    "Without --group nothing is committed.",
    NULL,
    options,
    true,
    run,
};
