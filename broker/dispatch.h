/* From a frame to the function that answers it. */
#ifndef RMQ_DEV_DISPATCH_H
#define RMQ_DEV_DISPATCH_H

#include "session.h"

/* Handles one frame; closes the session if it is malformed. */
void rmq_dev_dispatch(rmq_dev_session *session, const rmq_frame *frame);

#endif
