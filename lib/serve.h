/* Requests that servers send to us. Loop thread. */
#ifndef RMQ_SERVE_H
#define RMQ_SERVE_H

#include "brokers.h"

void rmq_serve_request(rmq_peer *peer, const rmq_command *request);

#endif
