/* Name lookup by libevent's evdns, so that a slow name server never holds up the loop.
 *
 * evdns may answer from inside its own start function (hosts file, literal addresses), and after a
 * cancel it still calls back, later. Both are hidden here: the result always arrives by a timer of
 * delay 0, and a cancelled lookup lives on, silently, until evdns has let go of it.
 *
 * The evdns base is made at the first real lookup (it opens sockets to the system's name servers)
 * and made anew after a failure, since /etc/resolv.conf may have changed under a long-lived
 * process. Literal addresses never touch it. */
#include "dns.h"

#include <arpa/inet.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

struct rmq_dns {
    rmq_loop *loop;
    struct evdns_base *evdns; /* NULL until needed */
    char *resolv_conf;
    char *hosts;
    rmq_resolve *running; /* those that evdns will call back */
    bool stale;           /* a lookup failed: read the configuration again */
};

struct rmq_resolve {
    rmq_dns *dns;
    rmq_resolve *next;
    rmq_resolve **link;
    struct evdns_getaddrinfo_request *request;
    rmq_timer timer;
    rmq_resolve_fn done;
    void *ctx;
    bool waiting; /* evdns has not called back yet */
    bool cancelled;
    rmq_status status;
    rmq_error error;
    size_t n_endpoints;
    rmq_endpoint endpoints[RMQ_DNS_MAX_ENDPOINTS];
    char host[RMQ_HOST_MAX_BYTES];
};

rmq_status rmq_dns_new(rmq_loop *loop, const char *resolv_conf, const char *hosts,
                       rmq_dns **out_dns, rmq_error *err)
{
    rmq_dns *dns = rmq_calloc(1, sizeof(*dns));
    if (dns == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for name lookup");
    dns->loop = loop;
    dns->resolv_conf = rmq_strdup(resolv_conf != NULL ? resolv_conf : "/etc/resolv.conf");
    dns->hosts = rmq_strdup(hosts != NULL ? hosts : "/etc/hosts");
    if (dns->resolv_conf == NULL || dns->hosts == NULL) {
        rmq_dns_free(dns);
        return rmq_error_set(err, RMQ_NOMEM, "no memory for name lookup");
    }
    *out_dns = dns;
    return RMQ_OK;
}

static void unlink_running(rmq_resolve *resolve)
{
    if (resolve->link == NULL)
        return;
    *resolve->link = resolve->next;
    if (resolve->next != NULL)
        resolve->next->link = resolve->link;
    resolve->link = NULL;
}

static void free_resolve(rmq_resolve *resolve)
{
    unlink_running(resolve);
    rmq_timer_deinit(&resolve->timer);
    rmq_free(resolve);
}

void rmq_dns_free(rmq_dns *dns)
{
    if (dns == NULL)
        return;
    while (dns->running != NULL) {
        rmq_resolve *resolve = dns->running;
        unlink_running(resolve);
        resolve->cancelled = true;
    }
    if (dns->evdns != NULL)
        evdns_base_free(dns->evdns, 1);
    rmq_free(dns->resolv_conf);
    rmq_free(dns->hosts);
    rmq_free(dns);
}

static void add_endpoint(rmq_resolve *resolve, const struct sockaddr *address, socklen_t len)
{
    if (resolve->n_endpoints >= RMQ_DNS_MAX_ENDPOINTS || len > sizeof(struct sockaddr_storage))
        return;
    rmq_endpoint *endpoint = &resolve->endpoints[resolve->n_endpoints++];
    memset(endpoint, 0, sizeof(*endpoint));
    memcpy(&endpoint->address, address, len);
    endpoint->address_len = len;
}

static void on_evdns(int result, struct evutil_addrinfo *addresses, void *ctx)
{
    rmq_resolve *resolve = ctx;
    resolve->waiting = false;
    resolve->request = NULL;
    for (const struct evutil_addrinfo *at = addresses; at != NULL; at = at->ai_next) {
        if (at->ai_family == AF_INET || at->ai_family == AF_INET6)
            add_endpoint(resolve, at->ai_addr, (socklen_t)at->ai_addrlen);
    }
    if (addresses != NULL)
        evutil_freeaddrinfo(addresses);
    if (resolve->cancelled) {
        free_resolve(resolve);
        return;
    }
    unlink_running(resolve);
    if (resolve->n_endpoints == 0) {
        resolve->status =
            rmq_error_set(&resolve->error, RMQ_IO, "cannot resolve \"%s\": %s", resolve->host,
                          result != 0 ? evutil_gai_strerror(result) : "no address");
        resolve->error.retriable = true;
        resolve->dns->stale = true;
    }
    rmq_timer_set(&resolve->timer, 0);
}

static void deliver(rmq_timer *timer)
{
    rmq_resolve *resolve = (rmq_resolve *)((char *)timer - offsetof(rmq_resolve, timer));
    rmq_resolve_fn done = resolve->done;
    done(resolve->ctx, resolve->status, resolve->endpoints, resolve->n_endpoints, &resolve->error);
    free_resolve(resolve);
}

static bool add_literal(rmq_resolve *resolve, uint16_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (inet_pton(AF_INET, resolve->host, &v4.sin_addr) == 1)
        add_endpoint(resolve, (const struct sockaddr *)&v4, sizeof(v4));
    else if (inet_pton(AF_INET6, resolve->host, &v6.sin6_addr) == 1)
        add_endpoint(resolve, (const struct sockaddr *)&v6, sizeof(v6));
    return resolve->n_endpoints > 0;
}

static rmq_status ready_evdns(rmq_dns *dns, rmq_error *err)
{
    if (dns->stale && dns->running == NULL && dns->evdns != NULL) {
        evdns_base_free(dns->evdns, 1);
        dns->evdns = NULL;
    }
    dns->stale = false;
    if (dns->evdns != NULL)
        return RMQ_OK;
    dns->evdns = evdns_base_new(rmq_loop_base(dns->loop), 0);
    if (dns->evdns == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for name lookup");
    /* Failures of both are no error: without name servers the hosts file may still know the name,
     * and a lookup that finds nothing says so. */
    (void)evdns_base_resolv_conf_parse(dns->evdns, DNS_OPTIONS_ALL & ~DNS_OPTION_HOSTSFILE,
                                       dns->resolv_conf);
    (void)evdns_base_load_hosts(dns->evdns, dns->hosts);
    return RMQ_OK;
}

static void start_evdns(rmq_dns *dns, rmq_resolve *resolve, uint16_t port)
{
    struct evutil_addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    char service[8];
    snprintf(service, sizeof(service), "%u", port);
    resolve->waiting = true;
    resolve->next = dns->running;
    resolve->link = &dns->running;
    if (dns->running != NULL)
        dns->running->link = &resolve->next;
    dns->running = resolve;
    struct evdns_getaddrinfo_request *request =
        evdns_getaddrinfo(dns->evdns, resolve->host, service, &hints, on_evdns, resolve);
    if (resolve->waiting)
        resolve->request = request;
}

rmq_status rmq_dns_resolve(rmq_dns *dns, const rmq_address *address, rmq_resolve_fn done, void *ctx,
                           rmq_resolve **out_resolve, rmq_error *err)
{
    rmq_resolve *resolve = rmq_calloc(1, sizeof(*resolve));
    if (resolve == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory to resolve \"%s\"", address->host);
    resolve->dns = dns;
    resolve->done = done;
    resolve->ctx = ctx;
    memcpy(resolve->host, address->host, sizeof(resolve->host));
    rmq_status status = rmq_timer_init(&resolve->timer, dns->loop, deliver, err);
    bool literal = status == RMQ_OK && add_literal(resolve, address->port);
    if (status == RMQ_OK && !literal)
        status = ready_evdns(dns, err);
    if (status != RMQ_OK) {
        free_resolve(resolve);
        return status;
    }
    if (literal)
        rmq_timer_set(&resolve->timer, 0);
    else
        start_evdns(dns, resolve, address->port);
    *out_resolve = resolve;
    return RMQ_OK;
}

void rmq_resolve_cancel(rmq_resolve *resolve)
{
    if (resolve == NULL)
        return;
    if (!resolve->waiting) {
        free_resolve(resolve);
        return;
    }
    resolve->cancelled = true;
    if (resolve->request != NULL)
        evdns_getaddrinfo_cancel(resolve->request);
}

void rmq_endpoint_format(const rmq_endpoint *endpoint, char *out_text, size_t capacity)
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (endpoint->address.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&endpoint->address;
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
        snprintf(out_text, capacity, "%s:%u", host, ntohs(v4->sin_port));
    } else {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&endpoint->address;
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
        snprintf(out_text, capacity, "[%s]:%u", host, ntohs(v6->sin6_port));
    }
}
