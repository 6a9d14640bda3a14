/* The table of lies. */
#ifndef TEST_HOSTILE_CASES_H
#define TEST_HOSTILE_CASES_H

#include "hostile_server.h"

/* What the client does while it is lied to. */
typedef enum hostile_operation {
    DO_ROUTE = 0, /* rmq_client_queues */
    DO_MAX,       /* rmq_queue_max_offset */
    DO_LIST,      /* rmq_topic_list */
    DO_DESCRIBE,  /* rmq_topic_describe */
    DO_SEND,      /* rmq_producer_send */
    DO_READ,      /* a range [0, 6) */
    DO_FOLLOW,    /* an endless read from 0, for half a second */
    DO_IGNORE,    /* the same, without taking what comes */
    N_OPERATIONS
} hostile_operation;

/* What it may come to, as a set of these bits. */
#define MAY_OK (1u << 0)
#define MAY_PROTO (1u << 1)
#define MAY_TIMEOUT (1u << 2)
#define MAY_CLOSED (1u << 3) /* or IO */
#define MAY_FULL (1u << 4)
#define MAY_BROKER (1u << 5)
#define MAY_NOT_FOUND (1u << 6)
#define MAY_LOSS (1u << 7)
#define MAY_AGAIN (1u << 8)   /* nothing within the time; the reader goes on trying */
#define MAY_BAD_ROW (1u << 9) /* a message with a body_status that says so */
#define MAY_INVAL (1u << 10)
#define MAY_REFUSE (MAY_PROTO | MAY_TIMEOUT | MAY_CLOSED)

typedef struct hostile_case {
    const char *name;
    hostile_answer answer;
    hostile_operation operation;
    unsigned expected;
} hostile_case;

extern const hostile_case frame_cases[]; /* each is tried with three operations */
extern const int n_frame_cases;
extern const hostile_case body_cases[];
extern const int n_body_cases;
extern const hostile_case record_cases[];
extern const int n_record_cases;

#endif
