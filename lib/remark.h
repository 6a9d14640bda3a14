/* What a response's remark says, where its code does not say enough. */
#ifndef RMQ_REMARK_H
#define RMQ_REMARK_H

#include "../proto/command.h"

/* The broker filters by tags only: enablePropertyFilter is off. Any code. */
#define RMQ_REMARK_NO_FILTER "does not support consumer to filter"
/* 4.9.x says code 1 where 5.x says INVALID_PARAMETER: "queueId[9] is illegal, topic:[T] ...". */
#define RMQ_REMARK_ILLEGAL_QUEUE "] is illegal"

bool rmq_remark_holds(const rmq_command *response, const char *words);

#endif
