/* "host:port" addresses, as users and routes write them. */
#ifndef RMQ_ADDRESS_H
#define RMQ_ADDRESS_H

#include <rmq/base.h>

#define RMQ_HOST_MAX_BYTES 256
#define RMQ_ADDRESS_MAX_BYTES (RMQ_HOST_MAX_BYTES + 8)

/* A host name or a literal IPv4 or IPv6 address (without brackets), and a port. */
typedef struct rmq_address {
    char host[RMQ_HOST_MAX_BYTES];
    uint16_t port;
} rmq_address;

/* Parses "host:port", "[v6]:port", and "v6:port" as Java brokers write it (the last colon counts).
 * Errors: INVAL with the text that is wrong. */
RMQ_MUST_CHECK rmq_status rmq_address_parse(rmq_slice text, rmq_address *out_address,
                                            rmq_error *err);
/* Parses a list separated by ';' or ',' (blanks around an address are allowed); repeated addresses
 * are dropped. At least one. The caller frees with rmq_free. Errors: INVAL, NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_address_list_parse(const char *text, rmq_address **out_addresses,
                                                 size_t *out_count, rmq_error *err);
/* "host:port", IPv6 in brackets. */
void rmq_address_format(const rmq_address *address, char out_text[RMQ_ADDRESS_MAX_BYTES]);
/* Whether the host is a literal IP address (4 or 6), else 0. */
int rmq_address_ip_version(const char *host);

#endif
