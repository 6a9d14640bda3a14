/* Runtime information and configuration: the entries that a client has a use for, under their real
 * names. `dispatchBehindBytes` is always 0, since a message here is readable once it is stored.
 * Protocol facts 14. */
#include "runtime.h"

#include <inttypes.h>
#include <stdio.h>

#include <rmq/json.h>

#include "broker_state.h"
#include "codes.h"

static void entry(rmq_json_writer *writer, const char *name, int64_t value)
{
    char text[32];
    snprintf(text, sizeof(text), "%" PRId64, value);
    rmq_json_key(writer, name);
    rmq_json_string(writer, text);
}

static int64_t lowest_physical(const rmq_dev_store *store)
{
    int64_t lowest = store->next_physical_offset;
    for (rmq_dev_map_entry *at = store->topics.first; at != NULL; at = at->next) {
        const rmq_dev_topic *topic = at->value;
        for (int32_t i = 0; i < topic->n_queues; i++) {
            const rmq_dev_queue *queue = topic->queues[i];
            if (queue == NULL || queue->count == 0)
                continue;
            int64_t first = rmq_dev_queue_at(queue, queue->min_offset)->physical_offset;
            if (first < lowest)
                lowest = first;
        }
    }
    return lowest;
}

void rmq_dev_handle_runtime_info(rmq_dev_request *request)
{
    rmq_devbroker *broker = request->broker;
    rmq_json_writer writer;
    rmq_json_writer_init(&writer);
    rmq_json_begin_object(&writer);
    rmq_json_key(&writer, "table");
    rmq_json_begin_object(&writer);
    rmq_json_key(&writer, "brokerVersionDesc");
    rmq_json_string(&writer, rmq_dev_settings_is_v5(&broker->settings) ? "V5_4_0" : "V4_9_7");
    entry(&writer, "brokerVersion", broker->settings.version);
    rmq_json_key(&writer, "brokerActive");
    rmq_json_string(&writer, "true");
    entry(&writer, "bootTimestamp", broker->boot_ms);
    entry(&writer, "commitLogMinOffset", lowest_physical(&broker->store));
    entry(&writer, "commitLogMaxOffset", broker->store.next_physical_offset);
    entry(&writer, "dispatchBehindBytes", 0);
    entry(&writer, "sendThreadPoolQueueSize", 0);
    entry(&writer, "pullThreadPoolQueueSize", 0);
    entry(&writer, "EndTransactionQueueSize", 0);
    entry(&writer, "msgPutTotalTodayNow", (int64_t)broker->store.messages_put);
    rmq_json_key(&writer, "putTps");
    rmq_json_string(&writer, "0.0 0.0 0.0");
    rmq_json_end_object(&writer);
    rmq_json_end_object(&writer);
    rmq_dev_answer_json(&request->reply, &writer);
}

void rmq_dev_handle_broker_config(rmq_dev_request *request)
{
    const rmq_devbroker *broker = request->broker;
    const rmq_dev_settings *settings = &broker->settings;
    char body[2048];
    int len = snprintf(
        body, sizeof(body),
        "brokerName=%.200s\nbrokerClusterName=%.200s\nbrokerId=0\nbrokerRole=ASYNC_MASTER\n"
        "brokerIP1=%s\nlistenPort=%u\nnamesrvAddr=%s\nautoCreateTopicEnable=%s\n"
        "autoCreateSubscriptionGroup=true\ndefaultTopicQueueNums=%d\n"
        "transactionTimeOut=6000\ntransactionCheckMax=15\nenablePropertyFilter="
        "false\nlongPollingEnable=true\nmaxMessageSize=4194304\n"
        "maxTransferCountOnMessageInMemory=%d\nmaxTransferBytesOnMessageInMemory=%zu\n"
        "rejectTransactionMessage=false\nslaveReadEnable=false\nwaitTimeMillsInSendQueue=200\n"
        "waitTimeMillsInTransactionQueue=3000\nwaitTimeMillsInPullQueue=5000\n",
        settings->broker_name, settings->cluster, settings->listen_address,
        broker->listeners[RMQ_DEV_PORT_BROKER].port_number,
        broker->listeners[RMQ_DEV_PORT_NAMESRV].text,
        settings->auto_create_topic ? "true" : "false", settings->default_queues,
        settings->max_pull_messages, settings->max_pull_bytes);
    rmq_command answer;
    char version[128];
    snprintf(version, sizeof(version),
             "{\"counter\":0,\"stateVersion\":0,\"timestamp\":%" PRId64 "}", broker->boot_ms);
    rmq_dev_answer_begin(&answer, RMQ_RESPONSE_SUCCESS);
    rmq_command_set(&answer, "version", version);
    answer.body = (rmq_slice){body, (size_t)len};
    rmq_dev_answer_end(&request->reply, &answer);
}
