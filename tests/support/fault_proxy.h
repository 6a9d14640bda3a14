/* A proxy between a client and its name server and brokers that does to their traffic what networks
 * do: delay, jitter, throttling, cuts at any byte, half-open connections, flipped bits, lost and
 * repeated frames.
 *
 * It knows frames, so a fault hits the n-th answer to a request of some code, at a byte counted
 * from that frame's start. Routes name the brokers' own addresses: the proxy puts a listener of its
 * own before each broker that a route names, and names that instead.
 *
 * Everything random comes from the seed. A failed system call aborts the program with a message. */
#ifndef TEST_FAULT_PROXY_H
#define TEST_FAULT_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fault_proxy fault_proxy;

/* Listens on a free port of 127.0.0.1 before `server` ("host:port", usually a name server). */
fault_proxy *fault_proxy_start(const char *server, uint64_t seed);
void fault_proxy_stop(fault_proxy *proxy);
/* "127.0.0.1:port", to be used instead of `server`. */
const char *fault_proxy_address(const fault_proxy *proxy);

/* What holds for all traffic, in each direction, from now on. */
typedef struct fault_weather {
    int64_t delay_us;
    int64_t jitter_us;   /* up to so much more; frames of a connection stay in order */
    int64_t bytes_per_s; /* 0: no limit */
} fault_weather;
void fault_proxy_weather(fault_proxy *proxy, const fault_weather *weather);

typedef enum fault_kind {
    FAULT_CUT = 1,   /* `at` bytes of the frame pass, then both sides are closed */
    FAULT_RESET,     /* the same with RST */
    FAULT_HALF_OPEN, /* `at` bytes pass, then nothing, in either direction; nobody is told */
    FAULT_FLIP,      /* bit `at` (counted from the frame's start, modulo its size) is flipped */
    FAULT_DROP,
    FAULT_REPEAT,  /* the frame comes twice */
    FAULT_DELAY,   /* `delay_us` more */
    FAULT_THROTTLE /* `at` bytes pass; then the connection carries `bytes_per_s` that way */
} fault_kind;

typedef struct fault_spec {
    fault_kind kind;
    int32_t request_code; /* 0: any */
    bool of_request;      /* hits the request instead of its answer */
    int32_t skip;         /* frames that pass first */
    int32_t times;        /* frames to be hit then; 0: all */
    uint32_t percent;     /* of them, by the seed; 0: 100 */
    int64_t at;           /* -1: a seeded place within the frame */
    int64_t delay_us;
    int64_t bytes_per_s;
} fault_spec;

/* The first rule that hits a frame decides about it. Returns the rule's number. */
int fault_proxy_add(fault_proxy *proxy, const fault_spec *spec);
/* Parses "kind=cut,code=11,skip=2,times=1,at=20" (names as above); -1: it can't. */
int fault_proxy_add_text(fault_proxy *proxy, const char *text);
void fault_proxy_clear(fault_proxy *proxy);
/* How often a rule has hit. */
uint64_t fault_proxy_hits(fault_proxy *proxy, int rule);

/* Closes every connection; with `refuse`, new ones are closed at once until told otherwise. */
void fault_proxy_cut_all(fault_proxy *proxy, bool refuse);

/* Connections taken, and frames passed on, so far. */
uint64_t fault_proxy_connections(fault_proxy *proxy);
uint64_t fault_proxy_frames(fault_proxy *proxy);
/* Size of the last answer to a request of that code (0: none came), and a copy (malloc) if asked.
 */
size_t fault_proxy_last_answer(fault_proxy *proxy, int32_t request_code, uint8_t **out_data);

#endif
