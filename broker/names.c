/* Names. Source: TopicValidator 5.4.0 (the remarks are its answers); protocol facts 6.1 and 17.2.
 */
#include "names.h"

#include <stdio.h>
#include <string.h>

#define TOPIC_MAX_BYTES 127
#define GROUP_MAX_BYTES 120

static const char *const internal_topics[] = {
    "SCHEDULE_TOPIC_XXXX",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "TRANS_CHECK_MAX_TIME_TOPIC",
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
    NULL,
};

static const char *const system_topics[] = {
    RMQ_DEV_AUTO_CREATE_TOPIC,
    "BenchmarkTest",
    "RMQ_SYS_TRACE_TOPIC",
    "DefaultCluster_REPLY_TOPIC",
    NULL,
};

static bool in_list(const char *const *list, rmq_slice name)
{
    for (; *list != NULL; list++) {
        if (rmq_slice_equals(name, *list))
            return true;
    }
    return false;
}

static bool is_legal_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '%' ||
           c == '|' || c == '_' || c == '-';
}

static bool characters_legal(rmq_slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (!is_legal_character(name.data[i]))
            return false;
    }
    return true;
}

bool rmq_dev_topic_name_legal(rmq_slice name, char *out_remark, size_t remark_bytes)
{
    int shown = (int)(name.len < 256 ? name.len : 256);
    if (name.len == 0)
        snprintf(out_remark, remark_bytes, "The specified topic is blank.");
    else if (!characters_legal(name))
        snprintf(out_remark, remark_bytes,
                 "The specified topic: %.*s, contains illegal characters, allowing only "
                 "^[%%|a-zA-Z0-9_-]+$",
                 shown, name.data);
    else if (name.len > TOPIC_MAX_BYTES)
        snprintf(out_remark, remark_bytes,
                 "The specified topic: %.*s, is longer than topic max length: %d", shown, name.data,
                 TOPIC_MAX_BYTES);
    else
        return true;
    return false;
}

bool rmq_dev_group_name_legal(rmq_slice name)
{
    return name.len > 0 && name.len <= GROUP_MAX_BYTES && characters_legal(name);
}

bool rmq_dev_topic_is_internal(rmq_slice name)
{
    return in_list(internal_topics, name);
}

bool rmq_dev_topic_is_system(rmq_slice name)
{
    return in_list(internal_topics, name) || in_list(system_topics, name) ||
           (name.len >= 8 && memcmp(name.data, "rmq_sys_", 8) == 0);
}

bool rmq_dev_topic_is_retry(rmq_slice name)
{
    size_t len = strlen(RMQ_DEV_RETRY_PREFIX);
    return name.len >= len && memcmp(name.data, RMQ_DEV_RETRY_PREFIX, len) == 0;
}
