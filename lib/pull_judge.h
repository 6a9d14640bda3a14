/* What a pull's answer means. Pure: bytes decoded in, verdict out. */
#ifndef RMQ_PULL_JUDGE_H
#define RMQ_PULL_JUDGE_H

#include "call.h"

typedef enum rmq_pull_meaning {
    RMQ_PULL_RECORDS = 0, /* the body holds records; go on at next_offset */
    RMQ_PULL_MOVED,       /* nothing for us below next_offset */
    RMQ_PULL_NOTHING,     /* nothing new at this offset */
    RMQ_PULL_GONE,        /* the offset lies below what the broker has, or was reset */
    RMQ_PULL_BEYOND,      /* the offset lies beyond what the broker has */
    RMQ_PULL_TROUBLE,     /* passes: retry for ever */
    RMQ_PULL_DOUBTFUL,    /* a contradiction or a refusal: an error if it stays; see status */
    RMQ_PULL_REFUSED      /* an error at once; see status */
} rmq_pull_meaning;

typedef struct rmq_pull_verdict {
    rmq_pull_meaning meaning;
    rmq_status status;   /* of TROUBLE, DOUBTFUL and REFUSED; the error's text says why */
    int64_t next_offset; /* -1 where the answer has none, as the other two offsets */
    int64_t min_offset;
    int64_t max_offset;
    int64_t suggested_broker_id; /* where to send the next pull */
    int64_t offset_delta;        /* static topics: to be added to each record's offset */
    bool reset;                  /* GONE because an administrator reset the group */
    bool ask_route;              /* the route may have changed */
} rmq_pull_verdict;

/* Judges `answer` to a pull that asked `address` for `asked_from`. */
void rmq_pull_judge(const rmq_answer *answer, int64_t asked_from, const char *address,
                    rmq_pull_verdict *out_verdict, rmq_error *err);

#endif
