/* millrace topic list|create|describe|delete. */
#include "commands.h"

#include <rmq/admin.h>
#include <rmq/json.h>
#include <string.h>

#include "connection.h"
#include "output.h"

static const mill_option list_options[] = {
    {"all", NULL, "the broker's own topics too", false, false},
    {"json", NULL, "one JSON object a line", false, false},
    {NULL, NULL, NULL, false, false},
};

static const char *const topic_argument[] = {"TOPIC", NULL};

/* Topics that every broker makes for itself. */
static bool is_system_topic(const char *name)
{
    static const char *const prefixes[] = {
        "RMQ_SYS_",   "rmq_sys_",      "SCHEDULE_TOPIC_", "TBW102",         "BenchmarkTest",
        "SELF_TEST_", "OFFSET_MOVED_", "TRANS_CHECK_",    "DefaultCluster", "DefaultHeartBeat",
        "%RETRY%",    "%DLQ%",         "wheel_timer"};
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return strstr(name, "_REPLY_TOPIC") != NULL || strncmp(name, "broker-", 7) == 0;
}

static void print_json(rmq_json_writer *writer)
{
    rmq_slice text;
    rmq_json_newline(writer);
    if (rmq_json_writer_finish(writer, &text) == RMQ_OK)
        mill_output_write(text);
    rmq_json_writer_clear(writer);
}

static int run_list(const mill_args *args)
{
    int exit_code = MILL_EXIT_FAILURE;
    rmq_client *client = mill_connect(args, &exit_code);
    if (client == NULL)
        return exit_code;
    rmq_topic_names *names = NULL;
    rmq_error err;
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    if (rmq_topic_list(client, &names, &err) != RMQ_OK) {
        exit_code = mill_complain_call("topic list", &err);
        goto out;
    }
    for (size_t i = 0; i < rmq_topic_names_count(names); i++) {
        const char *name = rmq_topic_names_at(names, i);
        if (!mill_args_flag(args, "all") && is_system_topic(name))
            continue;
        if (mill_args_flag(args, "json")) {
            rmq_json_begin_object(&writer);
            rmq_json_key(&writer, "topic");
            rmq_json_string(&writer, name);
            rmq_json_end_object(&writer);
            print_json(&writer);
        } else {
            mill_output_print("%s\n", name);
        }
    }
    exit_code = mill_output_exit(MILL_EXIT_OK);
out:
    rmq_json_writer_deinit(&writer);
    rmq_topic_names_free(names);
    mill_disconnect(client);
    return exit_code;
}

const mill_command mill_command_topic_list = {
    "topic list", "Lists the topics.", NULL, NULL, list_options, true, run_list,
};

static const mill_option create_options[] = {
    {"queues", "N", "queues for reading and writing on each broker (default 4)", false, false},
    {"perm", "rw|r|w", "what is allowed (default rw)", false, false},
    {"attributes", "+K=V,...", "of 5.x brokers, such as +message.type=NORMAL", false, false},
    {"broker", "NAME", "only on this broker", false, false},
    {NULL, NULL, NULL, false, false},
};

static int run_create(const mill_args *args)
{
    int exit_code = MILL_EXIT_USAGE;
    int64_t queues = 0;
    rmq_error err;
    rmq_topic_config config = RMQ_TOPIC_CONFIG_INIT;
    const char *perm = mill_args_get(args, "perm");
    if (!mill_args_int64(args, "queues", 1, 65535, 4, &queues))
        return exit_code;
    if (perm != NULL && strcmp(perm, "rw") != 0 && strcmp(perm, "r") != 0 && strcmp(perm, "w") != 0)
        return mill_complain_usage(mill_args_command(args), "--perm %s is none of rw, r, w", perm);
    config.topic = mill_args_positional(args, 0);
    config.read_queues = (int32_t)queues;
    config.write_queues = (int32_t)queues;
    config.perm = perm == NULL || strcmp(perm, "rw") == 0 ? 6 : strcmp(perm, "r") == 0 ? 4 : 2;
    config.attributes = mill_args_get(args, "attributes");
    config.broker_name = mill_args_get(args, "broker");
    rmq_client *client = mill_connect(args, &exit_code);
    if (client == NULL)
        return exit_code;
    exit_code = MILL_EXIT_OK;
    if (rmq_topic_create(client, &config, &err) != RMQ_OK)
        exit_code = mill_complain_call("topic create", &err);
    mill_disconnect(client);
    return exit_code;
}

const mill_command mill_command_topic_create = {
    "topic create", "Creates a topic on every broker, or changes it.",
    NULL,           topic_argument,
    create_options, true,
    run_create,
};

static const mill_option describe_options[] = {
    {"json", NULL, "one JSON object a line", false, false},
    {NULL, NULL, NULL, false, false},
};

static void describe_json(const rmq_topic_queue *queue, rmq_json_writer *writer)
{
    rmq_json_begin_object(writer);
    rmq_json_key(writer, "topic");
    rmq_json_string(writer, queue->queue.topic);
    rmq_json_key(writer, "cluster");
    rmq_json_string(writer, queue->cluster);
    rmq_json_key(writer, "brokerName");
    rmq_json_string(writer, queue->queue.broker_name);
    rmq_json_key(writer, "brokerAddress");
    rmq_json_string(writer, queue->broker_address);
    rmq_json_key(writer, "queueId");
    rmq_json_int64(writer, queue->queue.queue_id);
    rmq_json_key(writer, "perm");
    rmq_json_int64(writer, queue->perm);
    if (queue->min_offset >= 0) {
        rmq_json_key(writer, "minOffset");
        rmq_json_int64(writer, queue->min_offset);
        rmq_json_key(writer, "maxOffset");
        rmq_json_int64(writer, queue->max_offset);
    }
    if (queue->last_update_ms > 0) {
        rmq_json_key(writer, "lastUpdateTimestamp");
        rmq_json_int64(writer, queue->last_update_ms);
    }
    rmq_json_end_object(writer);
    print_json(writer);
}

static int run_describe(const mill_args *args)
{
    int exit_code = MILL_EXIT_FAILURE;
    rmq_client *client = mill_connect(args, &exit_code);
    if (client == NULL)
        return exit_code;
    rmq_topic_description *description = NULL;
    rmq_error err;
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    bool json = mill_args_flag(args, "json");
    if (rmq_topic_describe(client, mill_args_positional(args, 0), &description, &err) != RMQ_OK) {
        exit_code = mill_complain_call("topic describe", &err);
        goto out;
    }
    if (!json)
        mill_output_print("%-20s %5s %4s %14s %14s %14s\n", "broker", "queue", "perm", "min offset",
                          "max offset", "messages");
    for (size_t i = 0; i < rmq_topic_description_count(description); i++) {
        const rmq_topic_queue *queue = rmq_topic_description_at(description, i);
        const char *perm = queue->readable && queue->writable ? "rw"
                           : queue->readable                  ? "r"
                           : queue->writable                  ? "w"
                                                              : "-";
        if (json)
            describe_json(queue, &writer);
        else if (queue->min_offset < 0)
            mill_output_print("%-20s %5d %4s %14s %14s %14s\n", queue->queue.broker_name,
                              queue->queue.queue_id, perm, "?", "?", "no answer");
        else
            mill_output_print("%-20s %5d %4s %14lld %14lld %14lld\n", queue->queue.broker_name,
                              queue->queue.queue_id, perm, (long long)queue->min_offset,
                              (long long)queue->max_offset,
                              (long long)(queue->max_offset - queue->min_offset));
    }
    exit_code = mill_output_exit(MILL_EXIT_OK);
out:
    rmq_json_writer_deinit(&writer);
    rmq_topic_description_free(description);
    mill_disconnect(client);
    return exit_code;
}

const mill_command mill_command_topic_describe = {
    "topic describe",
    "Shows a topic's queues and their offsets.",
    NULL,
    topic_argument,
    describe_options,
    true,
    run_describe,
};

static const mill_option no_options[] = {{NULL, NULL, NULL, false, false}};

static int run_delete(const mill_args *args)
{
    int exit_code = MILL_EXIT_FAILURE;
    rmq_error err;
    rmq_client *client = mill_connect(args, &exit_code);
    if (client == NULL)
        return exit_code;
    exit_code = MILL_EXIT_OK;
    if (rmq_topic_delete(client, mill_args_positional(args, 0), &err) != RMQ_OK)
        exit_code = mill_complain_call("topic delete", &err);
    mill_disconnect(client);
    return exit_code;
}

const mill_command mill_command_topic_delete = {
    "topic delete",
    "Deletes a topic, with all its messages and offsets, on every broker and name server.",
    NULL,
    topic_argument,
    no_options,
    true,
    run_delete,
};
