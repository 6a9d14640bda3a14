/* Routes of topics, asked of name servers. Loop thread. The functions that others use are in
 * call.h. */
#ifndef RMQ_ROUTE_CACHE_H
#define RMQ_ROUTE_CACHE_H

#include "../proto/route.h"
#include "call.h"

/* Waiters kept for when memory runs out. */
#define RMQ_RESERVE_WAITERS 32

typedef struct rmq_route_entry rmq_route_entry;
typedef struct rmq_route_waiter rmq_route_waiter;

typedef struct rmq_route_cache {
    rmq_client *client;
    rmq_route_entry *entries;
    size_t current; /* index of the name server in use */
    rmq_timer refresh;
    rmq_route_waiter *reserve;
} rmq_route_cache;

RMQ_MUST_CHECK rmq_status rmq_route_cache_init(rmq_route_cache *cache, rmq_client *client,
                                               rmq_error *err);
/* No refresh any more. Lookups under way end with their calls. */
void rmq_route_cache_stop(rmq_route_cache *cache);
void rmq_route_cache_deinit(rmq_route_cache *cache);

/* Whether a cached route names this address as a master. */
bool rmq_route_cache_is_master(const rmq_route_cache *cache, const char *address);
/* Each master of the cached routes, once. */
void rmq_route_cache_each_master(const rmq_route_cache *cache,
                                 void (*visit)(void *ctx, const char *address), void *ctx);
/* Forgets a topic that was deleted. */
void rmq_route_cache_forget(rmq_route_cache *cache, const char *topic);
/* The name server that is asked first; and to make it another one. */
size_t rmq_route_cache_namesrv(const rmq_route_cache *cache);
void rmq_route_cache_use_namesrv(rmq_route_cache *cache, size_t index);

#endif
