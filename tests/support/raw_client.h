/* A client for tests that speaks frames over one blocking socket and does nothing by itself: it
 * connects, sends a command, reads a frame. Every failure fails the test. */
#ifndef TEST_RAW_CLIENT_H
#define TEST_RAW_CLIENT_H

#include <stdint.h>

#include <rmq/base.h>

#include "command.h"
#include "frame.h"

typedef struct raw_client {
    int fd;
    int serialization; /* of what is sent; RMQ_SERIALIZATION_JSON */
    int32_t next_opaque;
    int32_t version;
} raw_client;

/* What was read: the frame, and the command over it. */
typedef struct raw_frame {
    rmq_frame *frame;
    rmq_command command;
} raw_frame;

/* `address` is host:port. Reads time out after 10 s. */
raw_client raw_connect(const char *address);
void raw_close(raw_client *client);
/* Whether somebody listens there. */
bool raw_reachable(const char *address);

/* Sends a request and returns its opaque. `fields` is "name=value" pairs, NULL at the end, or NULL.
 */
int32_t raw_send(raw_client *client, int32_t code, const char *const *fields, rmq_slice body);
/* Sends as it stands (code, flag, fields, body); sets opaque and version unless the test did. */
void raw_send_command(raw_client *client, rmq_command *command);
void raw_send_bytes(raw_client *client, const void *data, size_t len);

/* The next frame, whatever it is. */
raw_frame raw_read(raw_client *client);
/* The answer with that opaque; frames before it are thrown away. */
raw_frame raw_read_answer(raw_client *client, int32_t opaque);
/* Sends and reads the answer. */
raw_frame raw_call(raw_client *client, int32_t code, const char *const *fields, rmq_slice body);
void raw_frame_free(raw_frame *frame);

/* Reads until the peer closes; returns how many bytes came. */
size_t raw_read_to_end(raw_client *client, uint8_t *out_data, size_t capacity);
/* Whether nothing comes within `wait_ms`. */
bool raw_silent(raw_client *client, int wait_ms);

/* A list of fields for raw_call: RAW("topic=T", "queueId=0"). */
#define RAW(...) ((const char *const[]){__VA_ARGS__, NULL})
#define RAW_NO_BODY ((rmq_slice){NULL, 0})

/* Field of an answer; the test fails if it isn't there. */
int64_t raw_int(const raw_frame *frame, const char *name);
/* Fails the test unless the answer has the code. */
void raw_expect(const raw_frame *frame, int32_t code);

#endif
