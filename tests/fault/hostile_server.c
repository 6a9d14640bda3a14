/* The hostile server: a forked process with a thread for each connection. It ends with the process
 * that started it. */
#include "hostile_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <check.h>

#include "../../proto/record.h"

#define MAX_BYTES ((size_t)256 * 1024 * 1024)

size_t hostile_cap;
static int32_t lie_code;
static hostile_answer lie_answer;

static void must(bool good)
{
    if (!good)
        _exit(3);
}

/* ---- writing ---- */

bool hostile_write(hostile_link *link, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0 && !link->closed) {
        ssize_t n = send(link->fd, at, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            link->closed = true;
            break;
        }
        at += n;
        len -= (size_t)n;
    }
    return !link->closed;
}

bool hostile_write_many(hostile_link *link, const char *chunk, size_t total)
{
    char many[16384];
    size_t chunk_len = strlen(chunk);
    size_t len = 0;
    while (len + chunk_len <= sizeof(many)) {
        memcpy(many + len, chunk, chunk_len);
        len += chunk_len;
    }
    size_t left = total == 0 ? SIZE_MAX : total;
    while (left > 0) {
        size_t n = left < len ? left : len;
        if (!hostile_write(link, many, n))
            return false;
        left -= n;
    }
    return true;
}

void hostile_wait(hostile_link *link)
{
    char bytes[4096];
    while (!link->closed && recv(link->fd, bytes, sizeof(bytes), 0) > 0)
        continue;
    link->closed = true;
}

void hostile_close(hostile_link *link, bool with_reset)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (with_reset)
        (void)setsockopt(link->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    else
        (void)shutdown(link->fd, SHUT_RDWR);
    link->closed = true;
}

void hostile_encode(rmq_buf *out, int32_t code, int32_t opaque, const char *const *fields,
                    rmq_slice body)
{
    rmq_command answer;
    rmq_error err;
    rmq_command_init(&answer, code);
    answer.flag = RMQ_FLAG_RESPONSE;
    answer.opaque = opaque;
    answer.body = body;
    for (size_t i = 0; fields != NULL && fields[i] != NULL; i++) {
        char name[64];
        const char *equals = strchr(fields[i], '=');
        snprintf(name, sizeof(name), "%.*s", (int)(equals - fields[i]), fields[i]);
        rmq_command_set(&answer, name, equals + 1);
    }
    must(rmq_command_encode(&answer, RMQ_SERIALIZATION_JSON, out, &err) == RMQ_OK);
    rmq_command_deinit(&answer);
}

void hostile_send(hostile_link *link, const hostile_request *request, int32_t code,
                  const char *const *fields, rmq_slice body)
{
    rmq_buf out;
    rmq_buf_init(&out, MAX_BYTES);
    hostile_encode(&out, code, request->opaque, fields, body);
    hostile_write(link, out.data, out.len);
    rmq_buf_deinit(&out);
}

/* ---- honest answers ---- */

void hostile_record(rmq_buf *out, int64_t offset)
{
    char body[32];
    rmq_message message = {.topic = rmq_slice_of(HOSTILE_TOPIC),
                           .queue_offset = offset,
                           .physical_offset = offset * 200,
                           .born_timestamp_ms = 1700000000000 + offset,
                           .store_timestamp_ms = 1700000000001 + offset,
                           .born_host = {.address = {127, 0, 0, 1}, .address_bytes = 4},
                           .store_host = {.address = {127, 0, 0, 1}, .address_bytes = 4},
                           .properties = rmq_slice_of("TAGS\001a\002KEYS\001k")};
    message.body =
        (rmq_slice){body, (size_t)snprintf(body, sizeof(body), "message-%lld", (long long)offset)};
    rmq_record_encode(&message, out);
}

void hostile_send_records(hostile_link *link, const hostile_request *request, const rmq_buf *body,
                          int64_t next)
{
    char text[64];
    snprintf(text, sizeof(text), "nextBeginOffset=%lld", (long long)next);
    hostile_send(link, request, RMQ_RESPONSE_SUCCESS,
                 HOSTILE_FIELDS(text, "minOffset=0", "maxOffset=6", "suggestWhichBrokerId=0"),
                 (rmq_slice){(const char *)body->data, body->len});
}

static void honest_pull(const hostile_request *request, rmq_buf *out)
{
    rmq_buf body;
    rmq_buf_init(&body, MAX_BYTES);
    for (int64_t offset = request->offset;
         offset < HOSTILE_MESSAGES && offset < request->offset + request->wanted; offset++)
        hostile_record(&body, offset);
    bool any = body.len > 0;
    int64_t end = request->offset + request->wanted;
    char next[64];
    snprintf(next, sizeof(next), "nextBeginOffset=%lld",
             (long long)(end < HOSTILE_MESSAGES ? end : HOSTILE_MESSAGES));
    hostile_encode(out, any ? RMQ_RESPONSE_SUCCESS : RMQ_RESPONSE_PULL_NOT_FOUND, request->opaque,
                   HOSTILE_FIELDS(next, "minOffset=0", "maxOffset=6", "suggestWhichBrokerId=0"),
                   (rmq_slice){(const char *)body.data, body.len});
    rmq_buf_deinit(&body);
}

void hostile_honest(hostile_link *link, const hostile_request *request, rmq_buf *out)
{
    char text[1024];
    static const char *const offset_6[] = {"offset=6", NULL};
    static const char *const offset_0[] = {"offset=0", NULL};
    static const char *const stored[] = {"msgId=7F00000100002A9F0000000000000000", "queueId=0",
                                         "queueOffset=6", NULL};
    const char *const *fields = NULL;
    text[0] = '\0';
    switch (request->code) {
    case RMQ_REQUEST_PULL_MESSAGE:
        honest_pull(request, out);
        return;
    case RMQ_REQUEST_GET_ROUTEINFO_BY_TOPIC:
        snprintf(text, sizeof(text),
                 "{\"brokerDatas\":[{\"brokerAddrs\":{\"0\":\"%s\"},\"brokerName\":\"b\","
                 "\"cluster\":\"c\"}],\"filterServerTable\":{},\"queueDatas\":[{\"brokerName\":"
                 "\"b\",\"perm\":6,\"readQueueNums\":1,\"writeQueueNums\":1,\"topicSysFlag\":0}]}",
                 link->address);
        break;
    case RMQ_REQUEST_GET_ALL_TOPIC_LIST_FROM_NAMESERVER:
        snprintf(text, sizeof(text), "{\"topicList\":[\"T\"]}");
        break;
    case RMQ_REQUEST_GET_TOPIC_STATS_INFO:
        snprintf(text, sizeof(text),
                 "{\"offsetTable\":{{\"brokerName\":\"b\",\"queueId\":0,\"topic\":\"T\"}:"
                 "{\"lastUpdateTimestamp\":1,\"maxOffset\":6,\"minOffset\":0}}}");
        break;
    case RMQ_REQUEST_GET_MAX_OFFSET:
        fields = offset_6;
        break;
    case RMQ_REQUEST_GET_MIN_OFFSET:
    case RMQ_REQUEST_QUERY_CONSUMER_OFFSET:
        fields = offset_0;
        break;
    case RMQ_REQUEST_SEND_MESSAGE_V2:
        fields = stored;
        break;
    default:
        break;
    }
    hostile_encode(out, RMQ_RESPONSE_SUCCESS, request->opaque, fields, rmq_slice_of(text));
}

/* ---- the process ---- */

static bool read_all(int fd, uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = recv(fd, data, len, 0);
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static bool read_request(int fd, hostile_request *out_request, bool *out_is_request)
{
    uint8_t word[4];
    if (!read_all(fd, word, 4))
        return false;
    size_t len = (size_t)word[0] << 24 | (size_t)word[1] << 16 | (size_t)word[2] << 8 | word[3];
    uint8_t *bytes = malloc(len + 4);
    must(bytes != NULL && len < MAX_BYTES);
    memcpy(bytes, word, 4);
    rmq_frame *frame = NULL;
    rmq_command command;
    rmq_error err;
    bool good = read_all(fd, bytes + 4, len);
    if (good) {
        must(rmq_frame_from_bytes(bytes, len + 4, &frame, &err) == RMQ_OK);
        must(rmq_command_decode(frame, &command, &err) == RMQ_OK);
        *out_request = (hostile_request){.code = command.code, .opaque = command.opaque};
        *out_is_request = !rmq_command_is_response(&command) && !rmq_command_is_oneway(&command);
        (void)rmq_command_get_int64(&command, "queueOffset", &out_request->offset);
        (void)rmq_command_get_int64(&command, "maxMsgNums", &out_request->wanted);
        rmq_command_deinit(&command);
        rmq_frame_unref(frame);
    }
    free(bytes);
    return good;
}

static void *serve(void *ctx)
{
    hostile_link *link = ctx;
    hostile_request request;
    bool is_request = false;
    while (!link->closed && read_request(link->fd, &request, &is_request)) {
        if (!is_request)
            continue;
        __atomic_fetch_add(&link->board->n_requests, 1, __ATOMIC_RELAXED);
        if (link->board->lying && (lie_code == 0 || lie_code == request.code)) {
            __atomic_fetch_add(&link->board->n_lies, 1, __ATOMIC_RELAXED);
            lie_answer(link, &request);
            continue;
        }
        rmq_buf out;
        rmq_buf_init(&out, MAX_BYTES);
        hostile_honest(link, &request, &out);
        hostile_write(link, out.data, out.len);
        rmq_buf_deinit(&out);
    }
    close(link->fd);
    free(link);
    return NULL;
}

static void run(int listener, const char *address, hostile_board *board)
{
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            continue;
        hostile_link *link = calloc(1, sizeof(*link));
        must(link != NULL);
        *link = (hostile_link){.fd = fd, .address = address, .board = board};
        pthread_t thread;
        must(pthread_create(&thread, NULL, serve, link) == 0);
        pthread_detach(thread);
    }
}

void hostile_start(hostile_server *server, int32_t code, hostile_answer lie)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(listener, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(listener, 64), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    snprintf(server->address, sizeof(server->address), "127.0.0.1:%u", ntohs(address.sin_port));
    server->board = mmap(NULL, sizeof(*server->board), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(server->board, MAP_FAILED);
    server->board->lying = 1;
    lie_code = code;
    lie_answer = lie;
    pid_t parent = getpid();
    server->pid = fork();
    ck_assert_int_ge(server->pid, 0);
    if (server->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(0);
        run(listener, server->address, server->board);
    }
    close(listener);
}

void hostile_stop(hostile_server *server)
{
    kill(server->pid, SIGKILL);
    ck_assert_int_eq(waitpid(server->pid, NULL, 0), server->pid);
    munmap(server->board, sizeof(*server->board));
}
