/* millrace produce: a line of stdin is a message.
 *
 * The lines keep their order: one request is under way at a time. So that a pipe flows all the
 * same, the lines that are there already when the one before is acknowledged go together in one
 * batch request, while a line that somebody types goes at once. The first failure ends the command
 * with the number of its line. */
#include "commands.h"

#include <stdio.h>
#include <string.h>

#include <rmq/producer.h>

#include "connection.h"
#include "line_reader.h"
#include "log.h"
#include "message_text.h"
#include "position.h"
#include "signals.h"

#define MAX_BATCH 1000
#define AUTOMATIC_BATCH 256
#define AUTOMATIC_BATCH_BYTES (1u << 20)

typedef struct sender {
    rmq_producer *producer;
    rmq_outgoing base; /* what the options say of every message */
    rmq_property *properties;
    bool json;
    size_t batch_size; /* asked for; 0: automatic */
    bool single; /* no batches: delays, compression and sharding keys are for single messages */
    mill_input_message *inputs;
    size_t n_inputs;
    size_t input_bytes;
    int64_t line;
    int64_t first_line;  /* of what is gathered */
    int64_t failed_from; /* first line of the batch that failed */
    int64_t stored;
} sender;

/* The outgoing message of one input; *out_properties is memory to be freed after the call that
 * takes it. */
static rmq_status outgoing_of(const sender *self, const mill_input_message *input,
                              rmq_outgoing *out_message, rmq_property **out_properties,
                              rmq_error *err)
{
    *out_message = self->base;
    out_message->body = (rmq_slice){input->body, input->body_len};
    if (out_message->tags == NULL)
        out_message->tags = input->tags;
    if (out_message->keys == NULL)
        out_message->keys = input->keys;
    if (input->n_properties == 0)
        return RMQ_OK;
    size_t own = self->base.n_properties;
    *out_properties = rmq_calloc(own + input->n_properties, sizeof(rmq_property));
    if (*out_properties == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory");
    for (size_t i = 0; i < own; i++)
        (*out_properties)[i] = self->properties[i];
    for (size_t i = 0; i < input->n_properties; i++)
        (*out_properties)[own + i] =
            (rmq_property){input->property_names[i], input->property_values[i]};
    out_message->properties = *out_properties;
    out_message->n_properties = own + input->n_properties;
    return RMQ_OK;
}

/* Sends what is gathered, and waits for the acknowledgement. */
static rmq_status send_gathered(sender *self, rmq_error *err)
{
    size_t n = self->n_inputs;
    if (n == 0)
        return RMQ_OK;
    rmq_outgoing *messages = rmq_calloc(n, sizeof(*messages));
    rmq_property **properties = rmq_calloc(n, sizeof(rmq_property *));
    rmq_send_result result;
    rmq_status status = RMQ_OK;
    if (messages == NULL || properties == NULL)
        status = rmq_error_set(err, RMQ_NOMEM, "out of memory");
    for (size_t i = 0; status == RMQ_OK && properties != NULL && i < n; i++)
        status = outgoing_of(self, &self->inputs[i], &messages[i], &properties[i], err);
    if (status == RMQ_OK)
        status = n > 1 || self->batch_size > 0
                     ? rmq_producer_send_batch(self->producer, messages, n, &result, err)
                     : rmq_producer_send(self->producer, &messages[0], &result, err);
    if (status == RMQ_OK)
        self->stored += (int64_t)n;
    else
        self->failed_from = self->first_line;
    for (size_t i = 0; properties != NULL && i < n; i++)
        rmq_free(properties[i]);
    rmq_free(properties);
    rmq_free(messages);
    for (size_t i = 0; i < n; i++)
        mill_input_message_deinit(&self->inputs[i]);
    self->n_inputs = 0;
    self->input_bytes = 0;
    return status;
}

static rmq_status gather(sender *self, rmq_slice line, rmq_error *err)
{
    mill_input_message *input = &self->inputs[self->n_inputs];
    memset(input, 0, sizeof(*input));
    if (self->json) {
        rmq_status status = mill_message_parse(line, input, err);
        if (status != RMQ_OK)
            return status;
    } else {
        input->body = rmq_slice_dup(line);
        input->body_len = line.len;
        if (input->body == NULL)
            return rmq_error_set(err, RMQ_NOMEM, "out of memory");
    }
    if (self->n_inputs++ == 0)
        self->first_line = self->line;
    self->input_bytes += input->body_len;
    return RMQ_OK;
}

/* Whether what is gathered must go before another line is taken. */
static bool is_full(const sender *self)
{
    if (self->batch_size > 0)
        return self->n_inputs >= self->batch_size;
    return self->n_inputs >= (self->single ? 1 : AUTOMATIC_BATCH) ||
           self->input_bytes >= AUTOMATIC_BATCH_BYTES;
}

/* Reads stdin to its end. A line that can't be sent ends it, after those before it are sent. */
static rmq_status send_lines(sender *self, rmq_error *err)
{
    mill_line_reader reader;
    memset(&reader, 0, sizeof(reader));
    rmq_status status = RMQ_OK;
    while (status == RMQ_OK) {
        rmq_slice line;
        bool only_if_there = self->n_inputs > 0 && self->batch_size == 0;
        status = mill_line_next(&reader, only_if_there, &line, err);
        if (status == RMQ_AGAIN) {
            status = send_gathered(self, err);
            continue;
        }
        if (status != RMQ_OK)
            break;
        self->line++;
        if (line.len == 0)
            continue; /* an empty line is no message: brokers refuse an empty body */
        status = gather(self, line, err);
        if (status == RMQ_OK && is_full(self))
            status = send_gathered(self, err);
    }
    mill_line_reader_deinit(&reader);
    rmq_error later;
    if (status == RMQ_NOT_FOUND)
        return send_gathered(self, err);
    if (status == RMQ_INVAL && send_gathered(self, &later) != RMQ_OK)
        *err = later;
    return status;
}

static bool parse_compression(const mill_args *args, rmq_compression *out_compression)
{
    static const struct {
        const char *name;
        rmq_compression compression;
    } names[] = {{"zlib", RMQ_COMPRESSION_ZLIB},
                 {"lz4", RMQ_COMPRESSION_LZ4},
                 {"zstd", RMQ_COMPRESSION_ZSTD}};
    const char *text = mill_args_get(args, "compress");
    if (text == NULL)
        return true;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i].name, text) == 0) {
            *out_compression = names[i].compression;
            return true;
        }
    }
    mill_complain_usage(mill_args_command(args), "--compress %s is none of zlib, lz4, zstd", text);
    return false;
}

/* NAME=VALUE: the name is a copy whose '=' became a zero. */
static bool parse_properties(const mill_args *args, sender *self)
{
    size_t n = mill_args_count(args, "property");
    self->properties = rmq_calloc(n + 1, sizeof(rmq_property));
    if (self->properties == NULL)
        return mill_complain("out of memory"), false;
    for (size_t i = 0; i < n; i++) {
        char *text = rmq_strdup(mill_args_at(args, "property", i));
        char *equals = text != NULL ? strchr(text, '=') : NULL;
        if (equals == NULL || equals == text || equals[1] == '\0') {
            rmq_free(text);
            mill_complain_usage(mill_args_command(args), "--property %s is not NAME=VALUE",
                                mill_args_at(args, "property", i));
            return false;
        }
        *equals = '\0';
        self->properties[i] = (rmq_property){text, equals + 1};
        self->base.n_properties = i + 1;
    }
    self->base.properties = self->properties;
    return true;
}

static bool parse_delivery(const mill_args *args, sender *self)
{
    int64_t delay = 0;
    const char *deliver = mill_args_get(args, "deliver-at");
    if (!mill_args_int64(args, "delay-level", 0, 18, 0, &delay))
        return false;
    self->base.delay_level = (int32_t)delay;
    if (deliver != NULL &&
        !mill_time_parse(deliver, rmq_clock_wall_ms(), &self->base.deliver_at_ms)) {
        mill_complain_usage(mill_args_command(args),
                            "--deliver-at %s is not a time (2026-01-31T12:00:00Z or @milliseconds)",
                            deliver);
        return false;
    }
    self->single = delay > 0 || deliver != NULL || self->base.compression != RMQ_COMPRESSION_NONE ||
                   self->base.sharding_key != NULL;
    return true;
}

static bool parse(const mill_args *args, sender *self)
{
    int64_t batch = 0;
    self->base.topic = mill_args_need(args, "topic");
    self->base.tags = mill_args_get(args, "tags");
    self->base.keys = mill_args_get(args, "keys");
    self->base.sharding_key = mill_args_get(args, "sharding-key");
    self->json = mill_args_flag(args, "json");
    if (self->base.topic == NULL || !mill_args_int64(args, "batch", 1, MAX_BATCH, 0, &batch) ||
        !parse_compression(args, &self->base.compression) || !parse_properties(args, self) ||
        !parse_delivery(args, self))
        return false;
    self->batch_size = (size_t)batch;
    if (batch > 0 && self->single) {
        mill_complain_usage(mill_args_command(args),
                            "--batch goes with none of a delay, --compress and --sharding-key");
        return false;
    }
    self->inputs = rmq_calloc(MAX_BATCH, sizeof(*self->inputs));
    if (self->inputs == NULL)
        return mill_complain("out of memory"), false;
    return true;
}

/* Which lines it was, and how many were acknowledged before. */
static void complain(const sender *self, const rmq_error *err)
{
    char lines[64];
    if (self->failed_from > 0 && self->failed_from < self->line)
        snprintf(lines, sizeof(lines), "lines %lld to %lld", (long long)self->failed_from,
                 (long long)self->line);
    else
        snprintf(lines, sizeof(lines), "line %lld", (long long)self->line);
    mill_complain("produce: %s: %s; %lld messages before were stored", lines, err->text,
                  (long long)self->stored);
}

static int send_all(sender *self, rmq_client *client)
{
    rmq_producer_config config = RMQ_PRODUCER_CONFIG_INIT;
    rmq_error err;
    mill_signals_cancel_client(
        NULL); /* what is under way when a stop comes is still acknowledged */
    rmq_status status = rmq_producer_new(client, &config, &self->producer, &err);
    if (status == RMQ_OK)
        status = send_lines(self, &err);
    rmq_producer_free(self->producer);
    if (status != RMQ_OK)
        complain(self, &err);
    else if (mill_signals_stopping() || mill_log_level() >= RMQ_LOG_INFO)
        mill_log_say("produce", "%lld messages stored", (long long)self->stored);
    return status == RMQ_OK ? MILL_EXIT_OK : MILL_EXIT_FAILURE;
}

static int run(const mill_args *args)
{
    sender self;
    int exit_code = MILL_EXIT_USAGE;
    memset(&self, 0, sizeof(self));
    self.base = (rmq_outgoing)RMQ_OUTGOING_INIT;
    rmq_client *client = parse(args, &self) ? mill_connect(args, &exit_code) : NULL;
    if (client != NULL)
        exit_code = send_all(&self, client);
    mill_disconnect(client);
    for (size_t i = 0; i < self.n_inputs; i++)
        mill_input_message_deinit(&self.inputs[i]);
    rmq_free(self.inputs);
    for (size_t i = 0; i < self.base.n_properties; i++)
        rmq_free((char *)self.properties[i].name);
    rmq_free(self.properties);
    return exit_code;
}

static const mill_option options[] = {
    {"topic", "TOPIC", "where to (needed)", false, false},
    {"tags", "TAG", "the tag of every message", false, false},
    {"keys", "K1 K2", "the keys of every message", false, false},
    {"property", "NAME=VALUE", "a property of every message; may be repeated", true, false},
    {"delay-level", "N", "1 to 18: 1s 5s 10s 30s 1m ... 2h", false, false},
    {"deliver-at", "TIME", "when consumers may see it (5.x brokers)", false, false},
    {"sharding-key", "KEY", "all to the queue that the key's hash chooses", false, false},
    {"batch", "N", "always N messages in one request (default: what is there already, up to 256)",
     false, false},
    {"compress", "zlib|lz4|zstd", "compress bodies", false, false},
    {"json", NULL, "a line is a JSON object as consume prints it", false, false},
    {NULL, NULL, NULL, false, false},
};

const mill_command mill_command_produce = {
    "produce",
    "Sends each line of standard input as a message.",
    "Ends with 0 only if every message was acknowledged. An empty line is no message.\n"
    "Lines that go to the same queue keep their order.",
    NULL,
    options,
    true,
    run,
};
