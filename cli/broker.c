/* millrace broker: the development broker on the command line. */
#include "commands.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rmq/devbroker.h>

#include "log.h"
#include "output.h"
#include "signals.h"

/* "T:8" or "T" creates topic T with so many queues (4). */
static rmq_status create_topic(rmq_devbroker *broker, const char *text, rmq_error *err)
{
    const char *colon = strrchr(text, ':');
    int64_t queues = 4;
    char *end = NULL;
    if (colon != NULL) {
        queues = strtoll(colon + 1, &end, 10);
        if (end == colon + 1 || *end != '\0' || queues < 1 || queues > 65535)
            return rmq_error_set(err, RMQ_INVAL, "--topic %s is neither TOPIC nor TOPIC:QUEUES",
                                 text);
    }
    char *topic =
        rmq_slice_dup((rmq_slice){text, colon != NULL ? (size_t)(colon - text) : strlen(text)});
    if (topic == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory");
    rmq_status status = rmq_devbroker_topic(broker, topic, (int32_t)queues, err);
    rmq_free(topic);
    return status;
}

static rmq_status prepare(const mill_args *args, rmq_devbroker *broker, rmq_error *err)
{
    rmq_status status = RMQ_OK;
    int32_t rule_id = 0;
    for (size_t i = 0; status == RMQ_OK && i < mill_args_count(args, "topic"); i++)
        status = create_topic(broker, mill_args_at(args, "topic", i), err);
    for (size_t i = 0; status == RMQ_OK && i < mill_args_count(args, "fault"); i++)
        status =
            rmq_devbroker_add_fault_text(broker, mill_args_at(args, "fault", i), &rule_id, err);
    return status;
}

static void wait_for_stop(void)
{
    while (!mill_signals_stopping()) {
        struct pollfd fd = {mill_signals_fd(), POLLIN, 0};
        poll(&fd, 1, 1000);
    }
}

static int run(const mill_args *args)
{
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    int64_t port = 0;
    int64_t broker_port = 0;
    rmq_devbroker *broker = NULL;
    rmq_error err;
    if (!mill_args_int64(args, "port", 0, 65535, 9876, &port) ||
        !mill_args_int64(args, "broker-port", 0, 65535, 10911, &broker_port))
        return MILL_EXIT_USAGE;
    config.listen_address = mill_args_get(args, "listen");
    config.namesrv_port = (uint16_t)port;
    config.broker_port = (uint16_t)broker_port;
    config.directory = mill_args_get(args, "directory");
    config.no_auto_create_topic = mill_args_flag(args, "no-auto-create");
    config.log = mill_log_line;
    config.log_level = mill_log_level();
    rmq_status status = rmq_devbroker_new(&config, &broker, &err);
    if (status == RMQ_OK)
        status = prepare(args, broker, &err);
    int exit_code = MILL_EXIT_OK;
    if (status != RMQ_OK) {
        exit_code = mill_complain_error("broker", &err);
        if (status == RMQ_INVAL)
            exit_code = MILL_EXIT_USAGE;
    } else {
        mill_output_print("name server %s, broker %s\n", rmq_devbroker_namesrv(broker),
                          rmq_devbroker_address(broker));
        mill_output_flush();
        wait_for_stop();
        mill_log_say("broker", "stopped");
    }
    rmq_devbroker_free(broker);
    return exit_code;
}

static const mill_option options[] = {
    {"port", "N", "of the name server (default 9876; 0: a free one)", false, false},
    {"broker-port", "N", "of the broker (default 10911; 0: a free one)", false, false},
    {"listen", "ADDRESS", "where to listen (default 127.0.0.1)", false, false},
    {"directory", "DIR", "keep messages and offsets here (default: in memory only)", false, false},
    {"topic", "TOPIC[:QUEUES]", "create this topic; may be repeated", true, false},
    {"no-auto-create", NULL, "refuse messages to topics that don't exist", false, false},
    {"fault", "RULE", "such as code=11,topic=T,skip=2,times=1,action=cut,bytes=20; may be repeated",
     true, false},
    {NULL, NULL, NULL, false, false},
};

const mill_command mill_command_broker = {
    "broker",
    "Runs the development broker: name server and broker in one process.",
    "For development and tests; not a production broker.\n"
    "A fault rule is KEY=VALUE,... of: action (delay, drop, ignore, cut, close, repeat, reorder, "
    "corrupt, code, restart,\n"
    "stall); which requests: code, topic, skip, times, percent, seed; how: ms, bytes, bit, answer.",
    NULL,
    options,
    false,
    run,
};
