/* Administration: topics. */
#ifndef RMQ_ADMIN_H
#define RMQ_ADMIN_H

#include <rmq/client.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rmq_topic_config {
    size_t struct_size;
    const char *topic;
    int32_t read_queues;     /* default 4 */
    int32_t write_queues;    /* default 4 */
    int32_t perm;            /* 4 read, 2 write; default 6 */
    const char *attributes;  /* 5.x: "+message.type=NORMAL"; may be NULL */
    const char *broker_name; /* NULL: every master of the cluster(s) */
} rmq_topic_config;

#define RMQ_TOPIC_CONFIG_INIT                                                                      \
    {                                                                                              \
        .struct_size = sizeof(rmq_topic_config)                                                    \
    }

/* Creates the topic on every master, or updates it, and waits until every name server's route shows
 * it (up to the request timeout). Errors: INVAL, AUTH, TIMEOUT, IO, BROKER. Thread: any but the
 * loop, as all functions here. Source: UPDATE_AND_CREATE_TOPIC (17). */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_topic_create(rmq_client *client,
                                                   const rmq_topic_config *config, rmq_error *err);
/* Deletes it on every broker, then on every name server. NOT_FOUND if there is none.
 * Source: DELETE_TOPIC_IN_BROKER (215), DELETE_TOPIC_IN_NAMESRV (216). */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_topic_delete(rmq_client *client, const char *topic,
                                                   rmq_error *err);

typedef struct rmq_topic_names rmq_topic_names;
/* Names of all topics, sorted. Source: GET_ALL_TOPIC_LIST_FROM_NAMESERVER (206). */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_topic_list(rmq_client *client, rmq_topic_names **out_names,
                                                 rmq_error *err);
RMQ_API size_t rmq_topic_names_count(const rmq_topic_names *names);
RMQ_API const char *rmq_topic_names_at(const rmq_topic_names *names, size_t index);
RMQ_API void rmq_topic_names_free(rmq_topic_names *names);

/* One queue of a described topic. */
typedef struct rmq_topic_queue {
    rmq_queue queue;
    const char *broker_address; /* of the master; empty if there is none */
    const char *cluster;
    int32_t perm;
    bool readable;
    bool writable;
    int64_t min_offset;     /* -1 if the broker did not answer */
    int64_t max_offset;     /* exclusive */
    int64_t last_update_ms; /* 0: never written */
} rmq_topic_queue;

typedef struct rmq_topic_description rmq_topic_description;
/* Every queue of the topic, sorted, with its offsets. A broker that does not answer leaves -1 in
 * its queues. NOT_FOUND if there is no such topic. Source: 105 and GET_TOPIC_STATS_INFO (202). */
RMQ_API RMQ_MUST_CHECK rmq_status rmq_topic_describe(rmq_client *client, const char *topic,
                                                     rmq_topic_description **out_description,
                                                     rmq_error *err);
RMQ_API size_t rmq_topic_description_count(const rmq_topic_description *description);
RMQ_API const rmq_topic_queue *rmq_topic_description_at(const rmq_topic_description *description,
                                                        size_t index);
RMQ_API void rmq_topic_description_free(rmq_topic_description *description);

#ifdef __cplusplus
}
#endif

#endif
