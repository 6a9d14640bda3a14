/* The other side of the wire in a process of its own, so that the calls of a development broker are
 * not among those that fail, nor its memory among what is counted: the broker with one filled
 * topic, and a TLS front to it. */
#ifndef FAR_SIDE_H
#define FAR_SIDE_H

#include <rmq/client.h>

#include <sys/types.h>

typedef struct far_side {
    pid_t pid;
    int pipe_fd; /* its end of file stops the process */
    char namesrv[256];
    char broker[64];
    uint16_t tls_ports[2]; /* in front of name server and broker; 0: none */
    char topic[128];
    char broker_name[64];
    char ca_path[256];
    char cert_path[256]; /* of a client, and its key */
    char key_path[256];
} far_side;

/* Queues 0 to n_queues - 1 get the messages 0 to count - 1 of test_message_body, up to 100 bytes
 * long. `tls_dir`: a directory for certificates, NULL without TLS. */
void far_side_start(far_side *far, int32_t n_queues, int64_t count, const char *tls_dir);
void far_side_stop(far_side *far);
/* Lets all connects of this process to the broker go through TLS. */
void far_side_use_tls(const far_side *far);

#endif
