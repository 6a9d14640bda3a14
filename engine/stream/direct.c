/* The direct stream over <rmq/client.h> and <rmq/consumer.h>.
 *
 * No group is joined and no offset is kept at the broker: the driver asks each queue for its end,
 * chooses a range, and tasks read the ranges, all queues at once. What was read is known from the
 * checkpoint alone. The group's offsets are told to the brokers after each batch, so that ordinary
 * tools show the lag; nothing here ever reads them again but MILL_START_GROUP at the very first
 * start.
 *
 * This file is the life of the source; what it plans is in direct_plan.c, how it reads in
 * direct_read.c, the thread beside the driver in direct_keeper.c. */
#include "direct.h"

#include <string.h>
#include <time.h>

#include "../core/context.h"
#include "../core/run.h"
#include "../core/versioned.h"
#include "position_json.h"

#define DEFAULT_RECORDS_PER_BATCH 1000000

/* Cuts "A, B" into `direct->topics`. */
static rmq_status set_topics(mill_direct *direct, const char *text, rmq_error *err)
{
    size_t len = text != NULL ? strlen(text) : 0, n_commas = 0;
    for (size_t i = 0; i < len; i++)
        n_commas += text[i] == ',';
    direct->topic_list = rmq_strdup(len > 0 ? text : "");
    direct->topics = rmq_calloc(n_commas + 1, sizeof(char *));
    if (direct->topic_list == NULL || direct->topics == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory for a direct stream");
    char *rest = NULL;
    for (char *topic = strtok_r(direct->topic_list, ", ", &rest); topic != NULL;
         topic = strtok_r(NULL, ", ", &rest))
        direct->topics[direct->n_topics++] = topic;
    if (direct->n_topics == 0)
        return rmq_error_set(err, RMQ_INVAL, "direct stream: topics is needed");
    return RMQ_OK;
}

static void client_log(void *ctx, rmq_log_level level, const char *area, const char *line)
{
    mill_context_log(ctx, level, area, "%s", line);
}

static rmq_status make_client(mill_direct *direct, const rmq_client_config *given, rmq_error *err)
{
    rmq_client_config config = *given;
    if (config.struct_size == 0)
        config.struct_size = sizeof(config);
    if (config.log == NULL) {
        config.log = client_log;
        config.log_ctx = mill_stream_engine(direct->stream);
        config.log_level = mill_stream_engine(direct->stream)->config.log_level;
    }
    return rmq_client_new(&config, &direct->client, err);
}

static rmq_status check_config(const mill_direct_config *config, rmq_error *err)
{
    if ((unsigned)config->start > MILL_START_GROUP)
        return rmq_error_set(err, RMQ_INVAL, "direct stream: there is no start %d",
                             (int)config->start);
    if ((unsigned)config->on_data_loss > MILL_DATA_LOSS_SKIP)
        return rmq_error_set(err, RMQ_INVAL, "direct stream: there is no on_data_loss %d",
                             (int)config->on_data_loss);
    if (config->max_rate_per_queue < 0 || config->max_records_per_batch < 0)
        return rmq_error_set(err, RMQ_INVAL, "direct stream: a rate is negative");
    return RMQ_OK;
}

static rmq_status init(mill_direct *direct, const mill_direct_config *config, rmq_error *err)
{
    rmq_status status = check_config(config, err);
    if (status == RMQ_OK)
        status = set_topics(direct, config->topics, err);
    if (status != RMQ_OK)
        return status;
    direct->name = rmq_strdup(config->name != NULL ? config->name : "direct");
    direct->group =
        rmq_strdup(config->group != NULL ? config->group : mill_stream_name(direct->stream));
    if (direct->name == NULL || direct->group == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory for a direct stream");
    direct->start = config->start;
    direct->start_timestamp_ms = config->start_timestamp_ms;
    direct->on_data_loss = config->on_data_loss;
    direct->max_rate_per_queue = config->max_rate_per_queue;
    direct->max_records_per_batch = config->max_records_per_batch > 0
                                        ? config->max_records_per_batch
                                        : DEFAULT_RECORDS_PER_BATCH;
    return make_client(direct, &config->client, err);
}

static void describe(void *self, rmq_json_writer *writer)
{
    const mill_direct *direct = self;
    rmq_json_key(writer, "topics");
    rmq_json_begin_array(writer);
    for (size_t i = 0; i < direct->n_topics; i++)
        rmq_json_string(writer, direct->topics[i]);
    rmq_json_end_array(writer);
}

static rmq_status open_direct(void *self, rmq_error *err)
{
    mill_direct *direct = self;
    rmq_status status = rmq_client_connect(direct->client, 0, err);
    if (status == RMQ_OK)
        status = mill_direct_ask_queues(direct, &direct->queues, err);
    if (status != RMQ_OK)
        return status;
    direct->queues_changed = true;
    return mill_direct_keeper_start(direct, err);
}

static void report(void *self, const mill_positions *positions)
{
    mill_direct *direct = self;
    pthread_mutex_lock(&direct->lock);
    mill_positions_clear(&direct->reports);
    bool complete = true;
    for (size_t i = 0; complete && i < positions->count; i++)
        complete = mill_positions_copy(&direct->reports, &positions->items[i], NULL) == RMQ_OK;
    direct->has_reports = complete;
    pthread_cond_broadcast(&direct->wake);
    pthread_mutex_unlock(&direct->lock);
}

static void cancel_direct(void *self)
{
    rmq_client_cancel(((mill_direct *)self)->client);
}

static void close_direct(void *self)
{
    mill_direct *direct = self;
    mill_direct_keeper_stop(direct);
    rmq_client_free(direct->client);
    direct->client = NULL;
}

static void free_direct(void *self)
{
    mill_direct *direct = self;
    if (direct == NULL)
        return;
    rmq_client_free(direct->client);
    mill_positions_clear(&direct->known);
    mill_positions_clear(&direct->ends);
    mill_positions_clear(&direct->doubts);
    mill_positions_clear(&direct->queues);
    mill_positions_clear(&direct->reports);
    for (size_t i = 0; i < direct->n_brokers; i++)
        rmq_free(direct->brokers[i].name);
    rmq_free(direct->brokers);
    rmq_free(direct->topic_list);
    rmq_free(direct->topics);
    rmq_free(direct->name);
    rmq_free(direct->group);
    pthread_mutex_destroy(&direct->lock);
    pthread_cond_destroy(&direct->wake);
    rmq_free(direct);
}

static const mill_stream_source_vtable direct_vtable = {
    .kind = "direct",
    .describe = describe,
    .open = open_direct,
    .start = mill_direct_start,
    .plan = mill_direct_plan,
    .read = mill_direct_read,
    .report = report,
    .cancel = cancel_direct,
    .close = close_direct,
    .free_self = free_direct,
};

mill_dataset *mill_direct_stream(mill_streaming_context *stream, const mill_direct_config *config,
                                 rmq_error *err)
{
    mill_direct_config copy;
    if (stream == NULL || config == NULL) {
        rmq_error_set(err, RMQ_INVAL, "direct stream: stream and config are needed");
        return NULL;
    }
    if (mill_versioned_copy(config, "mill_direct_config", &copy, sizeof(copy), err) != RMQ_OK)
        return NULL;
    mill_direct *direct = rmq_calloc(1, sizeof(*direct));
    if (direct == NULL) {
        rmq_error_set(err, RMQ_NOMEM, "out of memory for a direct stream");
        return NULL;
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&direct->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&direct->lock, NULL);
    direct->stream = stream;
    mill_dataset *dataset = NULL;
    if (init(direct, &copy, err) == RMQ_OK)
        dataset = mill_stream_add_source(stream, &direct_vtable, direct, direct->name,
                                         mill_type_message(), err);
    if (dataset == NULL)
        free_direct(direct);
    return dataset;
}
