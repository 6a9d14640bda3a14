/* Requests and their answers: the seam between the link layer (conn, tls, brokers) and what the
 * client does with it (routes, offsets, readers, producers).
 *
 * A call is made on the loop thread: a command to an address, a deadline, and a completion that is
 * called exactly once, on the loop thread, never from inside rmq_call_start. */
#ifndef RMQ_CALL_H
#define RMQ_CALL_H

#include <rmq/client.h>

#include "../proto/command.h"
#include "loop.h"

/* An answer: the frame and its decoded header. */
typedef struct rmq_answer {
    rmq_frame *frame; /* whoever wants to keep it takes a reference */
    rmq_command command;
} rmq_answer;

/* status RMQ_OK: a response came (whatever its code): `answer` is valid during the call, and
 * command.code has to be looked at. Otherwise `answer` is NULL: TIMEOUT (fate unknown), CLOSED or
 * IO (`sent` false: it was never handed to the socket, so it did not happen), TLS, CANCELLED,
 * PROTO, NOMEM, FULL. */
typedef struct rmq_call_outcome {
    rmq_status status;
    rmq_answer *answer;
    bool sent;
    const rmq_error *err;
} rmq_call_outcome;

typedef void (*rmq_call_fn)(void *ctx, const rmq_call_outcome *outcome);

typedef struct rmq_call rmq_call;

/* Starts a call to `address` ("host:port"): connects if need be (waiting out the address's backoff
 * counts against the deadline), signs the request if the client has credentials, assigns its
 * opaque. `request` is encoded before the function returns and stays the caller's. *out_call (may
 * be NULL) can be cancelled until the completion ran. Failures come through `done` too: the
 * function itself never fails. Thread: loop. */
void rmq_call_start(rmq_client *client, const char *address, rmq_command *request,
                    int64_t timeout_ms, rmq_call_fn done, void *ctx);
/* As rmq_call_start, giving the call so that it can be cancelled: rmq_call_cancel drops it, and
 * `done` will not be called any more; a late answer is thrown away. Thread: loop. */
rmq_call *rmq_call_start_cancellable(rmq_client *client, const char *address, rmq_command *request,
                                     int64_t timeout_ms, rmq_call_fn done, void *ctx);
void rmq_call_cancel(rmq_call *call);
/* Puts the deadline off by its length, up to `n_times`, whenever it passes while bytes still come
 * on the call's connection: an answer may stand behind others that are large. Thread: loop, in the
 * turn in which the call was started. */
void rmq_call_be_patient(rmq_call *call, int32_t n_times);

/* Sends and forgets (flag oneway). Thread: loop. */
void rmq_call_oneway(rmq_client *client, const char *address, rmq_command *request);

/* Makes a call from another thread and waits. On RMQ_OK *out_answer is the caller's:
 * rmq_answer_free. A response code other than success is RMQ_OK here too; see rmq_answer_error.
 * Thread: any but the loop. */
RMQ_MUST_CHECK rmq_status rmq_call_sync(rmq_client *client, const char *address,
                                        rmq_command *request, int64_t timeout_ms,
                                        rmq_answer **out_answer, rmq_error *err);
void rmq_answer_free(rmq_answer *answer);
/* In a completion: makes the answer the caller's (rmq_answer_free). The decoded command moves over,
 * and what the completion was given is empty afterwards. Errors: NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_answer_keep(rmq_answer *answer, rmq_answer **out_kept,
                                          rmq_error *err);

/* Turns a response code other than 0 into a status with a text that names the request, the code by
 * name and number, the address and the remark: AUTH for 16 and 4.x's AclException, NOT_FOUND for
 * 17, 22, AGAIN-like codes (2, 215) BROKER with retriable set, and so on. */
rmq_status rmq_answer_error(const rmq_answer *answer, const char *request_name, const char *address,
                            rmq_error *err);

/* Route of a topic from the cache, asked of a name server if it is not there, older than
 * max_age_ms, or `max_age_ms` is 0. The completion gets a route that is valid during the call, or a
 * status: NOT_FOUND, ... Thread: loop. */
struct rmq_route;
typedef void (*rmq_route_fn)(void *ctx, rmq_status status, const struct rmq_route *route,
                             const rmq_error *err);
void rmq_route_lookup(rmq_client *client, const char *topic, int64_t max_age_ms, rmq_route_fn done,
                      void *ctx);
/* The cached route, or NULL. Thread: loop. Valid until the next turn of the loop. */
const struct rmq_route *rmq_route_cached(rmq_client *client, const char *topic);
/* Address of a broker (id 0 the master) as cached routes have it, or NULL. Thread: loop. */
const char *rmq_broker_address(rmq_client *client, const char *topic, const char *broker_name,
                               int64_t broker_id);
/* Version number that the peer announced in its last answer; 0 if none came yet. Thread: loop. */
int32_t rmq_peer_version(rmq_client *client, const char *address);

/* Users of the loop that must be told of rmq_client_cancel: fn is called on the loop, once. Thread:
 * loop. */
typedef struct rmq_cancel_hook {
    struct rmq_cancel_hook *next;
    struct rmq_cancel_hook **link;
    void (*cancelled)(struct rmq_cancel_hook *hook);
} rmq_cancel_hook;
void rmq_cancel_hook_add(rmq_client *client, rmq_cancel_hook *hook);
void rmq_cancel_hook_remove(rmq_cancel_hook *hook);
bool rmq_client_is_cancelled(const rmq_client *client); /* Thread: any */

rmq_loop *rmq_client_loop(rmq_client *client);
const rmq_client_config *rmq_client_settings(const rmq_client *client); /* defaults filled in */

/* Groups to be announced in heartbeats to brokers: producers register here (refcounted by name).
 * Thread: loop. */
RMQ_MUST_CHECK rmq_status rmq_client_add_producer_group(rmq_client *client, const char *group,
                                                        rmq_error *err);
void rmq_client_remove_producer_group(rmq_client *client, const char *group);

/* log.c. Level is tested before formatting. */
void rmq_client_log(rmq_client *client, rmq_log_level level, const char *area, const char *format,
                    ...) RMQ_PRINTF(4, 5);

#endif
