/* An offset message id, read and written again, is the same in upper case. */
#include <ctype.h>
#include <string.h>

#include "../../proto/msgid.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rmq_host host;
    int64_t offset;
    rmq_error err;
    char id[RMQ_OFFSET_MESSAGE_ID_BYTES];
    if (rmq_offset_id_parse((rmq_slice){(const char *)data, size}, &host, &offset, &err) != RMQ_OK)
        return 0;
    rmq_offset_id_format(&host, offset, id);
    FUZZ_CHECK(strlen(id) == size && offset >= 0);
    for (size_t i = 0; i < size; i++)
        FUZZ_CHECK(id[i] == toupper(data[i]));
    return 0;
}
