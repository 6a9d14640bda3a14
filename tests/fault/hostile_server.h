/* A name server and broker in one that lies: a process of its own, so that what it needs to lie is
 * not counted as the client's memory. It answers honestly (topic "T", broker "b", queue 0, messages
 * 0 to 5), but for the requests of one code, which one function answers as it likes. */
#ifndef TEST_HOSTILE_SERVER_H
#define TEST_HOSTILE_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <rmq/base.h>

#include "../../proto/buf.h"
#include "../../proto/codes.h"
#include "../../proto/command.h"

#define HOSTILE_MESSAGES 6
#define HOSTILE_TOPIC "T"

/* What the test sees of it, in shared memory. */
typedef struct hostile_board {
    volatile int lying;           /* set by the test: 0 makes it honest */
    volatile uint64_t n_lies;     /* answers that were lies */
    volatile uint64_t n_requests; /* of any code */
} hostile_board;

/* One connection, on the server's side. */
typedef struct hostile_link {
    int fd;
    const char *address; /* the server's own */
    hostile_board *board;
    bool closed;
} hostile_link;

typedef struct hostile_request {
    int32_t code;
    int32_t opaque;
    int64_t offset; /* of a pull */
    int64_t wanted; /* its maxMsgNums */
} hostile_request;

typedef void (*hostile_answer)(hostile_link *link, const hostile_request *request);

typedef struct hostile_server {
    pid_t pid;
    char address[64];
    hostile_board *board;
} hostile_server;

/* The client's max_frame_bytes: lies that are lists are almost as long. Set before hostile_start.
 */
extern size_t hostile_cap;

/* Starts it; `lie` answers requests of `code` (0: of all) while the board says so. */
void hostile_start(hostile_server *server, int32_t code, hostile_answer lie);
void hostile_stop(hostile_server *server);

/* ---- for those who lie ---- */

/* False when the client has gone: then there is nothing left to do. */
bool hostile_write(hostile_link *link, const void *data, size_t len);
/* Writes `chunk` over and over, `total` bytes in all (0: for ever). */
bool hostile_write_many(hostile_link *link, const char *chunk, size_t total);
/* Waits until the client closes, reading nothing. */
void hostile_wait(hostile_link *link);
void hostile_close(hostile_link *link, bool with_reset);

/* A well-formed answer. `fields` is "name=value" pairs with a NULL at the end, or NULL. */
void hostile_encode(rmq_buf *out, int32_t code, int32_t opaque, const char *const *fields,
                    rmq_slice body);
void hostile_send(hostile_link *link, const hostile_request *request, int32_t code,
                  const char *const *fields, rmq_slice body);
#define HOSTILE_FIELDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define HOSTILE_NO_BODY ((rmq_slice){NULL, 0})

/* The honest answer, as bytes. */
void hostile_honest(hostile_link *link, const hostile_request *request, rmq_buf *out);

/* Appends the record of message `offset`, as a broker stores it; its place in `out` is where it
 * begins. */
void hostile_record(rmq_buf *out, int64_t offset);
/* An answer to a pull with these records. */
void hostile_send_records(hostile_link *link, const hostile_request *request, const rmq_buf *body,
                          int64_t next);

#endif
