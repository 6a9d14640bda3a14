/* The route of a topic: brokers with their addresses, and how many queues each has.
 * Source: TopicRouteData 5.4.0; protocol facts 4.2. */
#ifndef RMQ_ROUTE_H
#define RMQ_ROUTE_H

#include <rmq/base.h>

#include "buf.h"

#define RMQ_PERM_READ 4
#define RMQ_PERM_WRITE 2
#define RMQ_PERM_INHERIT 1

#define RMQ_ROUTE_MAX_BROKERS 4096
#define RMQ_ROUTE_MAX_QUEUES_PER_BROKER 65536
#define RMQ_ROUTE_MAX_QUEUES 1000000

typedef struct rmq_route_address {
    int64_t broker_id; /* 0 is the master */
    char *address;     /* host:port or [v6]:port */
} rmq_route_address;

typedef struct rmq_route_broker {
    char *broker_name;
    char *cluster;
    rmq_route_address *addresses; /* sorted by broker_id */
    size_t n_addresses;
} rmq_route_broker;

typedef struct rmq_route_queues {
    char *broker_name;
    int32_t read_queues;
    int32_t write_queues;
    int32_t perm;
    int32_t topic_sys_flag;
} rmq_route_queues;

/* Owned by the caller; rmq_route_deinit frees what it holds. Sorted by broker name. */
typedef struct rmq_route {
    rmq_route_broker *brokers;
    size_t n_brokers;
    rmq_route_queues *queues;
    size_t n_queues;
    char *order_topic_conf; /* NULL if absent */
} rmq_route;

/* Decodes a route body, legal JSON or not. Errors: PROTO, FULL (over the caps above), NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_route_decode(rmq_slice body, rmq_route *out_route, rmq_error *err);
/* Appends the body of `route` in standard JSON (brokerAddrs keys quoted), or with bare number keys.
 */
RMQ_MUST_CHECK rmq_status rmq_route_encode(const rmq_route *route, bool standard_json, rmq_buf *out,
                                           rmq_error *err);
void rmq_route_deinit(rmq_route *route);
bool rmq_route_equals(const rmq_route *left, const rmq_route *right);
/* NULL if there is none. */
const rmq_route_broker *rmq_route_broker_find(const rmq_route *route, rmq_slice broker_name);
/* Address of `broker_id`, else NULL. */
const char *rmq_route_broker_address(const rmq_route_broker *broker, int64_t broker_id);

/* topic_stats.c: body of GET_TOPIC_STATS_INFO (202), whose map keys are objects. */
typedef struct rmq_topic_stat {
    char *broker_name;
    char *topic;
    int32_t queue_id;
    int64_t min_offset;
    int64_t max_offset;
    int64_t last_update_ms;
} rmq_topic_stat;
RMQ_MUST_CHECK rmq_status rmq_topic_stats_decode(rmq_slice body, rmq_topic_stat **out_stats,
                                                 size_t *out_count, rmq_error *err);
void rmq_topic_stats_free(rmq_topic_stat *stats, size_t count);

/* topic_list.c: {"topicList":[...]} of 206. */
RMQ_MUST_CHECK rmq_status rmq_topic_list_decode(rmq_slice body, char ***out_topics,
                                                size_t *out_count, rmq_error *err);
void rmq_topic_list_free(char **topics, size_t count);

/* cluster_info.c: body of GET_BROKER_CLUSTER_INFO (106): brokers only. Fills out_route->brokers. */
RMQ_MUST_CHECK rmq_status rmq_cluster_info_decode(rmq_slice body, rmq_route *out_route,
                                                  rmq_error *err);

#endif
