/* A caller built against an older header has shorter structs, one built against a newer header has
 * longer ones. Zero means "default" in every field, so a shorter struct is filled up with zeros,
 * and a longer one is accepted if what we do not know is zero. */
#include "versioned.h"

#include <string.h>

rmq_status mill_versioned_copy(const void *given, const char *name, void *out_known,
                               size_t known_bytes, rmq_error *err)
{
    size_t given_bytes;
    memcpy(&given_bytes, given, sizeof(given_bytes));
    if (given_bytes < sizeof(given_bytes))
        return rmq_error_set(err, RMQ_INVAL, "%s: struct_size is not set", name);
    for (size_t i = known_bytes; i < given_bytes; i++)
        if (((const char *)given)[i] != 0)
            return rmq_error_set(err, RMQ_INVAL,
                                 "%s: a field is set that version %s does not know (struct_size "
                                 "%zu, known %zu)",
                                 name, rmq_version(), given_bytes, known_bytes);
    memset(out_known, 0, known_bytes);
    memcpy(out_known, given, given_bytes < known_bytes ? given_bytes : known_bytes);
    memcpy(out_known, &known_bytes, sizeof(known_bytes));
    return RMQ_OK;
}
