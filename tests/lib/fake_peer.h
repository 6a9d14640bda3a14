/* A server played by the test itself, on blocking sockets, for what the development broker can't
 * play: peers that stall, lie, or answer out of turn. Every wait ends after some seconds and fails
 * the test. */
#ifndef TEST_FAKE_PEER_H
#define TEST_FAKE_PEER_H

#include "../support/support.h"

#include <pthread.h>

#include "../../lib/call.h"
#include "../../lib/client_state.h"

typedef struct fake_peer {
    int listener;
    char address[64]; /* "127.0.0.1:port" */
} fake_peer;

void fake_peer_open(fake_peer *peer);
/* On [::1]; false where there is no IPv6. */
bool fake_peer_open_v6(fake_peer *peer);
void fake_peer_close(fake_peer *peer);
int fake_accept(const fake_peer *peer);
/* True if nobody connects within `wait_ms`. */
bool fake_nobody_connects(const fake_peer *peer, int wait_ms);
/* The next request. `out_frame` owns what the command borrows; both are the caller's. */
void fake_read(int fd, rmq_frame **out_frame, rmq_command *out_command);
/* Reads one request and gives its opaque. */
int32_t fake_read_opaque(int fd);
/* Writes a response with a field "n" of value `number`. */
void fake_answer(int fd, int32_t opaque, int32_t code, int64_t number);
void fake_answer_body(int fd, int32_t opaque, int32_t code, const char *remark, rmq_slice body);
void fake_write_command(int fd, rmq_command *command);
void fake_write(int fd, const void *data, size_t len);
/* Waits until the other side has closed; fails if it sends anything. */
void fake_expect_closed(int fd);

/* What a call came to; made by a call from the test's thread, filled on the loop. */
typedef struct call_record {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    int n_done;
    rmq_status status;
    bool sent;
    bool refused; /* the last start failed; its completion is on its way */
    int32_t code;
    int64_t number; /* field "n" of the answer, -1 without */
    rmq_error error;
    rmq_client *client;
    rmq_call *call; /* the last one started by record_start; loop thread */
    const char *address;
    int32_t request_code;
    int64_t timeout_ms;
    int32_t patience;
    rmq_task task;
} call_record;

void record_init(call_record *record, rmq_client *client, const char *address);
void record_deinit(call_record *record);
/* Starts a request of code 105 (or record->request_code) on the loop; returns when it is started.
 */
void record_start(call_record *record, int64_t timeout_ms);
void record_cancel(call_record *record);
/* Waits until the completion ran `n` times in all. */
void record_wait(call_record *record, int n);
/* How often it has run by now. */
int record_count(call_record *record);

/* Log lines, counted. */
typedef struct log_record {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    int n_warnings;
    int n_lines;
    char last_warning[1024];
    char all[16384];
} log_record;

void log_record_init(log_record *record);
void log_record_fn(void *ctx, rmq_log_level level, const char *area, const char *line);
int log_warnings(log_record *record);
/* Waits until some line holds `text`. */
void log_wait_for(log_record *record, const char *text);

/* A client of this name server, with the config's other fields as given (NULL: short timeouts). */
rmq_client *client_make(const char *namesrv, const rmq_client_config *config);

#endif
