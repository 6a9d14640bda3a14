/* The requests that a real broker and the development broker must answer alike. */
#ifndef TEST_SAME_ANSWERS_TABLE_H
#define TEST_SAME_ANSWERS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAME_MAX_FIELDS 20

/* What of the body is compared. */
enum same_body {
    SAME_EMPTY_OR_NOT, /* only whether there is one */
    SAME_NAMES,        /* the same, and of the fields only the names */
    SAME_JSON,         /* its text, numbers and the test's own names aside */
    SAME_RECORDS       /* number of records, bodies, names of properties */
};

/* One request. In fields and body "$T" stands for the topic, "$G" for the group. */
typedef struct same_request {
    const char *name;
    int32_t code;
    int32_t expected;  /* code of a 5.4.0 broker */
    int32_t expected4; /* of a 4.9.7 one, or SAME_AS_5 */
    const char *fields[SAME_MAX_FIELDS];
    const char *body;   /* or NULL */
    int32_t body_bytes; /* so many 'x' instead, if not 0 */
    enum same_body compared;
    bool namesrv; /* goes to the name server */
    bool repeat;  /* ask again until the expected code comes: it follows a send */
} same_request;

#define SAME_AS_5 (-1)
#define SAME_SKIP (-3)   /* not asked: it depends on more than the request */
#define SAME_SILENT (-2) /* no answer at all */

extern const same_request same_requests[];
extern const size_t n_same_requests;

#endif
