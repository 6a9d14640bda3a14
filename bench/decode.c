/* How many records a second does one core decode, from pull answers that lie in memory?
 *
 *     decode [SECONDS]
 *
 * An answer is a frame as a 5.4.0 broker sends it: a JSON header, and records with a body of so
 * many bytes, the topic, and the properties that a batch send leaves (UNIQ_KEY and two more). Its
 * header is decoded, its records are cut up, checked (structure, topic, queue, order, checksum of
 * the body) and looked at one by one; properties are not taken apart, as nobody asks for them. The
 * frames fill 32 MiB and are gone through in turn, so that they come from memory and not from a
 * cache.
 *
 * Prints one JSON object a line. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../proto/codes.h"
#include "../proto/command.h"
#include "../proto/record.h"

#define TOPIC "BenchRead"
#define FRAMES_BYTES ((size_t)32 * 1024 * 1024)
#define PROPERTIES                                                                                 \
    "UNIQ_"                                                                                        \
    "KEY\0017F000001B3C2251A69D70A2B3C4D0001\002WAIT\001true\002CLUSTER\001DefaultCluster\002"

static void die(const char *what)
{
    fprintf(stderr, "decode: %s\n", what);
    exit(EXIT_FAILURE);
}

static double cpu_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void append_records(rmq_buf *out, size_t n_records, size_t body_bytes)
{
    char *body = malloc(body_bytes);
    if (body == NULL)
        die("no memory");
    for (size_t i = 0; i < body_bytes; i++)
        body[i] = (char)('a' + i * 7 % 26);
    rmq_message message = {
        .topic = RMQ_SLICE_LITERAL(TOPIC),
        .born_timestamp_ms = 1760000000000,
        .store_timestamp_ms = 1760000000001,
        .born_host = {.address = {127, 0, 0, 1}, .address_bytes = 4, .port = 40000},
        .store_host = {.address = {127, 0, 0, 1}, .address_bytes = 4, .port = 10911},
        .body = {body, body_bytes},
        .properties = RMQ_SLICE_LITERAL(PROPERTIES),
    };
    for (size_t i = 0; i < n_records; i++) {
        message.queue_offset = (int64_t)i;
        message.physical_offset = (int64_t)(i * 300);
        rmq_record_encode(&message, out);
    }
    free(body);
}

static rmq_frame *make_frame(size_t n_records, size_t body_bytes)
{
    rmq_buf records;
    rmq_buf bytes;
    rmq_command command;
    rmq_frame *frame = NULL;
    rmq_buf_init(&records, SIZE_MAX / 2);
    rmq_buf_init(&bytes, SIZE_MAX / 2);
    append_records(&records, n_records, body_bytes);
    rmq_command_init(&command, RMQ_RESPONSE_SUCCESS);
    command.flag = RMQ_FLAG_RESPONSE;
    rmq_command_set(&command, "suggestWhichBrokerId", "0");
    rmq_command_set(&command, "nextBeginOffset", "1000000");
    rmq_command_set(&command, "minOffset", "0");
    rmq_command_set(&command, "maxOffset", "2000000");
    rmq_command_set_remark(&command, "FOUND");
    command.body = (rmq_slice){(const char *)records.data, records.len};
    if (rmq_command_encode(&command, RMQ_SERIALIZATION_JSON, &bytes, NULL) != RMQ_OK ||
        rmq_frame_from_bytes(bytes.data, bytes.len, &frame, NULL) != RMQ_OK)
        die("no memory for a frame");
    rmq_command_deinit(&command);
    rmq_buf_deinit(&records);
    rmq_buf_deinit(&bytes);
    return frame;
}

/* Decodes a frame as a reader does, and looks at every message. */
static size_t decode(rmq_frame *frame)
{
    const rmq_decode_options options = {.end_offset = INT64_MAX,
                                        .broker_name = RMQ_SLICE_LITERAL("broker-a"),
                                        .topic = RMQ_SLICE_LITERAL(TOPIC)};
    rmq_command command;
    rmq_batch *batch = NULL;
    rmq_error err;
    if (rmq_command_decode(frame, &command, &err) != RMQ_OK ||
        rmq_batch_decode(command.body, frame, &options, &batch, &err) != RMQ_OK)
        die(err.text);
    size_t n = rmq_batch_count(batch);
    for (size_t i = 0; i < n; i++) {
        const rmq_message *message = rmq_batch_at(batch, i);
        if (message->body_status != RMQ_OK || message->queue_offset != (int64_t)i)
            die("a record is not what it was");
    }
    rmq_batch_unref(batch);
    rmq_command_deinit(&command);
    return n;
}

static void measure(size_t n_records, size_t body_bytes, double seconds)
{
    rmq_frame *first = make_frame(n_records, body_bytes);
    size_t n_frames = FRAMES_BYTES / rmq_frame_bytes(first) + 1;
    rmq_frame **frames = calloc(n_frames, sizeof(rmq_frame *));
    if (frames == NULL)
        die("no memory");
    frames[0] = first;
    for (size_t i = 1; i < n_frames; i++)
        frames[i] = make_frame(n_records, body_bytes);
    for (size_t i = 0; i < n_frames; i++)
        (void)decode(frames[i]);
    uint64_t messages = 0;
    double begin = cpu_now();
    double used = 0;
    while (used < seconds) {
        for (size_t i = 0; i < n_frames; i++)
            messages += decode(frames[i]);
        used = cpu_now() - begin;
    }
    printf("{\"records\":%zu,\"body\":%zu,\"messages\":%" PRIu64 ",\"bytes\":%" PRIu64
           ",\"seconds\":%.6f,\"cpuSeconds\":%.6f}\n",
           n_records, body_bytes, messages, messages * body_bytes, used, used);
    fflush(stdout);
    for (size_t i = 0; i < n_frames; i++)
        rmq_frame_unref(frames[i]);
    free(frames);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 1;
    static const size_t shapes[][2] = {{32, 128}, {1024, 128}, {32, 16}, {32, 1024}, {32, 65536}};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        measure(shapes[i][0], shapes[i][1], seconds);
    return EXIT_SUCCESS;
}
