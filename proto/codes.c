/* Names of request and response codes, from the same lists as their numbers. */
#include "codes.h"

#define RMQ_X(name, number)                                                                        \
    case (number):                                                                                 \
        return #name;

const char *rmq_request_code_name(int32_t code)
{
    switch (code) {
        RMQ_REQUEST_CODES(RMQ_X)
    default:
        return "UNKNOWN";
    }
}

const char *rmq_response_code_name(int32_t code)
{
    switch (code) {
        RMQ_RESPONSE_CODES(RMQ_X)
    default:
        return "UNKNOWN";
    }
}

#undef RMQ_X
