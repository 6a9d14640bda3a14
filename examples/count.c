/* Counts a topic's messages, batch by batch, each once: count NAMESRV TOPIC */
#include <mill/stream.h>
#include <stdio.h>

static rmq_status print_count(const mill_batch *batch, mill_dataset *rows, void *ctx,
                              rmq_error *err)
{
    rmq_status status = mill_count(rows, ctx, err);
    printf("batch %ld: %lu messages\n", mill_batch_id(batch), *(uint64_t *)ctx);
    return fflush(stdout) == 0 ? status : RMQ_IO;
}

int main(int argc, char **argv)
{
    rmq_error err = {0};
    uint64_t count = 0;
    mill_context *context = NULL;
    mill_streaming_context *stream = NULL;
    mill_streaming_config config = {sizeof(config), .name = "count", .checkpoint = "counted"};
    mill_direct_config from = {sizeof(from), .topics = argv[argc - 1], .client.namesrv = argv[1]};
    if (mill_context_new(NULL, &context, &err) ||
        mill_streaming_context_new(context, &config, &stream, &err) ||
        mill_foreach_batch(mill_direct_stream(stream, &from, &err), print_count, &count, &err) ||
        mill_streaming_start(stream, &err) || mill_streaming_await(stream, -1, &err))
        fprintf(stderr, "count: %s\n", err.text);
    mill_streaming_context_free(stream);
    mill_context_free(context);
    return err.status != RMQ_OK;
}
