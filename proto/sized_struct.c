/* Option structs grow at their end, and each begins with its own size: so a program that was
 * compiled against an older header gives a shorter one (the rest means "default"), and one against
 * a newer header a longer one, which can be understood only if what it has more is not used. */
#include "sized_struct.h"

#include <string.h>

rmq_status rmq_sized_struct_copy(const char *what, const void *given, void *out, size_t out_size,
                                 rmq_error *err)
{
    size_t size;
    memcpy(&size, given, sizeof(size));
    if (size < sizeof(size))
        return rmq_error_set(err, RMQ_INVAL, "%s: struct_size is %zu (use the INIT macro)", what,
                             size);
    const unsigned char *bytes = given;
    for (size_t i = out_size; i < size; i++) {
        if (bytes[i] != 0)
            return rmq_error_set(err, RMQ_INVAL,
                                 "%s: this library knows %zu bytes of the struct, but byte %zu is "
                                 "set",
                                 what, out_size, i);
    }
    memset(out, 0, out_size);
    memcpy(out, given, size < out_size ? size : out_size);
    memcpy(out, &out_size, sizeof(out_size));
    return RMQ_OK;
}
