/* How fast does a broker hand out messages, if nobody looks at them? The ceiling for every reader.
 *
 *     probe --broker HOST:PORT --topic TOPIC [--queues 4] [--depth 4] [--links 1] [--max 1024]
 *           [--seconds 5]
 *
 * Pull requests go out back to back, `depth` in flight per queue, over `links` connections; of an
 * answer only its length and the next offset in its header are looked at, the records are received
 * and thrown away. One thread, blocking in poll, no library of ours: what it costs is what the
 * kernel costs. The topic is read from its first to its last message, again and again, until the
 * time is up. The clock starts when every queue has been answered for half a second, so connecting
 * and the broker's warming up are left out.
 *
 * With more than one pull in flight per queue the next offset is predicted: first + as many as the
 * first answer brought. An answer that brings less (the topic's end) is counted for what it
 * brought.
 *
 * Prints one JSON object, with the names that `millrace bench read --json` uses. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_LINKS 64
#define MAX_DEPTH 64
#define BUFFER_BYTES ((size_t)256 * 1024)
#define REQUESTS_BYTES ((size_t)1024 * 1024)
#define HEADER_BYTES 2048 /* of an answer that are kept: length words and JSON */
#define WARM_SECONDS 0.5

/* One pull that is always in flight. Its index is its opaque. */
typedef struct slot {
    int queue;
    int64_t from;
} slot;

typedef struct queue {
    int64_t next; /* offset of the next pull */
    int64_t end;
    int64_t step; /* messages an answer brings; 0: not known yet */
    bool deep;    /* all its slots are in flight */
} queue;

typedef struct wire {
    int fd;
    char *requests; /* to be sent */
    size_t n_requests;
    char header[HEADER_BYTES]; /* of the answer that is being received */
    size_t have;               /* bytes of it so far, kept or not */
    size_t size;               /* of the whole frame; 0: not known */
} wire;

typedef struct probe {
    const char *broker;
    const char *topic;
    int n_queues;
    int depth;
    int n_links;
    int max_messages;
    double seconds;
    slot *slots;
    queue *queues;
    wire links[MAX_LINKS];
    uint64_t messages;
    uint64_t bytes;
    uint64_t pulls;
} probe;

static void die(const char *what)
{
    fprintf(stderr, "probe: %s\n", what);
    exit(EXIT_FAILURE);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* Not getrusage's: that begins with what the parent had when it forked. */
static long max_rss_kib(void)
{
    char line[256];
    long kib = 0;
    FILE *status = fopen("/proc/self/status", "re");
    while (status != NULL && kib == 0 && fgets(line, sizeof(line), status) != NULL)
        if (sscanf(line, "VmHWM: %ld", &kib) != 1)
            kib = 0;
    if (status != NULL)
        fclose(status);
    return kib;
}

static uint32_t load_u32(const char *at)
{
    const unsigned char *bytes = (const unsigned char *)at;
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void store_u32(char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (char)(value >> (24 - 8 * i));
}

/* ---- requests ---- */

static void ask(probe *self, int index, int64_t from)
{
    slot *pull = &self->slots[index];
    wire *out = &self->links[index % self->n_links];
    pull->from = from;
    if (REQUESTS_BYTES - out->n_requests < HEADER_BYTES)
        die("too many requests at once");
    char *at = out->requests + out->n_requests;
    int len = snprintf(
        at + 8, HEADER_BYTES - 8,
        "{\"code\":11,\"flag\":0,\"language\":\"CPP\",\"opaque\":%d,"
        "\"serializeTypeCurrentRPC\":\"JSON\",\"version\":493,\"extFields\":{\"consumerGroup\":"
        "\"PROBE\",\"topic\":\"%s\",\"queueId\":\"%d\",\"queueOffset\":\"%" PRId64
        "\",\"maxMsgNums\":\"%d\",\"sysFlag\":\"4\",\"commitOffset\":\"0\","
        "\"suspendTimeoutMillis\":\"15000\",\"subscription\":\"*\",\"expressionType\":\"TAG\","
        "\"subVersion\":\"0\"}}",
        index, self->topic, pull->queue, from, self->max_messages);
    store_u32(at, (uint32_t)len + 4);
    store_u32(at + 4, (uint32_t)len);
    out->n_requests += (size_t)len + 8;
}

static void ask_next(probe *self, int index)
{
    queue *asked = &self->queues[self->slots[index].queue];
    if (asked->next >= asked->end)
        asked->next = 0;
    ask(self, index, asked->next);
    asked->next += asked->step;
}

static void send_requests(wire *out)
{
    size_t sent = 0;
    while (sent < out->n_requests) {
        ssize_t n = send(out->fd, out->requests + sent, out->n_requests - sent, MSG_NOSIGNAL);
        if (n <= 0)
            die("the broker closed the link");
        sent += (size_t)n;
    }
    out->n_requests = 0;
}

/* ---- answers ---- */

static int64_t field(const char *header, const char *name)
{
    const char *found = strstr(header, name);
    if (found == NULL)
        return -1;
    found += strlen(name);
    found += strspn(found, "\": ");
    return strtoll(found, NULL, 10);
}

/* The first answer says where the queue ends, and how many messages an answer brings. */
static void learn(probe *self, int index, const char *header, int64_t got)
{
    int id = self->slots[index].queue;
    queue *answered = &self->queues[id];
    answered->end = field(header, "\"maxOffset\"");
    answered->step = got;
    answered->next = got;
    answered->deep = true;
    for (int i = 1; i < self->depth; i++)
        ask_next(self, id + i * self->n_queues);
}

/* `in` holds the whole length and header of an answer whose body is received or passed over. */
static void answered(probe *self, wire *in)
{
    size_t header_len = load_u32(in->header + 4) & 0xFFFFFF;
    if (header_len > HEADER_BYTES - 9)
        die("an answer's header is too long");
    in->header[8 + header_len] = '\0';
    const char *header = in->header + 8;
    int index = (int)field(header, "\"opaque\"");
    int64_t next = field(header, "\"nextBeginOffset\"");
    if (field(header, "\"code\"") != 0 || next < 0 || index < 0 ||
        index >= self->n_queues * self->depth) {
        fprintf(stderr, "probe: unexpected answer: %s\n", header);
        exit(EXIT_FAILURE);
    }
    queue *asked = &self->queues[self->slots[index].queue];
    int64_t got = next - self->slots[index].from;
    if (got <= 0)
        die("an answer without messages");
    self->messages += (uint64_t)got;
    self->bytes += in->size - 8 - header_len;
    self->pulls++;
    if (!asked->deep)
        learn(self, index, header, got);
    else if (self->depth == 1)
        asked->next = next;
    ask_next(self, index);
}

/* Cuts what was received into answers. */
static void take(probe *self, wire *in, const char *data, size_t len)
{
    while (len > 0) {
        if (in->have < HEADER_BYTES) {
            size_t room = HEADER_BYTES - in->have;
            memcpy(in->header + in->have, data, len < room ? len : room);
        }
        if (in->size == 0 && in->have + len >= 4)
            in->size = (size_t)load_u32(in->header) + 4;
        size_t left = in->size == 0 ? len : in->size - in->have;
        size_t n = len < left ? len : left;
        in->have += n;
        data += n;
        len -= n;
        if (in->size != 0 && in->have == in->size) {
            answered(self, in);
            in->have = 0;
            in->size = 0;
        }
    }
}

static void receive(probe *self, wire *in)
{
    static char buffer[BUFFER_BYTES];
    ssize_t n = recv(in->fd, buffer, sizeof(buffer), 0);
    if (n <= 0)
        die("the broker closed the link");
    take(self, in, buffer, (size_t)n);
}

static void run_until(probe *self, double end)
{
    struct pollfd fds[MAX_LINKS];
    for (int i = 0; i < self->n_links; i++)
        fds[i] = (struct pollfd){.fd = self->links[i].fd, .events = POLLIN};
    while (now() < end) {
        for (int i = 0; i < self->n_links; i++)
            send_requests(&self->links[i]);
        if (self->n_links > 1 && poll(fds, (nfds_t)self->n_links, 5000) <= 0)
            die("no answer within 5 s");
        for (int i = 0; i < self->n_links; i++)
            if (self->n_links == 1 || (fds[i].revents & POLLIN) != 0)
                receive(self, &self->links[i]);
    }
}

/* ---- start ---- */

static int connect_to(const char *broker)
{
    char host[256];
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    const char *colon = strrchr(broker, ':');
    if (colon == NULL || (size_t)(colon - broker) >= sizeof(host))
        die("--broker wants HOST:PORT");
    snprintf(host, sizeof(host), "%.*s", (int)(colon - broker), broker);
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        die("unknown host");
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    const struct timeval limit = {.tv_sec = 10};
    if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) != 0)
        die(strerror(errno));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    freeaddrinfo(found);
    return fd;
}

static void start(probe *self)
{
    int n_slots = self->n_queues * self->depth;
    self->slots = calloc((size_t)n_slots, sizeof(*self->slots));
    self->queues = calloc((size_t)self->n_queues, sizeof(*self->queues));
    if (self->slots == NULL || self->queues == NULL)
        die("no memory");
    for (int i = 0; i < self->n_links; i++) {
        self->links[i].fd = connect_to(self->broker);
        self->links[i].requests = malloc(REQUESTS_BYTES);
        if (self->links[i].requests == NULL)
            die("no memory");
    }
    for (int i = 0; i < n_slots; i++)
        self->slots[i].queue = i % self->n_queues;
    for (int i = 0; i < self->n_queues; i++)
        ask(self, i, 0);
}

static void parse(int argc, char **argv, probe *self)
{
    static const struct option options[] = {
        {"broker", required_argument, NULL, 'b'},  {"topic", required_argument, NULL, 't'},
        {"queues", required_argument, NULL, 'q'},  {"depth", required_argument, NULL, 'd'},
        {"links", required_argument, NULL, 'l'},   {"max", required_argument, NULL, 'm'},
        {"seconds", required_argument, NULL, 's'}, {NULL, 0, NULL, 0}};
    for (int option = 0; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'b':
            self->broker = optarg;
            break;
        case 't':
            self->topic = optarg;
            break;
        case 'q':
            self->n_queues = atoi(optarg);
            break;
        case 'd':
            self->depth = atoi(optarg);
            break;
        case 'l':
            self->n_links = atoi(optarg);
            break;
        case 'm':
            self->max_messages = atoi(optarg);
            break;
        case 's':
            self->seconds = atof(optarg);
            break;
        default:
            exit(2);
        }
    }
    if (self->broker == NULL || self->topic == NULL)
        die("--broker and --topic are needed");
    if (self->n_queues < 1 || self->depth < 1 || self->depth > MAX_DEPTH || self->n_links < 1 ||
        self->n_links > MAX_LINKS || self->max_messages < 1)
        die("a number is out of range");
}

int main(int argc, char **argv)
{
    static probe self = {
        .n_queues = 4, .depth = 4, .n_links = 1, .max_messages = 1024, .seconds = 5};
    parse(argc, argv, &self);
    start(&self);
    run_until(&self, now() + WARM_SECONDS);
    uint64_t messages = self.messages;
    uint64_t bytes = self.bytes;
    uint64_t pulls = self.pulls;
    double cpu = cpu_seconds();
    double begin = now();
    run_until(&self, begin + self.seconds);
    double seconds = now() - begin;
    cpu = cpu_seconds() - cpu;
    printf("{\"messages\":%" PRIu64 ",\"recordBytes\":%" PRIu64 ",\"pulls\":%" PRIu64
           ",\"seconds\":%.6f,\"cpuSeconds\":%.6f,\"maxRssKiB\":%ld}\n",
           self.messages - messages, self.bytes - bytes, self.pulls - pulls, seconds, cpu,
           max_rss_kib());
    return EXIT_SUCCESS;
}
