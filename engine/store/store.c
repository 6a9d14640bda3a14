/* Opening a checkpoint store by its address.
 *
 * An address is "scheme:rest" or a plain path. A scheme is letters before the first colon, with no
 * slash before it, as in a URL; so a relative path with a colon in its first part has to be written
 * "./a:b". */
#include <mill/store.h>

#include "file.h"

#include <string.h>

/* Length of the scheme, 0 if the address has none. */
static size_t scheme_length(const char *address)
{
    size_t len =
        strspn(address, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-");
    return address[len] == ':' ? len : 0;
}

rmq_status mill_store_open(const char *address, bool create, mill_store *out_store, rmq_error *err)
{
    if (address == NULL || address[0] == '\0')
        return rmq_error_set(err, RMQ_INVAL, "checkpoint: its address is missing");
    size_t len = scheme_length(address);
    if (len == 0)
        return mill_file_store_open(address, create, out_store, err);
    if (len == 4 && strncmp(address, "file", 4) == 0)
        return mill_file_store_open(address + 5, create, out_store, err);
    return rmq_error_set(err, RMQ_UNSUPPORTED,
                         "checkpoint %s: there is no store %.*s:, only file: (a path that has a "
                         "colon is written file:PATH)",
                         address, (int)len, address);
}

void mill_store_close(mill_store *store)
{
    if (store == NULL || store->vtable == NULL)
        return;
    store->vtable->close(store->self);
    *store = (mill_store){0};
}
