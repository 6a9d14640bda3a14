/* Asynchronous name lookup on the loop: literal addresses, the hosts file, then the system's name
 * servers (evdns), IPv4 and IPv6. All functions: loop thread. */
#ifndef RMQ_DNS_H
#define RMQ_DNS_H

#include "address.h"
#include "loop.h"

#include <sys/socket.h>

#define RMQ_DNS_MAX_ENDPOINTS 16

typedef struct rmq_dns rmq_dns;
typedef struct rmq_resolve rmq_resolve;

/* One address to connect to, port included. */
typedef struct rmq_endpoint {
    struct sockaddr_storage address;
    socklen_t address_len;
} rmq_endpoint;

/* `endpoints` (at least one if status is RMQ_OK) are valid during the call. Never called from
 * inside rmq_dns_resolve. */
typedef void (*rmq_resolve_fn)(void *ctx, rmq_status status, const rmq_endpoint *endpoints,
                               size_t count, const rmq_error *err);

/* `resolv_conf` and `hosts` are file names; NULL: the system's. Thread: any. */
RMQ_MUST_CHECK rmq_status rmq_dns_new(rmq_loop *loop, const char *resolv_conf, const char *hosts,
                                      rmq_dns **out_dns, rmq_error *err);
/* Lookups that run are dropped without a callback. The loop has to turn once more afterwards. */
void rmq_dns_free(rmq_dns *dns);
RMQ_MUST_CHECK rmq_status rmq_dns_resolve(rmq_dns *dns, const rmq_address *address,
                                          rmq_resolve_fn done, void *ctx, rmq_resolve **out_resolve,
                                          rmq_error *err);
/* Drops a lookup; its callback is not called any more. Accepts NULL. */
void rmq_resolve_cancel(rmq_resolve *resolve);
/* "127.0.0.1:9876", "[::1]:9876". */
void rmq_endpoint_format(const rmq_endpoint *endpoint, char *out_text, size_t capacity);

#endif
