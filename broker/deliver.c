/* Delivering answers, faithfully or not.
 *
 * Without a fault the head and the runs go to the write queue as they are. With one the frame is
 * first put together in one piece of memory, since it will be cut, flipped, doubled or kept.
 *
 * A reordered answer waits in its session until the next answer there was queued, and follows it.
 * If that next one is to be reordered, too, it goes first all the same: pairs are swapped, and an
 * answer waits for one other at most. */
#include "deliver.h"

#include <string.h>

#include "broker_state.h"

typedef struct rmq_dev_delayed {
    struct rmq_dev_delayed *next;
    rmq_dev_session *session;
    struct event *timer;
    uint8_t *data;
    size_t len;
} rmq_dev_delayed;

static void delayed_free(rmq_dev_delayed *delayed)
{
    if (delayed->timer != NULL)
        event_free(delayed->timer);
    rmq_free(delayed->data);
    rmq_free(delayed);
}

void rmq_dev_delayed_drop(rmq_dev_session *session)
{
    while (session->delayed != NULL) {
        rmq_dev_delayed *next = session->delayed->next;
        delayed_free(session->delayed);
        session->delayed = next;
    }
    if (session->reordered != NULL)
        delayed_free(session->reordered);
    session->reordered = NULL;
    session->delayed_bytes = 0;
}

/* Queues a frame, and behind it the one that waited for it. */
static void send_frame(rmq_dev_session *session, uint8_t *take_data, size_t len)
{
    rmq_dev_session_write(session, take_data, len);
    rmq_dev_delayed *waited = session->reordered;
    if (waited == NULL)
        return;
    session->reordered = NULL;
    session->delayed_bytes -= waited->len;
    rmq_dev_session_write(session, waited->data, waited->len);
    waited->data = NULL;
    delayed_free(waited);
}

static void on_delay_over(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    rmq_dev_delayed *delayed = ctx;
    rmq_dev_session *session = delayed->session;
    rmq_dev_delayed **at = &session->delayed;
    while (*at != delayed)
        at = &(*at)->next;
    *at = delayed->next;
    session->delayed_bytes -= delayed->len;
    send_frame(session, delayed->data, delayed->len);
    delayed->data = NULL;
    delayed_free(delayed);
    rmq_dev_settle(session->broker);
}

/* Keeps a frame; NULL (and the session closed) if there is no memory for that. */
static rmq_dev_delayed *keep(rmq_dev_session *session, uint8_t *take_data, size_t len)
{
    rmq_dev_delayed *delayed = rmq_calloc(1, sizeof(*delayed));
    if (delayed == NULL) {
        rmq_free(take_data);
        rmq_dev_session_close(session, "no memory to delay an answer");
        return NULL;
    }
    delayed->session = session;
    delayed->data = take_data;
    delayed->len = len;
    session->delayed_bytes += len;
    return delayed;
}

static void delay(rmq_dev_session *session, int64_t delay_ms, uint8_t *take_data, size_t len)
{
    rmq_dev_delayed *delayed = keep(session, take_data, len);
    if (delayed == NULL)
        return;
    delayed->next = session->delayed;
    session->delayed = delayed;
    struct timeval after = {delay_ms / 1000, (delay_ms % 1000) * 1000};
    delayed->timer = evtimer_new(session->broker->base, on_delay_over, delayed);
    if (delayed->timer == NULL || event_add(delayed->timer, &after) != 0)
        rmq_dev_session_close(session, "no memory to delay an answer");
}

static void reorder(rmq_dev_session *session, uint8_t *take_data, size_t len)
{
    if (session->reordered != NULL)
        send_frame(session, take_data, len);
    else
        session->reordered = keep(session, take_data, len);
}

static void repeat(rmq_dev_session *session, uint8_t *take_data, size_t len)
{
    uint8_t *copy = rmq_malloc(len);
    if (copy == NULL) {
        rmq_free(take_data);
        rmq_dev_session_close(session, "no memory to repeat an answer");
        return;
    }
    memcpy(copy, take_data, len);
    send_frame(session, take_data, len);
    send_frame(session, copy, len);
}

static void corrupt(uint8_t *data, size_t len, int64_t bit)
{
    /* Below 0: a random number, whose place within the frame is only known here. */
    uint64_t place = bit < 0 ? (uint64_t)(-1 - bit) % (len * 8) : (uint64_t)bit;
    if (place < len * 8)
        data[place / 8] ^= (uint8_t)(0x80u >> (place % 8));
}

static void send_broken(rmq_dev_session *session, const rmq_dev_effect *effect, uint8_t *take_data,
                        size_t len)
{
    switch (effect->action) {
    case RMQ_FAULT_DELAY:
        delay(session, effect->delay_ms, take_data, len);
        break;
    case RMQ_FAULT_CUT:
        if ((uint64_t)effect->cut_bytes < len)
            len = (size_t)effect->cut_bytes;
        rmq_dev_session_write(session, take_data, len);
        rmq_dev_session_finish(session);
        break;
    case RMQ_FAULT_REPEAT:
        repeat(session, take_data, len);
        break;
    case RMQ_FAULT_REORDER:
        reorder(session, take_data, len);
        break;
    case RMQ_FAULT_CORRUPT:
        corrupt(take_data, len, effect->corrupt_bit);
        send_frame(session, take_data, len);
        break;
    default:
        send_frame(session, take_data, len);
        break;
    }
}

static uint8_t *put_together(const rmq_dev_outgoing *outgoing, size_t *out_len)
{
    size_t len = outgoing->head_len;
    for (size_t i = 0; i < outgoing->n_runs; i++)
        len += outgoing->runs[i].len;
    uint8_t *data = rmq_malloc(len);
    if (data == NULL)
        return NULL;
    memcpy(data, outgoing->take_head, outgoing->head_len);
    size_t at = outgoing->head_len;
    for (size_t i = 0; i < outgoing->n_runs; i++) {
        memcpy(data + at, outgoing->runs[i].data, outgoing->runs[i].len);
        at += outgoing->runs[i].len;
    }
    *out_len = len;
    return data;
}

void rmq_dev_deliver(rmq_dev_session *session, const rmq_dev_effect *effect,
                     const rmq_dev_outgoing *outgoing)
{
    bool plain = effect->action == 0 && session->reordered == NULL;
    if (session->closed || effect->action == RMQ_FAULT_DROP) {
        rmq_free(outgoing->take_head);
        return;
    }
    if (plain) {
        rmq_dev_session_write(session, outgoing->take_head, outgoing->head_len);
        for (size_t i = 0; i < outgoing->n_runs; i++)
            rmq_dev_session_write_chunk(session, outgoing->runs[i].chunk, outgoing->runs[i].data,
                                        outgoing->runs[i].len);
        return;
    }
    size_t len = 0;
    uint8_t *data = put_together(outgoing, &len);
    rmq_free(outgoing->take_head);
    if (data == NULL)
        rmq_dev_session_close(session, "no memory for an answer");
    else
        send_broken(session, effect, data, len);
}
