/* The list of topics of a name server (206, 224). Source: TopicList 5.4.0; protocol facts 4.1. */
#include "body_json.h"
#include "route.h"

rmq_status rmq_topic_list_decode(rmq_slice body, char ***out_topics, size_t *out_count,
                                 rmq_error *err)
{
    return rmq_body_strings_decode(body, "topicList", out_topics, out_count, err);
}

void rmq_topic_list_free(char **topics, size_t count)
{
    rmq_body_strings_free(topics, count);
}
