/* Messages as text: the JSON object of `consume` (and of `produce --json`), and %-formats. */
#ifndef MILL_CLI_MESSAGE_TEXT_H
#define MILL_CLI_MESSAGE_TEXT_H

#include <rmq/json.h>
#include <rmq/message.h>

/* Appends one JSON object and a line end. Fields by design: topic, brokerName, queueId,
 * queueOffset, keys, tags, body (or bodyBase64 where it is not UTF-8), bornTimestamp,
 * storeTimestamp, msgId, offsetMsgId, reconsumeTimes, properties. */
void mill_message_json(const rmq_message *message, rmq_json_writer *writer);

/* Checks a %-format; false with *out_bad pointing at what is wrong. Directives: %t topic, %b
 * broker, %q queue id, %o offset, %k keys, %g tags, %s body, %T store time in ms, %m msgId, %% a
 * percent sign; \n and \t are understood. */
bool mill_message_format_check(const char *format, const char **out_bad);
/* Writes the message to stdout's buffer by a checked format, with a line end. */
void mill_message_format_write(const rmq_message *message, const char *format);

/* What produce reads: strings are memory of the structure. */
typedef struct mill_input_message {
    char *body;
    size_t body_len;
    char *tags;
    char *keys;
    char **property_names;
    char **property_values;
    size_t n_properties;
} mill_input_message;
/* Reads one JSON object as `consume` prints it: body or bodyBase64, tags, keys, properties; what
 * the broker or the client makes anew (offsets, ids, times) is passed over, system properties too.
 * Errors: INVAL with what is wrong, NOMEM. */
RMQ_MUST_CHECK rmq_status mill_message_parse(rmq_slice line, mill_input_message *out_message,
                                             rmq_error *err);
void mill_input_message_deinit(mill_input_message *message);

#endif
