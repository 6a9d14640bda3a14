/* Request and response codes, each list once, as an X-macro. Source: RequestCode,
 * ResponseCode 5.4.0; protocol facts 3. */
#ifndef RMQ_CODES_H
#define RMQ_CODES_H

#include <stdint.h>

#define RMQ_REQUEST_CODES(X)                                                                       \
    X(SEND_MESSAGE, 10)                                                                            \
    X(PULL_MESSAGE, 11)                                                                            \
    X(QUERY_MESSAGE, 12)                                                                           \
    X(QUERY_CONSUMER_OFFSET, 14)                                                                   \
    X(UPDATE_CONSUMER_OFFSET, 15)                                                                  \
    X(UPDATE_AND_CREATE_TOPIC, 17)                                                                 \
    X(GET_ALL_TOPIC_CONFIG, 21)                                                                    \
    X(UPDATE_BROKER_CONFIG, 25)                                                                    \
    X(GET_BROKER_CONFIG, 26)                                                                       \
    X(GET_BROKER_RUNTIME_INFO, 28)                                                                 \
    X(SEARCH_OFFSET_BY_TIMESTAMP, 29)                                                              \
    X(GET_MAX_OFFSET, 30)                                                                          \
    X(GET_MIN_OFFSET, 31)                                                                          \
    X(GET_EARLIEST_MSG_STORETIME, 32)                                                              \
    X(VIEW_MESSAGE_BY_ID, 33)                                                                      \
    X(HEART_BEAT, 34)                                                                              \
    X(UNREGISTER_CLIENT, 35)                                                                       \
    X(CONSUMER_SEND_MSG_BACK, 36)                                                                  \
    X(END_TRANSACTION, 37)                                                                         \
    X(GET_CONSUMER_LIST_BY_GROUP, 38)                                                              \
    X(CHECK_TRANSACTION_STATE, 39)                                                                 \
    X(NOTIFY_CONSUMER_IDS_CHANGED, 40)                                                             \
    X(LOCK_BATCH_MQ, 41)                                                                           \
    X(UNLOCK_BATCH_MQ, 42)                                                                         \
    X(GET_ALL_CONSUMER_OFFSET, 43)                                                                 \
    X(CHECK_CLIENT_CONFIG, 46)                                                                     \
    X(PUT_KV_CONFIG, 100)                                                                          \
    X(GET_KV_CONFIG, 101)                                                                          \
    X(DELETE_KV_CONFIG, 102)                                                                       \
    X(GET_ROUTEINFO_BY_TOPIC, 105)                                                                 \
    X(GET_BROKER_CLUSTER_INFO, 106)                                                                \
    X(UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, 200)                                                    \
    X(GET_ALL_SUBSCRIPTIONGROUP_CONFIG, 201)                                                       \
    X(GET_TOPIC_STATS_INFO, 202)                                                                   \
    X(GET_CONSUMER_CONNECTION_LIST, 203)                                                           \
    X(GET_PRODUCER_CONNECTION_LIST, 204)                                                           \
    X(GET_ALL_TOPIC_LIST_FROM_NAMESERVER, 206)                                                     \
    X(DELETE_SUBSCRIPTIONGROUP, 207)                                                               \
    X(GET_CONSUME_STATS, 208)                                                                      \
    X(DELETE_TOPIC_IN_BROKER, 215)                                                                 \
    X(DELETE_TOPIC_IN_NAMESRV, 216)                                                                \
    X(RESET_CONSUMER_CLIENT_OFFSET, 220)                                                           \
    X(GET_CONSUMER_STATUS_FROM_CLIENT, 221)                                                        \
    X(INVOKE_BROKER_TO_RESET_OFFSET, 222)                                                          \
    X(GET_TOPICS_BY_CLUSTER, 224)                                                                  \
    X(GET_CONSUMER_RUNNING_INFO, 307)                                                              \
    X(CONSUME_MESSAGE_DIRECTLY, 309)                                                               \
    X(SEND_MESSAGE_V2, 310)                                                                        \
    X(SEND_BATCH_MESSAGE, 320)                                                                     \
    X(SEND_REPLY_MESSAGE, 324)                                                                     \
    X(SEND_REPLY_MESSAGE_V2, 325)                                                                  \
    X(PUSH_REPLY_MESSAGE_TO_CLIENT, 326)                                                           \
    X(GET_TOPIC_CONFIG, 351)                                                                       \
    X(GET_SUBSCRIPTIONGROUP_CONFIG, 352)                                                           \
    X(LITE_PULL_MESSAGE, 361)                                                                      \
    X(RECALL_MESSAGE, 370)                                                                         \
    X(QUERY_ASSIGNMENT, 400)                                                                       \
    X(AUTH_CREATE_USER, 3001)                                                                      \
    X(AUTH_CREATE_ACL, 3006)                                                                       \
    X(POP_MESSAGE, 200050)                                                                         \
    X(ACK_MESSAGE, 200051)                                                                         \
    X(CHANGE_MESSAGE_INVISIBLETIME, 200053)                                                        \
    X(BATCH_ACK_MESSAGE, 200151)

#define RMQ_RESPONSE_CODES(X)                                                                      \
    X(SUCCESS, 0)                                                                                  \
    X(SYSTEM_ERROR, 1)                                                                             \
    X(SYSTEM_BUSY, 2)                                                                              \
    X(REQUEST_CODE_NOT_SUPPORTED, 3)                                                               \
    X(FLUSH_DISK_TIMEOUT, 10)                                                                      \
    X(SLAVE_NOT_AVAILABLE, 11)                                                                     \
    X(FLUSH_SLAVE_TIMEOUT, 12)                                                                     \
    X(MESSAGE_ILLEGAL, 13)                                                                         \
    X(SERVICE_NOT_AVAILABLE, 14)                                                                   \
    X(NO_PERMISSION, 16)                                                                           \
    X(TOPIC_NOT_EXIST, 17)                                                                         \
    X(PULL_NOT_FOUND, 19)                                                                          \
    X(PULL_RETRY_IMMEDIATELY, 20)                                                                  \
    X(PULL_OFFSET_MOVED, 21)                                                                       \
    X(QUERY_NOT_FOUND, 22)                                                                         \
    X(SUBSCRIPTION_PARSE_FAILED, 23)                                                               \
    X(SUBSCRIPTION_NOT_EXIST, 24)                                                                  \
    X(SUBSCRIPTION_NOT_LATEST, 25)                                                                 \
    X(SUBSCRIPTION_GROUP_NOT_EXIST, 26)                                                            \
    X(INVALID_PARAMETER, 29)                                                                       \
    X(CONSUMER_NOT_ONLINE, 206)                                                                    \
    X(CONSUME_MSG_TIMEOUT, 207)                                                                    \
    X(NO_MESSAGE, 208)                                                                             \
    X(POLLING_FULL, 209)                                                                           \
    X(POLLING_TIMEOUT, 210)                                                                        \
    X(FLOW_CONTROL, 215)                                                                           \
    X(NOT_LEADER_FOR_QUEUE, 501)                                                                   \
    X(ILLEGAL_OPERATION, 604)                                                                      \
    X(GO_AWAY, 1500)

#define RMQ_X(name, number) RMQ_REQUEST_##name = (number),
typedef enum rmq_request_code { RMQ_REQUEST_CODES(RMQ_X) } rmq_request_code;
#undef RMQ_X

#define RMQ_X(name, number) RMQ_RESPONSE_##name = (number),
typedef enum rmq_response_code { RMQ_RESPONSE_CODES(RMQ_X) } rmq_response_code;
#undef RMQ_X

/* "PULL_MESSAGE", or "UNKNOWN". Static. */
const char *rmq_request_code_name(int32_t code);
const char *rmq_response_code_name(int32_t code);

#endif
