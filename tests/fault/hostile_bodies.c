/* Lies in the bodies and fields of whole, well-formed answers: routes, lists, statistics, offsets,
 * results of sends. */
#include "hostile_cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An answer whose body is `begin`, `unit` over and over until the frame is `total` bytes long, and
 * `end`. A %d in `unit` is a running number. */
static void send_list(hostile_link *link, const hostile_request *request, const char *begin,
                      const char *unit, const char *end, size_t total)
{
    char *body = malloc(total + 256);
    if (body == NULL)
        abort();
    size_t len = (size_t)sprintf(body, "%s", begin);
    bool same = strchr(unit, '%') == NULL;
    size_t unit_len = strlen(unit);
    for (int i = 0; len + 256 < total; i++) {
        if (same)
            memcpy(body + len, unit, unit_len);
        len += same ? unit_len : (size_t)snprintf(body + len, 256, unit, i);
    }
    while (len > 0 && body[len - 1] == ',')
        len--;
    len += (size_t)sprintf(body + len, "%s", end);
    hostile_send(link, request, 0, NULL, (rmq_slice){body, len});
    free(body);
}

#define LIST_LIE(name, begin, unit, end, total)                                                    \
    static void name(hostile_link *link, const hostile_request *request)                           \
    {                                                                                              \
        send_list(link, request, (begin), (unit), (end), (total));                                 \
    }

#define ALMOST (hostile_cap - 4096)
#define BROKER_OF_B                                                                                \
    "{\"brokerDatas\":[{\"brokerAddrs\":{\"0\":\"127.0.0.1:1\"},\"brokerName\":\"b\"}]"

LIST_LIE(endless_brokers, "{\"brokerDatas\":[",
         "{\"brokerAddrs\":{\"0\":\"127.0.0.1:1\"},\"brokerName\":\"b%d\"},",
         "],\"queueDatas\":[]}", ALMOST)
LIST_LIE(endless_empty_brokers, "{\"brokerDatas\":[", "{},", "],\"queueDatas\":[]}", ALMOST)
LIST_LIE(endless_addresses, "{\"brokerDatas\":[{\"brokerName\":\"b\",\"brokerAddrs\":{",
         "\"%d\":\"127.0.0.1:1\",", "}}],\"queueDatas\":[]}", ALMOST)
LIST_LIE(endless_queue_datas, "{\"brokerDatas\":[],\"queueDatas\":[",
         "{\"brokerName\":\"b%d\",\"perm\":6,\"readQueueNums\":1,\"writeQueueNums\":1},", "]}",
         ALMOST)
LIST_LIE(same_broker_again, "{\"brokerDatas\":[],\"queueDatas\":[",
         "{\"brokerName\":\"b\",\"perm\":6,\"readQueueNums\":9},", "]}", ALMOST)
LIST_LIE(sixteen_full_brokers, BROKER_OF_B ",\"queueDatas\":[",
         "{\"brokerName\":\"b%d\",\"perm\":6,\"readQueueNums\":65536,\"writeQueueNums\":65536},",
         "]}", 1600)
LIST_LIE(fifteen_full_brokers, BROKER_OF_B ",\"queueDatas\":[",
         "{\"brokerName\":\"b%d\",\"perm\":6,\"readQueueNums\":65536,\"writeQueueNums\":65536},",
         "]}", 1180)
LIST_LIE(deep_route, "{\"brokerDatas\":", "[", "", ALMOST)
LIST_LIE(deep_unknown, "{\"x\":", "{\"a\":[", "", ALMOST)
LIST_LIE(wide_unknown, "{\"x\":[", "%d,", "]}", ALMOST)
LIST_LIE(long_name, "{\"brokerDatas\":[],\"queueDatas\":[{\"brokerName\":\"", "b",
         "\",\"perm\":6}]}", ALMOST)
LIST_LIE(long_address, "{\"brokerDatas\":[{\"brokerName\":\"b\",\"brokerAddrs\":{\"0\":\"", "1",
         "\"}}],\"queueDatas\":"
         "[{\"brokerName\":\"b\",\"perm\":6,\"readQueueNums\":1,\"writeQueueNums\":1}]}",
         ALMOST)
LIST_LIE(long_order_conf, "{\"orderTopicConf\":\"", "b:1;",
         "\",\"brokerDatas\":[],\"queueDatas\":[]}", ALMOST)
LIST_LIE(endless_topics, "{\"topicList\":[", "\"t%d\",", "]}", ALMOST)
LIST_LIE(endless_empty_topics, "{\"topicList\":[", "\"\",", "]}", ALMOST)
LIST_LIE(endless_null_topics, "{\"topicList\":[", "null,", "]}", ALMOST)
LIST_LIE(topics_that_end_early, "{\"topicList\":[", "\"t%d\",", "", ALMOST)
LIST_LIE(topics_are_numbers, "{\"topicList\":[", "%d,", "]}", 4096)
LIST_LIE(endless_stats, "{\"offsetTable\":{",
         "{\"brokerName\":\"b\",\"queueId\":%d,\"topic\":\"T\"}:{\"maxOffset\":6},", "}}", ALMOST)
LIST_LIE(endless_short_stats, "{\"offsetTable\":{", "{}:{},", "}}", ALMOST)
LIST_LIE(stats_of_others, "{\"offsetTable\":{",
         "{\"brokerName\":\"z\",\"queueId\":%d,\"topic\":\"U\"}:{\"maxOffset\":-6},", "}}", 4096)

/* ---- small routes that can't be ---- */

static void send_route(hostile_link *link, const hostile_request *request, const char *address,
                       const char *queues)
{
    char body[1024];
    int len = snprintf(body, sizeof(body),
                       "{\"brokerDatas\":[{\"brokerAddrs\":{\"0\":\"%s\"},\"brokerName\":\"b\"}],"
                       "\"queueDatas\":[%s]}",
                       address, queues);
    hostile_send(link, request, 0, NULL, (rmq_slice){body, (size_t)len});
}

#define ONE_QUEUE "{\"brokerName\":\"b\",\"perm\":6,\"readQueueNums\":1,\"writeQueueNums\":1}"
#define ROUTE_LIE(name, address, queues)                                                           \
    static void name(hostile_link *link, const hostile_request *request)                           \
    {                                                                                              \
        send_route(link, request, (address), (queues));                                            \
    }

ROUTE_LIE(million_queues, "127.0.0.1:1",
          "{\"brokerName\":\"b\",\"perm\":6,\"readQueueNums\":1000000}")
ROUTE_LIE(max_int_queues, "127.0.0.1:1",
          "{\"brokerName\":\"b\",\"perm\":6,\"readQueueNums\":2147483647}")
ROUTE_LIE(negative_queues, "127.0.0.1:1", "{\"brokerName\":\"b\",\"perm\":6,\"readQueueNums\":-1}")
ROUTE_LIE(huge_queues, "127.0.0.1:1", "{\"brokerName\":\"b\",\"perm\":6,\"readQueueNums\":1e99}")
ROUTE_LIE(no_queues, "127.0.0.1:1", "")
ROUTE_LIE(nameless_queues, "127.0.0.1:1", "{\"perm\":6,\"readQueueNums\":1}")
ROUTE_LIE(null_queues, "127.0.0.1:1", "null,null")
ROUTE_LIE(address_without_port, "127.0.0.1", ONE_QUEUE)
ROUTE_LIE(address_of_port_0, "127.0.0.1:0", ONE_QUEUE)
ROUTE_LIE(address_of_port_70000, "127.0.0.1:70000", ONE_QUEUE)
ROUTE_LIE(address_empty, "", ONE_QUEUE)
ROUTE_LIE(address_of_nobody, "127.0.0.1:1", ONE_QUEUE)
ROUTE_LIE(address_is_no_host, "!!!:10911", ONE_QUEUE)
ROUTE_LIE(address_with_zero, "127.0.0.1\\u0000:1", ONE_QUEUE)

static void empty_body(hostile_link *link, const hostile_request *request)
{
    hostile_send(link, request, 0, NULL, HOSTILE_NO_BODY);
}

static void body_is_text(hostile_link *link, const hostile_request *request)
{
    hostile_send(link, request, 0, NULL, rmq_slice_of("\"yes\""));
}

/* ---- fields ---- */

#define FIELD_LIE(name, ...)                                                                       \
    static void name(hostile_link *link, const hostile_request *request)                           \
    {                                                                                              \
        hostile_send(link, request, 0, HOSTILE_FIELDS(__VA_ARGS__), HOSTILE_NO_BODY);              \
    }

FIELD_LIE(offset_missing, "other=1")
FIELD_LIE(offset_text, "offset=many")
FIELD_LIE(offset_huge, "offset=99999999999999999999")
FIELD_LIE(offset_empty, "offset=")
FIELD_LIE(offset_negative, "offset=-5")
FIELD_LIE(sent_without_place, "msgId=7F00000100002A9F0000000000000000")
FIELD_LIE(sent_to_text, "msgId=x", "queueId=one", "queueOffset=6")
FIELD_LIE(sent_to_negative, "msgId=7F00000100002A9F0000000000000000", "queueId=-1",
          "queueOffset=-1")
FIELD_LIE(sent_to_huge, "msgId=7F00000100002A9F0000000000000000", "queueId=99999999999",
          "queueOffset=99999999999999999999")

static void sent_with_long_id(hostile_link *link, const hostile_request *request)
{
    char *field = malloc(1 << 20);
    if (field == NULL)
        abort();
    size_t len = (size_t)sprintf(field, "msgId=");
    memset(field + len, 'F', (1 << 20) - len - 1);
    field[(1 << 20) - 1] = '\0';
    hostile_send(link, request, 0, HOSTILE_FIELDS(field, "queueId=0", "queueOffset=6"),
                 HOSTILE_NO_BODY);
    free(field);
}

const hostile_case body_cases[] = {
    {"10^6 queues at a broker", million_queues, DO_ROUTE, MAY_FULL},
    {"2^31-1 queues at a broker", max_int_queues, DO_ROUTE, MAY_FULL},
    {"16 brokers of 65,536 queues", sixteen_full_brokers, DO_ROUTE, MAY_FULL},
    {"15 brokers of 65,536 queues", fifteen_full_brokers, DO_ROUTE, MAY_OK | MAY_FULL},
    {"-1 queues", negative_queues, DO_ROUTE, MAY_PROTO},
    {"1e99 queues", huge_queues, DO_ROUTE, MAY_PROTO},
    {"no queues", no_queues, DO_ROUTE, MAY_NOT_FOUND},
    {"queues of nobody", nameless_queues, DO_ROUTE, MAY_PROTO},
    {"queues are null", null_queues, DO_ROUTE, MAY_PROTO | MAY_NOT_FOUND},
    {"endless brokers", endless_brokers, DO_ROUTE, MAY_FULL},
    {"endless brokers without anything", endless_empty_brokers, DO_ROUTE, MAY_FULL | MAY_PROTO},
    {"endless addresses", endless_addresses, DO_ROUTE, MAY_FULL},
    {"endless queueDatas", endless_queue_datas, DO_ROUTE, MAY_FULL},
    {"one broker's queues for ever", same_broker_again, DO_ROUTE, MAY_FULL},
    {"10^6 lists in a route", deep_route, DO_ROUTE, MAY_PROTO},
    {"10^6 lists and objects in a route", deep_unknown, DO_ROUTE, MAY_PROTO},
    {"10^6 unknown numbers", wide_unknown, DO_ROUTE, MAY_NOT_FOUND | MAY_PROTO},
    {"a name as long as a frame", long_name, DO_ROUTE, MAY_NOT_FOUND | MAY_PROTO | MAY_FULL},
    {"an address as long as a frame", long_address, DO_MAX, MAY_PROTO | MAY_INVAL | MAY_FULL},
    {"an orderTopicConf as long as a frame", long_order_conf, DO_ROUTE, MAY_NOT_FOUND | MAY_FULL},
    {"a route without body", empty_body, DO_ROUTE, MAY_PROTO},
    {"a route that is text", body_is_text, DO_ROUTE, MAY_PROTO},
    {"address without port", address_without_port, DO_MAX, MAY_PROTO | MAY_INVAL},
    {"address of port 0", address_of_port_0, DO_MAX, MAY_PROTO | MAY_INVAL},
    {"address of port 70000", address_of_port_70000, DO_MAX, MAY_PROTO | MAY_INVAL},
    {"address is empty", address_empty, DO_MAX, MAY_PROTO | MAY_INVAL | MAY_NOT_FOUND},
    {"address of nobody", address_of_nobody, DO_MAX, MAY_CLOSED | MAY_TIMEOUT},
    {"address is no host", address_is_no_host, DO_MAX,
     MAY_PROTO | MAY_INVAL | MAY_CLOSED | MAY_TIMEOUT},
    {"address with a zero", address_with_zero, DO_MAX, MAY_PROTO},
    {"a message's broker at port 70000", address_of_port_70000, DO_SEND,
     MAY_PROTO | MAY_INVAL | MAY_CLOSED},
    {"a read's broker without port", address_without_port, DO_READ, MAY_AGAIN},
    {"endless topics", endless_topics, DO_LIST, MAY_FULL | MAY_OK},
    {"endless empty topics", endless_empty_topics, DO_LIST, MAY_FULL | MAY_PROTO | MAY_OK},
    {"endless null topics", endless_null_topics, DO_LIST, MAY_FULL | MAY_PROTO | MAY_OK},
    {"topics that end early", topics_that_end_early, DO_LIST, MAY_PROTO | MAY_FULL},
    {"topics are numbers", topics_are_numbers, DO_LIST, MAY_PROTO},
    {"topics without body", empty_body, DO_LIST, MAY_PROTO},
    {"endless statistics", endless_stats, DO_DESCRIBE, MAY_OK | MAY_FULL | MAY_PROTO},
    {"endless statistics of nothing", endless_short_stats, DO_DESCRIBE,
     MAY_OK | MAY_FULL | MAY_PROTO},
    {"statistics of others", stats_of_others, DO_DESCRIBE, MAY_OK | MAY_PROTO},
    {"statistics without body", empty_body, DO_DESCRIBE, MAY_OK | MAY_PROTO},
    {"an offset that is missing", offset_missing, DO_MAX, MAY_PROTO},
    {"an offset that is text", offset_text, DO_MAX, MAY_PROTO},
    {"an offset of 10^20", offset_huge, DO_MAX, MAY_PROTO},
    {"an offset that is empty", offset_empty, DO_MAX, MAY_PROTO},
    {"an offset of -5", offset_negative, DO_MAX, MAY_PROTO},
    {"stored nowhere", sent_without_place, DO_SEND, MAY_PROTO},
    {"stored in queue \"one\"", sent_to_text, DO_SEND, MAY_PROTO},
    {"stored in queue -1", sent_to_negative, DO_SEND, MAY_PROTO},
    {"stored in queue 99999999999", sent_to_huge, DO_SEND, MAY_PROTO},
    {"stored under an id of 1 MiB", sent_with_long_id, DO_SEND, MAY_PROTO | MAY_OK},
};
const int n_body_cases = (int)(sizeof(body_cases) / sizeof(body_cases[0]));
