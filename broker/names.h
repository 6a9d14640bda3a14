/* Which names of topics and groups a broker takes, and which topics are its own. */
#ifndef RMQ_DEV_NAMES_H
#define RMQ_DEV_NAMES_H

#include <rmq/base.h>

#define RMQ_DEV_RETRY_PREFIX "%RETRY%"
#define RMQ_DEV_DLQ_PREFIX "%DLQ%"
#define RMQ_DEV_AUTO_CREATE_TOPIC "TBW102"

/* Whether the topic's name is legal; if not, `out_remark` says what a real broker says. */
bool rmq_dev_topic_name_legal(rmq_slice name, char *out_remark, size_t remark_bytes);
bool rmq_dev_group_name_legal(rmq_slice name);
/* A topic that can't be created or deleted. */
bool rmq_dev_topic_is_system(rmq_slice name);
/* A topic that can't be sent to. */
bool rmq_dev_topic_is_internal(rmq_slice name);
bool rmq_dev_topic_is_retry(rmq_slice name);

#endif
