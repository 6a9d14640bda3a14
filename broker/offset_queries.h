/* Questions about offsets and messages: 29, 30, 31, 32, 33, and the committed offsets, 14 and 15.
 */
#ifndef RMQ_DEV_OFFSET_QUERIES_H
#define RMQ_DEV_OFFSET_QUERIES_H

#include "answer.h"

void rmq_dev_handle_max_offset(rmq_dev_request *request);             /* 30 */
void rmq_dev_handle_min_offset(rmq_dev_request *request);             /* 31 */
void rmq_dev_handle_search_offset(rmq_dev_request *request);          /* 29 */
void rmq_dev_handle_earliest_time(rmq_dev_request *request);          /* 32 */
void rmq_dev_handle_view_message(rmq_dev_request *request);           /* 33 */
void rmq_dev_handle_query_consumer_offset(rmq_dev_request *request);  /* 14 */
void rmq_dev_handle_update_consumer_offset(rmq_dev_request *request); /* 15 */

#endif
