/* What a 4.9 broker says differently from a 5.4.0 one. */
#ifndef RMQ_DEV_OLD_ANSWERS_H
#define RMQ_DEV_OLD_ANSWERS_H

#include "command.h"

/* Changes a finished answer into a 4.9 broker's. */
void rmq_dev_answer_make_old(rmq_command *answer);
/* Takes what 4.9 doesn't have out of a route body. */
void rmq_dev_route_make_old(rmq_buf *body);

#endif
