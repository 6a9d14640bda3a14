/* The name server's tables and requests. */
#ifndef RMQ_DEV_NAME_SERVER_H
#define RMQ_DEV_NAME_SERVER_H

#include <rmq/devbroker.h>

#include "message_store.h"
#include "string_map.h"

struct rmq_dev_request;

typedef struct rmq_dev_name_server {
    rmq_dev_map routes;   /* topic to its queues, as the broker registered them */
    rmq_dev_map settings; /* "namespace\1key" to a string (KV configuration) */
} rmq_dev_name_server;

void rmq_dev_name_server_init(rmq_dev_name_server *name_server, uint32_t seed);
void rmq_dev_name_server_deinit(rmq_dev_name_server *name_server);

/* What the broker does when a topic changed, and every 30 s for all of them. Errors: NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_dev_register_topic(rmq_devbroker *broker, const rmq_dev_topic *topic,
                                                 rmq_error *err);
RMQ_MUST_CHECK rmq_status rmq_dev_register_all(rmq_devbroker *broker, rmq_error *err);

void rmq_dev_handle_route(struct rmq_dev_request *request);             /* 105 */
void rmq_dev_handle_cluster_info(struct rmq_dev_request *request);      /* 106 */
void rmq_dev_handle_topic_list(struct rmq_dev_request *request);        /* 206 */
void rmq_dev_handle_topics_by_cluster(struct rmq_dev_request *request); /* 224 */
void rmq_dev_handle_route_delete(struct rmq_dev_request *request);      /* 216 */

/* kv_config.c */
void rmq_dev_handle_kv_put(struct rmq_dev_request *request);    /* 100 */
void rmq_dev_handle_kv_get(struct rmq_dev_request *request);    /* 101 */
void rmq_dev_handle_kv_delete(struct rmq_dev_request *request); /* 102 */
void rmq_dev_handle_kv_list(struct rmq_dev_request *request);   /* 219 */

#endif
