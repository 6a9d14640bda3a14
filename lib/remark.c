/* Brokers answer many different things with code 1, and the same thing with different codes in
 * different versions. Where a client has to act on the difference, the words of the remark are all
 * there is; the few that are looked for stand together in remark.h. Source: PullMessageProcessor,
 * AbstractSendMessageProcessor, ClientManageProcessor 4.9.7 and 5.4.0. */
#include "remark.h"

#include <string.h>

bool rmq_remark_holds(const rmq_command *response, const char *words)
{
    return response->has_remark && response->remark.len > 0 &&
           memmem(response->remark.data, response->remark.len, words, strlen(words)) != NULL;
}
