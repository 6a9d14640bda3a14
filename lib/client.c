/* The client: puts the parts together, and takes them apart in bounded time.
 *
 * Stopping, in order: cancel (every call and waiting reader ends with CANCELLED, new ones are
 * refused), wait for the threads inside a blocking call to come out (they all do, since what they
 * wait for has ended), then on the loop close connections, name lookup and timers, join the loop,
 * free. Nothing in there waits for a peer. */
#include "client_state.h"

#include "../proto/codes.h"
#include "deadline.h"
#include "lookup.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* ---- threads inside ---- */

void rmq_client_enter(rmq_client *client)
{
    pthread_mutex_lock(&client->mutex);
    client->n_callers++;
    pthread_mutex_unlock(&client->mutex);
}

void rmq_client_leave(rmq_client *client)
{
    pthread_mutex_lock(&client->mutex);
    if (--client->n_callers == 0)
        pthread_cond_broadcast(&client->cond);
    pthread_mutex_unlock(&client->mutex);
}

bool rmq_client_is_cancelled(const rmq_client *client)
{
    return atomic_load(&client->cancelled);
}

rmq_status rmq_client_pause(rmq_client *client, int64_t pause_ms, rmq_error *err)
{
    const struct timespec until = rmq_deadline_after(pause_ms);
    int woken = 0;
    pthread_mutex_lock(&client->mutex);
    while (!rmq_client_is_cancelled(client) && woken != ETIMEDOUT)
        woken = pthread_cond_timedwait(&client->cond, &client->mutex, &until);
    pthread_mutex_unlock(&client->mutex);
    if (rmq_client_is_cancelled(client))
        return rmq_error_set(err, RMQ_CANCELLED, "cancelled");
    return RMQ_OK;
}

/* ---- identity ---- */

/* The first address that others could reach us by; the id only has to be unique, not reachable. */
static void own_address(char *out_text, size_t capacity)
{
    struct ifaddrs *interfaces = NULL;
    snprintf(out_text, capacity, "127.0.0.1");
    if (getifaddrs(&interfaces) != 0)
        return;
    for (const struct ifaddrs *at = interfaces; at != NULL; at = at->ifa_next) {
        if (at->ifa_addr == NULL || at->ifa_addr->sa_family != AF_INET ||
            (at->ifa_flags & IFF_LOOPBACK) != 0 || (at->ifa_flags & IFF_UP) == 0)
            continue;
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)at->ifa_addr;
        if (inet_ntop(AF_INET, &v4->sin_addr, out_text, (socklen_t)capacity) != NULL)
            break;
    }
    freeifaddrs(interfaces);
}

static rmq_status make_identity(rmq_client *client, rmq_error *err)
{
    if (getrandom(&client->random, sizeof(client->random), 0) != sizeof(client->random))
        client->random = (uint64_t)rmq_clock_monotonic_ns() ^ ((uint64_t)getpid() << 32);
    if (client->settings.config.client_id != NULL) {
        client->client_id = rmq_strdup(client->settings.config.client_id);
    } else {
        char address[INET6_ADDRSTRLEN];
        char text[128];
        own_address(address, sizeof(address));
        snprintf(text, sizeof(text), "%s@%ld#%016llx", address, (long)getpid(),
                 (unsigned long long)client->random);
        client->client_id = rmq_strdup(text);
    }
    if (client->client_id == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a client");
    return RMQ_OK;
}

/* ---- making ---- */

static rmq_status make_tls(rmq_client *client, rmq_error *err)
{
    const rmq_client_config *config = &client->settings.config;
    const rmq_tls_options options = {.ca_file = config->tls_ca,
                                     .cert_file = config->tls_cert,
                                     .key_file = config->tls_key,
                                     .insecure = config->tls_insecure};
    if (!config->tls)
        return RMQ_OK;
    rmq_status status = rmq_tls_new(&options, &client->tls, err);
    if (status == RMQ_OK && config->tls_insecure)
        rmq_client_log(client, RMQ_LOG_WARN, "tls",
                       "tls_insecure: certificates are not verified, anybody in between can read "
                       "and change everything");
    return status;
}

static rmq_status make_reserve(rmq_client *client, rmq_error *err)
{
    for (int i = 0; i < RMQ_RESERVE_CALLS; i++) {
        rmq_call *call = rmq_calloc(1, sizeof(*call));
        if (call == NULL)
            return rmq_error_set(err, RMQ_NOMEM, "no memory for a client");
        call->next = client->reserve;
        client->reserve = call;
    }
    return RMQ_OK;
}

static void cancel_on_loop(rmq_task *task)
{
    rmq_client *client = (rmq_client *)((char *)task - offsetof(rmq_client, cancel_task));
    rmq_brokers_cancel_calls(&client->brokers);
    while (client->cancel_hooks != NULL) {
        rmq_cancel_hook *hook = client->cancel_hooks;
        rmq_cancel_hook_remove(hook);
        hook->cancelled(hook);
    }
}

static void shutdown_on_loop(rmq_task *task)
{
    rmq_client *client = (rmq_client *)((char *)task - offsetof(rmq_client, shutdown_task));
    client->closing = true;
    rmq_route_cache_stop(&client->routes);
    rmq_registration_stop(&client->registration);
    rmq_brokers_shutdown(&client->brokers);
    rmq_brokers_deinit(&client->brokers);
    rmq_dns_free(client->dns);
    client->dns = NULL;
}

/* Frees what new has made so far; the loop thread, if any, is joined first. */
static void free_parts(rmq_client *client)
{
    if (client->loop != NULL) {
        rmq_loop_run_sync(client->loop, &client->shutdown_task);
        rmq_loop_free(client->loop);
    }
    rmq_route_cache_deinit(&client->routes);
    rmq_registration_deinit(&client->registration);
    while (client->reserve != NULL) {
        rmq_call *call = client->reserve;
        client->reserve = call->next;
        rmq_free(call);
    }
    rmq_tls_free(client->tls);
    rmq_free(client->client_id);
    rmq_settings_deinit(&client->settings);
    pthread_cond_destroy(&client->cond);
    pthread_mutex_destroy(&client->mutex);
    rmq_free(client);
}

typedef struct init_task {
    rmq_task task;
    rmq_client *client;
    rmq_status status;
    rmq_error *err;
} init_task;

/* On the loop, since timers are set there. */
static void init_on_loop(rmq_task *task)
{
    init_task *init = (init_task *)task;
    rmq_client *client = init->client;
    rmq_brokers_init(&client->brokers, client);
    init->status = rmq_dns_new(client->loop, NULL, NULL, &client->dns, init->err);
    if (init->status == RMQ_OK)
        init->status = rmq_registration_init(&client->registration, client, init->err);
    if (init->status == RMQ_OK)
        init->status = rmq_route_cache_init(&client->routes, client, init->err);
}

static void init_sync(rmq_client *client)
{
    rmq_deadline_cond_init(&client->cond);
    pthread_mutex_init(&client->mutex, NULL);
}

rmq_status rmq_client_new(const rmq_client_config *config, rmq_client **out_client, rmq_error *err)
{
    init_task init = {.task = {.run = init_on_loop}, .err = err};
    rmq_client *client = rmq_calloc(1, sizeof(*client));
    if (client == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for a client");
    init_sync(client);
    client->cancel_task.run = cancel_on_loop;
    client->shutdown_task.run = shutdown_on_loop;
    rmq_status status = rmq_settings_init(&client->settings, config, err);
    if (status == RMQ_OK)
        status = make_identity(client, err);
    if (status == RMQ_OK)
        status = make_tls(client, err);
    if (status == RMQ_OK)
        status = make_reserve(client, err);
    if (status == RMQ_OK)
        status = rmq_loop_new(&client->loop, err);
    if (status == RMQ_OK) {
        client->signer = (rmq_signer){.access_key = client->settings.config.access_key,
                                      .secret_key = client->settings.config.secret_key,
                                      .security_token = client->settings.config.security_token};
        init.client = client;
        rmq_loop_run_sync(client->loop, &init.task);
        status = init.status;
    }
    if (status != RMQ_OK) {
        free_parts(client);
        return status;
    }
    *out_client = client;
    return RMQ_OK;
}

void rmq_client_cancel(rmq_client *client)
{
    pthread_mutex_lock(&client->mutex);
    bool was_cancelled = atomic_exchange(&client->cancelled, true);
    pthread_cond_broadcast(&client->cond);
    pthread_mutex_unlock(&client->mutex);
    if (!was_cancelled)
        rmq_loop_post(client->loop, &client->cancel_task);
}

void rmq_client_free(rmq_client *client)
{
    if (client == NULL)
        return;
    assert(!rmq_loop_is_current(client->loop));
    rmq_client_cancel(client);
    pthread_mutex_lock(&client->mutex);
    while (client->n_callers > 0)
        pthread_cond_wait(&client->cond, &client->mutex);
    pthread_mutex_unlock(&client->mutex);
    free_parts(client);
}

/* ---- connecting ---- */

typedef struct use_namesrv_task {
    rmq_task task;
    rmq_client *client;
    size_t index; /* in: the one to use; out: the one in use */
    bool read;
} use_namesrv_task;

static void run_use_namesrv(rmq_task *task)
{
    use_namesrv_task *use = (use_namesrv_task *)task;
    if (use->read)
        use->index = rmq_route_cache_namesrv(&use->client->routes);
    else
        rmq_route_cache_use_namesrv(&use->client->routes, use->index);
}

/* A question that any name server answers, be it with "does not exist": so a server of another
 * kind, or one that refuses our certificate after the handshake (TLS 1.3), is found out here. */
static rmq_status try_namesrv(rmq_client *client, const char *address, int64_t timeout_ms,
                              rmq_error *err)
{
    rmq_answer *answer = NULL;
    rmq_command request;
    rmq_command_init(&request, RMQ_REQUEST_GET_ROUTEINFO_BY_TOPIC);
    rmq_command_set(&request, "topic", "TBW102");
    rmq_command_set_bool(&request, "acceptStandardJsonOnly", true);
    rmq_status status = rmq_call_sync(client, address, &request, timeout_ms, &answer, err);
    rmq_command_deinit(&request);
    if (status == RMQ_OK)
        rmq_answer_free(answer);
    return status;
}

static void append_text(rmq_error *err, const char *text)
{
    size_t len = strlen(err->text);
    snprintf(err->text + len, sizeof(err->text) - len, "%s", text);
}

/* Adds one failure to all; a TLS failure is the one the caller has to act on. */
static void add_failure(rmq_error *all, const rmq_error *one)
{
    if (all->text[0] == '\0') {
        *all = *one;
        return;
    }
    append_text(all, "; ");
    append_text(all, one->text);
    all->status = one->status == RMQ_TLS ? RMQ_TLS : all->status;
    all->retriable = all->retriable || one->retriable;
}

/* What a person can do about it. A TLS failure says so itself. */
static void add_cure(const rmq_client *client, rmq_error *all)
{
    if (all->status == RMQ_TLS || all->status == RMQ_AUTH || all->status == RMQ_CANCELLED ||
        all->status == RMQ_NOMEM)
        return;
    bool may_want_tls =
        (all->status == RMQ_CLOSED || all->os_errno == ECONNRESET) && !client->settings.config.tls;
    append_text(all, may_want_tls ? "; is a name server there (namesrv, --namesrv), and without "
                                    "TLS (tls, --tls)?"
                                  : "; is a name server there (namesrv, --namesrv)?");
    if (all->status == RMQ_CLOSED)
        all->status = RMQ_IO;
}

static rmq_status connect_any(rmq_client *client, int64_t timeout_ms, rmq_error *err)
{
    const rmq_settings *settings = &client->settings;
    size_t count = settings->n_namesrvs;
    int64_t deadline_ns = rmq_clock_monotonic_ns() + timeout_ms * 1000000;
    use_namesrv_task use = {.task = {.run = run_use_namesrv}, .client = client, .read = true};
    rmq_error all = {.text = ""};
    rmq_error one;
    rmq_loop_run_sync(client->loop, &use.task);
    size_t first = use.index;
    for (size_t i = 0; i < count; i++) {
        use.index = (first + i) % count;
        int64_t share_ms = rmq_lookup_left_ms(deadline_ns) / (int64_t)(count - i);
        rmq_status status =
            try_namesrv(client, settings->namesrvs[use.index], share_ms > 0 ? share_ms : 1, &one);
        if (status == RMQ_OK) {
            use.read = false;
            rmq_loop_run_sync(client->loop, &use.task);
            return RMQ_OK;
        }
        if (status == RMQ_IO && one.os_errno == ENOMEM)
            one.status = RMQ_NOMEM; /* ours ran out: the next address would fare no better */
        if (one.status == RMQ_CANCELLED || one.status == RMQ_NOMEM) {
            all = one;
            break;
        }
        add_failure(&all, &one);
    }
    add_cure(client, &all);
    if (err != NULL)
        *err = all;
    return all.status;
}

rmq_status rmq_client_connect(rmq_client *client, int64_t timeout_ms, rmq_error *err)
{
    if (timeout_ms <= 0)
        timeout_ms = client->settings.config.connect_timeout_ms;
    rmq_client_enter(client);
    rmq_status status = connect_any(client, timeout_ms, err);
    rmq_client_leave(client);
    return status;
}

/* ---- small things ---- */

const char *rmq_client_id(const rmq_client *client)
{
    return client->client_id;
}

rmq_loop *rmq_client_loop(rmq_client *client)
{
    return client->loop;
}

const rmq_client_config *rmq_client_settings(const rmq_client *client)
{
    return &client->settings.config;
}

void rmq_cancel_hook_add(rmq_client *client, rmq_cancel_hook *hook)
{
    rmq_loop_assert(client->loop);
    hook->next = client->cancel_hooks;
    hook->link = &client->cancel_hooks;
    if (hook->next != NULL)
        hook->next->link = &hook->next;
    client->cancel_hooks = hook;
}

void rmq_cancel_hook_remove(rmq_cancel_hook *hook)
{
    if (hook->link == NULL)
        return;
    *hook->link = hook->next;
    if (hook->next != NULL)
        hook->next->link = hook->link;
    hook->link = NULL;
}
