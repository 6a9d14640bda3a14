/* What the broker says about itself: 26 and 28. */
#ifndef RMQ_DEV_RUNTIME_H
#define RMQ_DEV_RUNTIME_H

#include "answer.h"

void rmq_dev_handle_broker_config(rmq_dev_request *request); /* 26 */
void rmq_dev_handle_runtime_info(rmq_dev_request *request);  /* 28 */

#endif
