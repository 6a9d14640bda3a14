/* Checks the public configuration once, fills in the defaults of a 5.4.0 broker, and owns copies of
 * its strings, so that no other file asks whether something is zero or NULL. */
#include "settings.h"

#include <arpa/inet.h>
#include <string.h>
#include <time.h>

#include "sized_struct.h"

#define DEFAULT_VERSION 493
#define FIRST_V5_VERSION 413
#define DEFAULT_MEMORY_BYTES ((size_t)1024 * 1024 * 1024)
#define MAX_QUEUES 65536
#define MAX_PULL_MESSAGES 65536

static const char *or_default(const char *value, const char *fallback)
{
    return value != NULL && value[0] != '\0' ? value : fallback;
}

static rmq_status check_config(const rmq_devbroker_config *config, rmq_error *err)
{
    struct in_addr address;
    if (config->listen_address != NULL && inet_pton(AF_INET, config->listen_address, &address) != 1)
        return rmq_error_set(err, RMQ_INVAL, "devbroker: %s is no IPv4 address",
                             config->listen_address);
    if (config->default_queues < 0 || config->default_queues > MAX_QUEUES)
        return rmq_error_set(err, RMQ_INVAL, "devbroker: default_queues %d is not within 0 and %d",
                             config->default_queues, MAX_QUEUES);
    if (config->max_pull_messages < 0 || config->max_pull_messages > MAX_PULL_MESSAGES ||
        config->long_poll_check_ms < 0 || config->transaction_check_ms < 0)
        return rmq_error_set(err, RMQ_INVAL, "devbroker: a limit is out of range");
    if (config->version < 0 || config->version > UINT16_MAX)
        return rmq_error_set(err, RMQ_INVAL, "devbroker: version %d is not within 0 and 65535",
                             config->version);
    return RMQ_OK;
}

static void fill_numbers(rmq_dev_settings *settings, const rmq_devbroker_config *config)
{
    settings->namesrv_port = config->namesrv_port;
    settings->broker_port = config->broker_port;
    settings->auto_create_topic = !config->no_auto_create_topic;
    settings->default_queues = config->default_queues != 0 ? config->default_queues : 8;
    settings->max_pull_messages = config->max_pull_messages != 0 ? config->max_pull_messages : 32;
    settings->max_pull_bytes = config->max_pull_bytes != 0 ? config->max_pull_bytes : 262144;
    settings->max_memory_bytes =
        config->max_memory_bytes != 0 ? config->max_memory_bytes : DEFAULT_MEMORY_BYTES;
    settings->version = config->version != 0 ? config->version : DEFAULT_VERSION;
    settings->binary_headers = config->binary_headers;
    settings->long_poll_check_ms =
        config->long_poll_check_ms != 0 ? config->long_poll_check_ms : 5000;
    settings->transaction_check_ms =
        config->transaction_check_ms != 0 ? config->transaction_check_ms : 30000;
    settings->transaction_age_ms =
        settings->transaction_check_ms < 6000 ? settings->transaction_check_ms : 6000;
    settings->log = config->log;
    settings->log_ctx = config->log_ctx;
    settings->log_level = config->log_level != 0 ? config->log_level : RMQ_LOG_INFO;
    settings->idle_ms = 120000;
    settings->write_stall_ms = 30000;
    settings->write_pause_bytes = (size_t)16 * 1024 * 1024;
    settings->write_max_bytes = (size_t)64 * 1024 * 1024;
    settings->member_ms = 120000;
    settings->sweep_ms = 1000;
}

rmq_status rmq_dev_settings_init(rmq_dev_settings *settings, const rmq_devbroker_config *config,
                                 rmq_error *err)
{
    memset(settings, 0, sizeof(*settings));
    rmq_devbroker_config known;
    const rmq_devbroker_config defaults = RMQ_DEVBROKER_CONFIG_INIT;
    rmq_status status = rmq_sized_struct_copy(
        "devbroker config", config != NULL ? config : &defaults, &known, sizeof(known), err);
    if (status == RMQ_OK)
        status = check_config(&known, err);
    if (status != RMQ_OK)
        return status;
    fill_numbers(settings, &known);
    settings->listen_address = rmq_strdup(or_default(known.listen_address, "127.0.0.1"));
    settings->broker_name = rmq_strdup(or_default(known.broker_name, "broker-a"));
    settings->cluster = rmq_strdup(or_default(known.cluster, "DefaultCluster"));
    bool failed = settings->listen_address == NULL || settings->broker_name == NULL ||
                  settings->cluster == NULL;
    if (known.directory != NULL) {
        settings->directory = rmq_strdup(known.directory);
        failed = failed || settings->directory == NULL;
    }
    if (failed) {
        rmq_dev_settings_deinit(settings);
        return rmq_error_set(err, RMQ_NOMEM, "no memory for the broker's settings");
    }
    return RMQ_OK;
}

void rmq_dev_settings_deinit(rmq_dev_settings *settings)
{
    rmq_free(settings->listen_address);
    rmq_free(settings->broker_name);
    rmq_free(settings->cluster);
    rmq_free(settings->directory);
    memset(settings, 0, sizeof(*settings));
}

bool rmq_dev_settings_is_v5(const rmq_dev_settings *settings)
{
    return settings->version >= FIRST_V5_VERSION;
}

void rmq_dev_log(const rmq_dev_settings *settings, rmq_log_level level, const char *format, ...)
{
    if (settings->log == NULL || level > settings->log_level)
        return;
    rmq_error line; /* it formats, and cuts what is too long */
    va_list arguments;
    va_start(arguments, format);
    rmq_error_setv(&line, RMQ_OK, format, arguments);
    va_end(arguments);
    settings->log(settings->log_ctx, level, "devbroker", line.text);
}

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t rmq_dev_monotonic_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

int64_t rmq_dev_wall_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}
