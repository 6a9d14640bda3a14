/* The handlers answer as 5.4.0. Where 4.9.7 only words it differently, or has no code 29 and no
 * field for it, the answer is changed here, in one place, when it is sent. Where 4.9.7 does
 * something else the handlers ask rmq_dev_settings_is_v5 themselves. Compared with a 4.9.7 broker
 * by tests/broker/test_same_answers.c. */
#include "old_answers.h"

#include <stdio.h>
#include <string.h>

#include "codes.h"

#define REMARK_MAX_BYTES 4096

static const struct {
    const char *now;
    const char *old;
} wordings[] = {
    {"https://rocketmq.apache.org/docs/bestPractice/06FAQ", "http://rocketmq.apache.org/docs/faq/"},
    {", attributes={}]", "]"},
    {"com.alibaba.fastjson2.", "com.alibaba.fastjson."},
};

static const char *find(const char *text, size_t len, const char *part)
{
    return memmem(text, len, part, strlen(part));
}

/* Replaces the first `now` in `text`; a text that would become too long stays as it is. */
static void replace(char text[REMARK_MAX_BYTES], const char *now, const char *old)
{
    char changed[REMARK_MAX_BYTES];
    const char *at = strstr(text, now);
    if (at == NULL)
        return;
    int len = snprintf(changed, sizeof(changed), "%.*s%s%s", (int)(at - text), text, old,
                       at + strlen(now));
    if (len > 0 && len < (int)sizeof(changed))
        snprintf(text, REMARK_MAX_BYTES, "%s", changed);
}

/* "The specified topic: NAME, contains ..." has no name in it there. */
static void drop_topic_name(char *text)
{
    static const char begin[] = "The specified topic: ";
    static const char end[] = ", contains illegal characters";
    char *stop = strstr(text, end);
    if (strncmp(text, begin, sizeof(begin) - 1) != 0 || stop == NULL)
        return;
    char *from = text + sizeof(begin) - 3; /* behind "topic" */
    memmove(from, stop + 1, strlen(stop + 1) + 1);
}

void rmq_dev_answer_make_old(rmq_command *answer)
{
    char text[REMARK_MAX_BYTES];
    if (answer->code == RMQ_RESPONSE_INVALID_PARAMETER)
        answer->code = RMQ_RESPONSE_SYSTEM_ERROR;
    if (!answer->has_remark || answer->remark.len == 0 || answer->remark.len >= sizeof(text))
        return;
    memcpy(text, answer->remark.data, answer->remark.len);
    text[answer->remark.len] = '\0';
    for (size_t i = 0; i < sizeof(wordings) / sizeof(wordings[0]); i++)
        replace(text, wordings[i].now, wordings[i].old);
    drop_topic_name(text);
    rmq_command_set_remark(answer, text);
}

void rmq_dev_route_make_old(rmq_buf *body)
{
    static const char field[] = ",\"enableActingMaster\":false";
    size_t len = sizeof(field) - 1;
    const char *at = find((const char *)body->data, body->len, field);
    if (at == NULL)
        return;
    size_t offset = (size_t)(at - (const char *)body->data);
    memmove(body->data + offset, body->data + offset + len, body->len - offset - len);
    body->len -= len;
}
