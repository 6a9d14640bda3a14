/* The broker's configuration, checked and with its defaults filled in, and limits that only tests
 * change. */
#ifndef RMQ_DEV_SETTINGS_H
#define RMQ_DEV_SETTINGS_H

#include <rmq/devbroker.h>

typedef struct rmq_dev_settings {
    char *listen_address;
    uint16_t namesrv_port;
    uint16_t broker_port;
    char *broker_name;
    char *cluster;
    char *directory; /* or NULL */
    bool auto_create_topic;
    int32_t default_queues;
    int32_t max_pull_messages;
    size_t max_pull_bytes;
    size_t max_memory_bytes;
    int32_t version;
    bool binary_headers;
    int64_t long_poll_check_ms;
    int64_t transaction_check_ms;
    rmq_log_fn log;
    void *log_ctx;
    rmq_log_level log_level;

    /* A connection is closed after so long without traffic (facts 2), or when it doesn't take a
     * byte of what waits for it. */
    int64_t idle_ms;
    int64_t write_stall_ms;
    size_t write_pause_bytes;   /* from so many waiting bytes on no more requests are read */
    size_t write_max_bytes;     /* a connection with more is closed */
    int64_t member_ms;          /* a group member is dropped after so long without a heartbeat */
    int64_t sweep_ms;           /* how often the times above are looked at */
    int64_t transaction_age_ms; /* an undecided transaction is asked for from this age on */
} rmq_dev_settings;

/* Errors: INVAL, NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_dev_settings_init(rmq_dev_settings *settings,
                                                const rmq_devbroker_config *config, rmq_error *err);
void rmq_dev_settings_deinit(rmq_dev_settings *settings);

/* Whether it plays a 5.x broker (413 is 5.0.0; facts 1.5). */
bool rmq_dev_settings_is_v5(const rmq_dev_settings *settings);

void rmq_dev_log(const rmq_dev_settings *settings, rmq_log_level level, const char *format, ...)
    RMQ_PRINTF(3, 4);

/* Milliseconds: of a clock that never jumps, and since 1970. */
int64_t rmq_dev_monotonic_ms(void);
int64_t rmq_dev_wall_ms(void);

#endif
