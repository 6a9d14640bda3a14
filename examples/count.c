/* Counts a topic's messages, batch by batch: count TOPIC CHECKPOINT */
#include <mill/stream.h>
#include <stdio.h>
#include <stdlib.h>

static rmq_status print_count(const mill_batch *batch, mill_dataset *rows, void *ctx,
                              rmq_error *err)
{
    uint64_t count = 0;
    (void)ctx;
    rmq_status status = mill_count(rows, &count, err);
    printf("batch %lld: %llu messages\n", (long long)mill_batch_id(batch),
           (unsigned long long)count);
    return status;
}

int main(int argc, char **argv)
{
    rmq_error err = {.text = "usage: count TOPIC CHECKPOINT", .status = RMQ_INVAL};
    mill_context *context = NULL;
    mill_streaming_context *stream = NULL;
    mill_streaming_config config = {
        .struct_size = sizeof(config), .name = "count", .checkpoint = argc > 2 ? argv[2] : NULL};
    mill_direct_config direct = {.struct_size = sizeof(direct), .topics = argv[1]};
    direct.client = (rmq_client_config){.struct_size = sizeof(rmq_client_config),
                                        .namesrv = getenv("MILLRACE_NAMESRV")};
    bool ok = argc > 2 && mill_context_new(NULL, &context, &err) == RMQ_OK &&
              mill_streaming_context_new(context, &config, &stream, &err) == RMQ_OK &&
              mill_foreach_batch(mill_direct_stream(stream, &direct, &err), print_count, NULL,
                                 &err) == RMQ_OK &&
              mill_streaming_start(stream, &err) == RMQ_OK &&
              mill_streaming_await(stream, -1, &err) == RMQ_OK;
    if (!ok)
        fprintf(stderr, "count: %s\n", err.text);
    mill_streaming_context_free(stream);
    mill_context_free(context);
    return ok ? 0 : 1;
}
