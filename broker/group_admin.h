/* Requests about clients and groups. */
#ifndef RMQ_DEV_GROUP_ADMIN_H
#define RMQ_DEV_GROUP_ADMIN_H

#include "answer.h"

/* client_manage.c */
void rmq_dev_handle_heartbeat(rmq_dev_request *request);    /* 34 */
void rmq_dev_handle_unregister(rmq_dev_request *request);   /* 35 */
void rmq_dev_handle_check_client(rmq_dev_request *request); /* 46 */

/* group_admin.c */
void rmq_dev_handle_consumer_list(rmq_dev_request *request);        /* 38 */
void rmq_dev_handle_consumer_connections(rmq_dev_request *request); /* 203 */
void rmq_dev_handle_producer_connections(rmq_dev_request *request); /* 204 */
void rmq_dev_handle_group_create(rmq_dev_request *request);         /* 200 */
void rmq_dev_handle_group_delete(rmq_dev_request *request);         /* 207 */
void rmq_dev_handle_group_config(rmq_dev_request *request);         /* 352 */
void rmq_dev_handle_consume_stats(rmq_dev_request *request);        /* 208 */

#endif
