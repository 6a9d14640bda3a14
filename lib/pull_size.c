/* The learnt batch size.
 *
 * A broker hands out at most so many messages and so many bytes a pull, whatever it is asked for,
 * and does not say how many: 32 and 256 KiB unless configured otherwise, 8 and 64 KiB for data far
 * behind (protocol facts 8.3). The reader plans each pull to bring exactly `ask` messages, and asks
 * for just that many, so that an answer never runs into the range of the pull behind it. An answer
 * that is shorter than planned makes the plan smaller, gently: what is missing is asked for again
 * and nothing that was read ahead is lost, so one large message is no reason to plan for many.
 *
 * To find out that the broker would give more, a pull asks for more than it is planned to bring:
 * the first one at once for all that the caller wishes, later ones for twice the plan, after
 * `patience` full answers. If more comes, the pulls behind it overlap with what it brought, and
 * that little is wasted; so patience doubles each time that a probe was in vain. */
#include "pull_size.h"

#define FIRST_PATIENCE 32
#define MAX_PATIENCE 2048
/* Assumed before the first answer: the average that fills both of the broker's usual limits. */
#define UNKNOWN_MESSAGE_BYTES 8192

static int32_t at_most(int64_t value, int32_t limit)
{
    return value < limit ? (int32_t)value : limit;
}

void rmq_pull_size_init(rmq_pull_size *size, int32_t usual, int32_t max)
{
    *size = (rmq_pull_size){
        .ask = usual < max ? usual : max,
        .max = max,
    };
}

int32_t rmq_pull_size_ask(rmq_pull_size *size, int64_t planned)
{
    if (size->probing || size->ask >= size->max || planned < size->ask ||
        size->full < size->patience)
        return at_most(planned, size->max);
    size->probing = true;
    return size->patience == 0 ? size->max : at_most((int64_t)size->ask * 2, size->max);
}

static void wait_longer(rmq_pull_size *size)
{
    size->full = 0;
    if (size->patience == 0)
        size->patience = FIRST_PATIENCE;
    else if (size->patience < MAX_PATIENCE)
        size->patience *= 2;
}

void rmq_pull_size_learn(rmq_pull_size *size, int64_t planned, int32_t asked, int64_t got,
                         size_t bytes)
{
    if (got <= 0)
        return;
    int64_t average = (int64_t)bytes / got;
    if (size->bytes_per_message == 0)
        size->bytes_per_message = average > 0 ? average : 1;
    else
        size->bytes_per_message += (average - size->bytes_per_message) / 8;

    bool probed = planned > 0 && asked > planned;
    if (probed)
        size->probing = false;
    if (got > size->ask && (probed || planned == 0)) {
        size->ask = at_most(got, size->max);
        size->patience = FIRST_PATIENCE;
        size->full = 0;
    } else if (planned == 0) {
        return;
    } else if (got < planned) {
        int32_t gentle = size->ask - (size->ask >= 4 ? size->ask / 4 : 1);
        if (got < size->ask)
            size->ask = got > gentle ? (int32_t)got : gentle;
        if (size->ask < 1)
            size->ask = 1;
        if (probed)
            wait_longer(size);
        size->full = 0;
    } else if (probed) {
        wait_longer(size);
    } else if (size->full < MAX_PATIENCE) {
        size->full++;
    }
}

void rmq_pull_size_lost(rmq_pull_size *size, int64_t planned, int32_t asked)
{
    if (planned > 0 && asked > planned)
        size->probing = false;
}

size_t rmq_pull_size_bytes(const rmq_pull_size *size, int64_t n_messages)
{
    int64_t each = size->bytes_per_message > 0 ? size->bytes_per_message : UNKNOWN_MESSAGE_BYTES;
    return (size_t)(each * n_messages);
}
