/* millrace checkpoint show: what a checkpoint holds.
 *
 * --json passes the engine's description on; for a person the same is laid out: whose it is, how
 * far it is, where it stands in each queue. */
#include "commands.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <mill/checkpoint.h>
#include <rmq/json.h>

#include "output.h"

/* A member of the JSON object `text`, as raw text; empty if it isn't there. Strings lose their
 * quotes (none of ours have escapes that matter to a reader). */
static rmq_slice member(rmq_slice text, const char *name)
{
    rmq_json json;
    rmq_slice key;
    rmq_slice value = {NULL, 0};
    rmq_json_init(&json, text, false);
    if (rmq_json_peek(&json) == RMQ_JSON_OBJECT && rmq_json_enter_object(&json)) {
        while (value.data == NULL && rmq_json_next_key(&json, &key)) {
            bool wanted = rmq_slice_equals(key, name);
            rmq_slice raw;
            if (!rmq_json_read_raw(&json, &raw))
                break;
            if (wanted)
                value = raw;
        }
    }
    rmq_json_deinit(&json);
    if (value.data != NULL && value.len >= 2 && value.data[0] == '"')
        value = (rmq_slice){value.data + 1, value.len - 2};
    return value;
}

static int64_t number(rmq_slice text, const char *name)
{
    rmq_slice raw = member(text, name);
    int64_t value = 0;
    rmq_json json;
    rmq_json_init(&json, raw, false);
    if (rmq_json_peek(&json) == RMQ_JSON_NUMBER)
        rmq_json_read_int64(&json, &value);
    rmq_json_deinit(&json);
    return value;
}

static void print_time(const char *what, int64_t ms)
{
    char stamp[40];
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;
    if (ms <= 0 || gmtime_r(&seconds, &parts) == NULL)
        return;
    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &parts);
    mill_output_print("%-14s %s\n", what, stamp);
}

/* Who has the lock, or had it last. */
static void print_holder(rmq_slice lock)
{
    rmq_slice host = member(lock, "host");
    if (host.len > 0)
        mill_output_print("%-14s pid %lld on host %.*s\n", "last holder",
                          (long long)number(lock, "pid"), (int)host.len, host.data);
}

static void print_text(const char *what, rmq_slice text)
{
    if (text.len > 0)
        mill_output_print("%-14s %.*s\n", what, (int)text.len, text.data);
}

static void print_position(rmq_slice source, rmq_slice position)
{
    rmq_slice topic = member(position, "topic");
    rmq_slice broker = member(position, "brokerName");
    mill_output_print("  %-12.*s %-28.*s %-16.*s %6lld %14lld\n", (int)source.len, source.data,
                      (int)topic.len, topic.data, (int)broker.len, broker.data,
                      (long long)number(position, "queueId"),
                      (long long)number(position, "nextOffset"));
}

static void print_positions(rmq_slice state)
{
    rmq_slice sources = member(state, "sources");
    rmq_json outer;
    rmq_slice source;
    rmq_json_init(&outer, sources, false);
    mill_output_print("\n  %-12s %-28s %-16s %6s %14s\n", "source", "topic", "broker", "queue",
                      "next offset");
    if (rmq_json_peek(&outer) == RMQ_JSON_ARRAY && rmq_json_enter_array(&outer)) {
        while (rmq_json_next_element(&outer) && rmq_json_read_raw(&outer, &source)) {
            rmq_json inner;
            rmq_slice position;
            rmq_json_init(&inner, member(source, "positions"), false);
            if (rmq_json_peek(&inner) == RMQ_JSON_ARRAY && rmq_json_enter_array(&inner))
                while (rmq_json_next_element(&inner) && rmq_json_read_raw(&inner, &position))
                    print_position(member(source, "name"), position);
            rmq_json_deinit(&inner);
        }
    }
    rmq_json_deinit(&outer);
}

static void print_all(rmq_slice text)
{
    rmq_slice meta = member(text, "meta");
    rmq_slice epoch = member(text, "epochOwner");
    rmq_slice state = member(text, "state");
    int64_t planned = number(text, "lastPlanned");
    int64_t done = number(text, "lastDone");
    print_text("checkpoint", member(text, "address"));
    print_text("job", member(meta, "name"));
    print_text("stream id", member(meta, "streamId"));
    print_time("created", number(meta, "createdMs"));
    mill_output_print("%-14s %lld\n", "format", (long long)number(meta, "format"));
    print_holder(member(text, "lock"));
    mill_output_print("%-14s %lld\n", "epoch", (long long)number(text, "epoch"));
    print_time("since", number(epoch, "startedMs"));
    mill_output_print("%-14s %lld done", "batches", (long long)done);
    if (planned > done)
        mill_output_print(", %lld planned and not finished: it runs again at the next start",
                          (long long)planned);
    mill_output_print("\n");
    if (number(member(text, "floor"), "floor") > 0)
        mill_output_print("%-14s up to batch %lld\n", "forgotten",
                          (long long)number(member(text, "floor"), "floor"));
    mill_output_print("%-14s %lld\n", "messages read",
                      (long long)number(member(state, "counters"), "inputRows"));
    print_positions(state);
}

static int run(const mill_args *args)
{
    const char *address = mill_args_positional(args, 0);
    char *json = NULL;
    rmq_error err;
    if (mill_checkpoint_describe(address, &json, &err) != RMQ_OK)
        return mill_complain_error("checkpoint show", &err);
    if (mill_args_flag(args, "json")) {
        mill_output_write(rmq_slice_of(json));
        mill_output_print("\n");
    } else {
        print_all(rmq_slice_of(json));
    }
    rmq_free(json);
    return mill_output_exit(MILL_EXIT_OK);
}

static const char *const positionals[] = {"DIR", NULL};

static const mill_option options[] = {
    {"json", NULL, "one JSON object", false, false},
    {NULL, NULL, NULL, false, false},
};

const mill_command mill_command_checkpoint_show = {
    "checkpoint show",
    "Shows what a checkpoint holds: whose it is, how far it is, where it stands in each queue.",
    NULL,
    positionals,
    options,
    false,
    run,
};
