/* The fault proxy: one thread with poll, a listener before each server, a link for each connection.
 *
 *     client ──> side[CLIENT].in ──frames, rules──> side[SERVER].out ──> server
 *     client <── side[CLIENT].out <──rules, frames── side[SERVER].in <── server
 *
 * Frames are stored whole, then judged and sent on: what is asked is noted by its opaque, so that
 * an answer is known by its request's code. Bytes that are no frames (TLS) pass as they are and
 * only have the weather.
 *
 * The mutex guards everything; the thread holds it except while it waits in poll. */
#include "fault_proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "proxy_frame.h"
#include "proxy_queue.h"
#include "proxy_rules.h"

#define CLIENT 0
#define SERVER 1
#define READ_BYTES ((size_t)256 * 1024)
/* No more is read from one side while so much waits for the other. */
#define QUEUE_BYTES ((size_t)4 * 1024 * 1024)
#define MAX_ASKED 4096
#define ROUTE_BY_TOPIC 105
#define CLUSTER_INFO 106

typedef struct question {
    int32_t opaque;
    int32_t code;
} question;

typedef struct side {
    int fd;
    uint8_t *in;
    size_t in_len;
    size_t in_capacity;
    proxy_queue out;
    int64_t last_due_ns;
    question asked[MAX_ASKED]; /* by this side, not yet answered */
    size_t n_asked;
    bool ended; /* nothing more comes from it */
} side;

typedef struct pair {
    struct pair *next;
    side side[2];
    bool connecting;
    bool raw;
    bool silent;
    bool dead;
} pair;

typedef struct listener {
    struct listener *next;
    int fd;
    char server[128];
    char address[64];
} listener;

struct fault_proxy {
    pthread_t thread;
    pthread_mutex_t mutex;
    int wake_fd;
    bool stopping;
    bool refusing;
    fault_weather weather;
    proxy_rules rules;
    listener *listeners; /* the last one is the first server's */
    pair *links;
    struct pollfd *polls;
    size_t polls_capacity;
    uint64_t n_connections;
    uint64_t n_frames;
    char address[64];
};

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "fault proxy: %s: %s\n", what, strerror(errno));
    abort();
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- servers ---- */

static bool resolve(const char *server, struct sockaddr_storage *out_address, socklen_t *out_len)
{
    char host[128];
    const char *colon = strrchr(server, ':');
    if (colon == NULL || (size_t)(colon - server) >= sizeof(host))
        return false;
    bool bracket = server[0] == '[';
    size_t len = (size_t)(colon - server) - (bracket ? 2 : 0);
    memcpy(host, server + (bracket ? 1 : 0), len);
    host[len] = '\0';
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return false;
    memcpy(out_address, found->ai_addr, found->ai_addrlen);
    *out_len = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

static listener *listener_of(fault_proxy *proxy, const char *server)
{
    for (listener *at = proxy->listeners; at != NULL; at = at->next) {
        if (strcmp(at->server, server) == 0)
            return at;
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    listener *added = calloc(1, sizeof(*added));
    must(added != NULL, "memory");
    snprintf(added->server, sizeof(added->server), "%s", server);
    added->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    must(added->fd >= 0 && bind(added->fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
             listen(added->fd, 256) == 0 &&
             getsockname(added->fd, (struct sockaddr *)&address, &len) == 0,
         "listen");
    snprintf(added->address, sizeof(added->address), "127.0.0.1:%u", ntohs(address.sin_port));
    added->next = proxy->listeners;
    proxy->listeners = added;
    return added;
}

static const char *own_address(void *ctx, const char *server)
{
    fault_proxy *proxy = ctx;
    struct sockaddr_storage address;
    socklen_t len;
    for (listener *at = proxy->listeners; at != NULL; at = at->next) {
        if (strcmp(at->address, server) == 0)
            return NULL; /* it is ours already */
    }
    return resolve(server, &address, &len) ? listener_of(proxy, server)->address : NULL;
}

/* ---- links ---- */

static void link_close(pair *dead, bool with_reset)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    for (int i = 0; i < 2; i++) {
        side *one = &dead->side[i];
        if (one->fd >= 0 && with_reset)
            (void)setsockopt(one->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        if (one->fd >= 0)
            close(one->fd);
        one->fd = -1;
        proxy_queue_clear(&one->out);
        free(one->in);
        one->in = NULL;
    }
    dead->dead = true;
}

static void take_client(fault_proxy *proxy, const listener *at)
{
    int fd = accept4(at->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    proxy->n_connections++;
    struct sockaddr_storage address;
    socklen_t len;
    if (proxy->refusing || !resolve(at->server, &address, &len)) {
        close(fd);
        return;
    }
    const int on = 1;
    pair *added = calloc(1, sizeof(*added));
    must(added != NULL, "memory");
    added->side[CLIENT].fd = fd;
    added->side[SERVER].fd =
        socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    must(added->side[SERVER].fd >= 0, "socket");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(added->side[SERVER].fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    added->connecting = true;
    for (int i = 0; i < 2; i++)
        added->side[i].out.bytes_per_s = proxy->weather.bytes_per_s;
    if (connect(added->side[SERVER].fd, (struct sockaddr *)&address, len) != 0 &&
        errno != EINPROGRESS)
        link_close(added, false);
    added->next = proxy->links;
    proxy->links = added;
}

static void end_silently(pair *hushed)
{
    hushed->silent = true;
    if (hushed->side[SERVER].fd >= 0)
        close(hushed->side[SERVER].fd);
    hushed->side[SERVER].fd = -1;
    proxy_queue_clear(&hushed->side[CLIENT].out);
    proxy_queue_clear(&hushed->side[SERVER].out);
}

/* ---- frames ---- */

static void note_question(side *asker, const proxy_frame *frame)
{
    if (frame->is_oneway)
        return;
    if (asker->n_asked == MAX_ASKED)
        asker->n_asked = 0;
    asker->asked[asker->n_asked++] = (question){frame->opaque, frame->code};
}

static int32_t take_question(side *asker, int32_t opaque)
{
    for (size_t i = 0; i < asker->n_asked; i++) {
        if (asker->asked[i].opaque == opaque) {
            int32_t code = asker->asked[i].code;
            asker->asked[i] = asker->asked[--asker->n_asked];
            return code;
        }
    }
    return -1;
}

static int64_t due_of(fault_proxy *proxy, int64_t extra_us)
{
    const fault_weather *weather = &proxy->weather;
    int64_t delay_us = weather->delay_us + extra_us;
    if (weather->jitter_us > 0)
        delay_us += (int64_t)(proxy_random(&proxy->rules) % (uint64_t)weather->jitter_us);
    return delay_us == 0 ? 0 : now_ns() + delay_us * 1000;
}

/* Where a cut, a flip or a throttling sits, of `size` bytes or bits. */
static size_t place_of(fault_proxy *proxy, const fault_spec *spec, size_t size)
{
    return spec->at < 0 ? (size_t)(proxy_random(&proxy->rules) % size)
                        : (size_t)((uint64_t)spec->at % (size + 1));
}

static void send_cut(fault_proxy *proxy, proxy_queue *out, const fault_spec *spec,
                     const uint8_t *data, size_t len)
{
    size_t first = place_of(proxy, spec, len);
    proxy_piece *piece = proxy_queue_add(out, data, first, due_of(proxy, 0));
    piece->after = spec->kind == FAULT_CUT     ? PROXY_CLOSE
                   : spec->kind == FAULT_RESET ? PROXY_RESET
                                               : PROXY_SILENCE;
    if (spec->kind != FAULT_THROTTLE)
        return;
    piece->after = PROXY_SLOW;
    piece->bytes_per_s = spec->bytes_per_s;
    proxy_queue_add(out, data + first, len - first, 0);
}

static void send_frame(fault_proxy *proxy, proxy_queue *out, const fault_spec *spec, uint8_t *data,
                       size_t len)
{
    size_t bit;
    switch (spec != NULL ? (int)spec->kind : 0) {
    case FAULT_CUT:
    case FAULT_RESET:
    case FAULT_HALF_OPEN:
    case FAULT_THROTTLE:
        send_cut(proxy, out, spec, data, len);
        return;
    case FAULT_DROP:
        return;
    case FAULT_FLIP:
        bit = place_of(proxy, spec, len * 8) % (len * 8);
        data[bit / 8] ^= (uint8_t)(0x80u >> bit % 8);
        break;
    case FAULT_REPEAT:
        proxy_queue_add(out, data, len, due_of(proxy, 0));
        break;
    default:
        break;
    }
    proxy_queue_add(out, data, len,
                    due_of(proxy, spec != NULL && spec->kind == FAULT_DELAY ? spec->delay_us : 0));
}

static void pass_frame(fault_proxy *proxy, pair *on, int from, uint8_t *data,
                       const proxy_frame *frame)
{
    side *asker = frame->is_answer ? &on->side[1 - from] : &on->side[from];
    int32_t code = frame->code;
    if (frame->is_answer)
        code = take_question(asker, frame->opaque);
    else
        note_question(asker, frame);
    proxy->n_frames++;
    uint8_t *rewritten = NULL;
    size_t len = frame->size;
    if (frame->is_answer && (code == ROUTE_BY_TOPIC || code == CLUSTER_INFO)) {
        rewritten = proxy_frame_with_addresses(data, frame, own_address, proxy, &len);
        data = rewritten;
    }
    if (frame->is_answer)
        proxy_rules_keep(&proxy->rules, code, data, len);
    const fault_spec *spec = proxy_rules_hit(&proxy->rules, code, !frame->is_answer);
    send_frame(proxy, &on->side[1 - from].out, spec, data, len);
    free(rewritten);
}

static void pass_on(fault_proxy *proxy, pair *on, int from)
{
    side *source = &on->side[from];
    size_t at = 0;
    proxy_frame frame;
    proxy_cut cut = PROXY_CUT_MORE;
    while (!on->raw && at < source->in_len) {
        cut = proxy_frame_read(source->in + at, source->in_len - at, &frame);
        if (cut != PROXY_CUT_FRAME)
            break;
        pass_frame(proxy, on, from, source->in + at, &frame);
        at += frame.size;
    }
    if (cut == PROXY_CUT_UNKNOWN)
        on->raw = true;
    if (on->raw && at < source->in_len) {
        proxy_queue_add(&on->side[1 - from].out, source->in + at, source->in_len - at,
                        due_of(proxy, 0));
        at = source->in_len;
    }
    memmove(source->in, source->in + at, source->in_len - at);
    source->in_len -= at;
}

/* ---- sockets ---- */

static void read_side(fault_proxy *proxy, pair *on, int from)
{
    side *source = &on->side[from];
    if (source->in_capacity - source->in_len < READ_BYTES) {
        source->in_capacity = source->in_len * 2 + READ_BYTES;
        source->in = realloc(source->in, source->in_capacity);
        must(source->in != NULL, "memory");
    }
    ssize_t n =
        recv(source->fd, source->in + source->in_len, source->in_capacity - source->in_len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        source->ended = true;
        return;
    }
    if (on->silent)
        return;
    source->in_len += (size_t)n;
    pass_on(proxy, on, from);
}

static void write_side(pair *on, int to)
{
    proxy_after after;
    if (!proxy_queue_write(&on->side[to].out, on->side[to].fd, now_ns(), &after))
        link_close(on, false);
    else if (after == PROXY_CLOSE || after == PROXY_RESET)
        link_close(on, after == PROXY_RESET);
    else if (after == PROXY_SILENCE)
        end_silently(on);
}

/* One side has ended and all that it sent is delivered: the other one ends, too. */
static void end_if_over(pair *on)
{
    bool over = on->side[CLIENT].ended && on->silent;
    for (int i = 0; i < 2; i++)
        over = over || (on->side[i].ended && on->side[1 - i].out.first == NULL);
    if (over)
        link_close(on, false);
}

static void serve_link(fault_proxy *proxy, pair *on, const struct pollfd polls[2])
{
    for (int i = 0; i < 2 && !on->dead; i++) {
        if (on->side[i].fd < 0 || polls[i].fd < 0)
            continue;
        if (i == SERVER && on->connecting && polls[i].revents != 0) {
            int failure = 0;
            socklen_t len = sizeof(failure);
            (void)getsockopt(on->side[i].fd, SOL_SOCKET, SO_ERROR, &failure, &len);
            on->connecting = false;
            on->side[i].ended = failure != 0;
            if (failure != 0)
                proxy_queue_clear(&on->side[CLIENT].out);
        } else if ((polls[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
            read_side(proxy, on, i);
        }
    }
    for (int i = 0; i < 2 && !on->dead; i++) {
        bool connected = i == CLIENT || !on->connecting;
        if (on->side[i].fd >= 0 && connected && on->side[i].out.first != NULL)
            write_side(on, i);
    }
    if (!on->dead)
        end_if_over(on);
}

/* What one side waits for; lowers *out_due_ns to when it must be looked at. */
static struct pollfd poll_of(const pair *on, int which, int64_t now, int64_t *out_due_ns)
{
    const side *one = &on->side[which];
    struct pollfd poll_fd = {.fd = one->fd};
    if (which == SERVER && on->connecting) {
        poll_fd.events = POLLOUT;
        return poll_fd;
    }
    if (!one->ended && on->side[1 - which].out.bytes < QUEUE_BYTES)
        poll_fd.events = POLLIN;
    int64_t due_ns = proxy_queue_due_ns(&one->out);
    if (due_ns <= now)
        poll_fd.events |= POLLOUT;
    else if (due_ns < *out_due_ns)
        *out_due_ns = due_ns;
    if (poll_fd.events == 0)
        poll_fd.fd = -1;
    return poll_fd;
}

static size_t fill_polls(fault_proxy *proxy, int64_t *out_due_ns)
{
    size_t n = 1;
    for (listener *at = proxy->listeners; at != NULL; at = at->next)
        n++;
    for (pair *at = proxy->links; at != NULL; at = at->next)
        n += 2;
    if (n > proxy->polls_capacity) {
        proxy->polls_capacity = n * 2;
        proxy->polls = realloc(proxy->polls, proxy->polls_capacity * sizeof(*proxy->polls));
        must(proxy->polls != NULL, "memory");
    }
    int64_t now = now_ns();
    struct pollfd *to = proxy->polls;
    *to++ = (struct pollfd){.fd = proxy->wake_fd, .events = POLLIN};
    for (listener *at = proxy->listeners; at != NULL; at = at->next)
        *to++ = (struct pollfd){.fd = at->fd, .events = POLLIN};
    for (pair *at = proxy->links; at != NULL; at = at->next) {
        *to++ = poll_of(at, CLIENT, now, out_due_ns);
        *to++ = poll_of(at, SERVER, now, out_due_ns);
    }
    return n;
}

static void bury_dead(fault_proxy *proxy)
{
    pair **at = &proxy->links;
    while (*at != NULL) {
        pair *one = *at;
        if (one->dead) {
            *at = one->next;
            free(one);
        } else {
            at = &one->next;
        }
    }
}

/* New listeners and links come to the front of their lists: those polled are the last `n`. */
static void serve_polled(fault_proxy *proxy, listener *listeners, pair *links)
{
    const struct pollfd *polls = proxy->polls + 1;
    uint64_t count;
    if (proxy->polls[0].revents != 0)
        must(read(proxy->wake_fd, &count, sizeof(count)) == sizeof(count), "eventfd");
    const struct pollfd *of_links = polls;
    for (listener *at = listeners; at != NULL; at = at->next)
        of_links++;
    for (pair *at = links; at != NULL; at = at->next, of_links += 2) {
        if (!at->dead)
            serve_link(proxy, at, of_links);
    }
    for (listener *at = listeners; at != NULL; at = at->next, polls++) {
        if ((polls->revents & POLLIN) != 0)
            take_client(proxy, at);
    }
}

static void *run(void *ctx)
{
    fault_proxy *proxy = ctx;
    pthread_mutex_lock(&proxy->mutex);
    while (!proxy->stopping) {
        int64_t due_ns = INT64_MAX;
        size_t n = fill_polls(proxy, &due_ns);
        listener *listeners = proxy->listeners;
        pair *links = proxy->links;
        int64_t wait_ns = due_ns == INT64_MAX ? 1000000000 : due_ns - now_ns();
        const struct timespec wait = {wait_ns > 0 ? wait_ns / 1000000000 : 0,
                                      wait_ns > 0 ? wait_ns % 1000000000 : 0};
        pthread_mutex_unlock(&proxy->mutex);
        int ready = ppoll(proxy->polls, n, &wait, NULL);
        must(ready >= 0 || errno == EINTR, "poll");
        pthread_mutex_lock(&proxy->mutex);
        if (ready >= 0)
            serve_polled(proxy, listeners, links);
        bury_dead(proxy);
    }
    pthread_mutex_unlock(&proxy->mutex);
    return NULL;
}

/* ---- what the test calls ---- */

static void wake(fault_proxy *proxy)
{
    const uint64_t one = 1;
    must(write(proxy->wake_fd, &one, sizeof(one)) == sizeof(one), "eventfd");
}

fault_proxy *fault_proxy_start(const char *server, uint64_t seed)
{
    fault_proxy *proxy = calloc(1, sizeof(*proxy));
    must(proxy != NULL, "memory");
    proxy->rules.random = seed * 0x9E3779B97F4A7C15u | 1;
    pthread_mutex_init(&proxy->mutex, NULL);
    proxy->wake_fd = eventfd(0, EFD_CLOEXEC);
    must(proxy->wake_fd >= 0, "eventfd");
    snprintf(proxy->address, sizeof(proxy->address), "%s", listener_of(proxy, server)->address);
    must(pthread_create(&proxy->thread, NULL, run, proxy) == 0, "thread");
    return proxy;
}

void fault_proxy_stop(fault_proxy *proxy)
{
    pthread_mutex_lock(&proxy->mutex);
    proxy->stopping = true;
    pthread_mutex_unlock(&proxy->mutex);
    wake(proxy);
    pthread_join(proxy->thread, NULL);
    for (pair *at = proxy->links; at != NULL; at = at->next)
        link_close(at, false);
    bury_dead(proxy);
    while (proxy->listeners != NULL) {
        listener *at = proxy->listeners;
        proxy->listeners = at->next;
        close(at->fd);
        free(at);
    }
    proxy_rules_deinit(&proxy->rules);
    free(proxy->polls);
    close(proxy->wake_fd);
    pthread_mutex_destroy(&proxy->mutex);
    free(proxy);
}

const char *fault_proxy_address(const fault_proxy *proxy)
{
    return proxy->address;
}

void fault_proxy_weather(fault_proxy *proxy, const fault_weather *weather)
{
    pthread_mutex_lock(&proxy->mutex);
    proxy->weather = *weather;
    for (pair *at = proxy->links; at != NULL; at = at->next) {
        for (int i = 0; i < 2; i++)
            at->side[i].out.bytes_per_s = weather->bytes_per_s;
    }
    pthread_mutex_unlock(&proxy->mutex);
    wake(proxy);
}

int fault_proxy_add(fault_proxy *proxy, const fault_spec *spec)
{
    pthread_mutex_lock(&proxy->mutex);
    int index = proxy_rules_add(&proxy->rules, spec);
    pthread_mutex_unlock(&proxy->mutex);
    return index;
}

int fault_proxy_add_text(fault_proxy *proxy, const char *text)
{
    fault_spec spec;
    return fault_spec_parse(text, &spec) ? fault_proxy_add(proxy, &spec) : -1;
}

void fault_proxy_clear(fault_proxy *proxy)
{
    pthread_mutex_lock(&proxy->mutex);
    for (int i = 0; i < proxy->rules.n_rules; i++)
        proxy->rules.rules[i].active = false;
    pthread_mutex_unlock(&proxy->mutex);
}

uint64_t fault_proxy_hits(fault_proxy *proxy, int rule)
{
    pthread_mutex_lock(&proxy->mutex);
    uint64_t n_hits = proxy->rules.rules[rule].n_hits;
    pthread_mutex_unlock(&proxy->mutex);
    return n_hits;
}

void fault_proxy_cut_all(fault_proxy *proxy, bool refuse)
{
    pthread_mutex_lock(&proxy->mutex);
    proxy->refusing = refuse;
    for (pair *at = proxy->links; at != NULL; at = at->next) {
        for (int i = 0; i < 2; i++)
            at->side[i].ended = true;
        for (int i = 0; i < 2; i++)
            proxy_queue_clear(&at->side[i].out);
    }
    pthread_mutex_unlock(&proxy->mutex);
    wake(proxy);
}

uint64_t fault_proxy_connections(fault_proxy *proxy)
{
    pthread_mutex_lock(&proxy->mutex);
    uint64_t n = proxy->n_connections;
    pthread_mutex_unlock(&proxy->mutex);
    return n;
}

uint64_t fault_proxy_frames(fault_proxy *proxy)
{
    pthread_mutex_lock(&proxy->mutex);
    uint64_t n = proxy->n_frames;
    pthread_mutex_unlock(&proxy->mutex);
    return n;
}

size_t fault_proxy_last_answer(fault_proxy *proxy, int32_t request_code, uint8_t **out_data)
{
    size_t len = 0;
    pthread_mutex_lock(&proxy->mutex);
    for (int i = 0; i < proxy->rules.n_answers; i++) {
        const proxy_answer *answer = &proxy->rules.answers[i];
        if (answer->request_code != request_code)
            continue;
        len = answer->len;
        if (out_data != NULL) {
            *out_data = malloc(len);
            must(*out_data != NULL, "memory");
            memcpy(*out_data, answer->data, len);
        }
    }
    pthread_mutex_unlock(&proxy->mutex);
    return len;
}
