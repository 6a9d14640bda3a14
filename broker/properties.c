/* Other than a client, a broker takes over what it was sent without asking whether it is sensible:
 * nothing here fails but for memory and the buffer's cap, which the buffer remembers. What counts
 * as a property is proto's business (props.h). */
#include "properties.h"

#include "json_escape.h"
#include "json_scan.h"
#include "props.h"

static void append(rmq_buf *block, rmq_slice name, rmq_slice value)
{
    rmq_buf_append_slice(block, name);
    rmq_buf_append_u8(block, 1);
    rmq_buf_append_slice(block, value);
    rmq_buf_append_u8(block, 2);
}

void rmq_dev_property_append(rmq_buf *block, const char *name, rmq_slice value)
{
    append(block, rmq_slice_of(name), value);
}

void rmq_dev_property_append_int(rmq_buf *block, const char *name, int64_t value)
{
    char digits[RMQ_INT64_TEXT_BYTES];
    append(block, rmq_slice_of(name), rmq_format_int64(value, digits));
}

static bool is_listed(rmq_slice name, const char *const *list)
{
    while (*list != NULL && !rmq_slice_equals(name, *list))
        list++;
    return *list != NULL;
}

void rmq_dev_properties_copy(rmq_slice block, const char *const *dropped, rmq_buf *out)
{
    size_t position = 0;
    rmq_slice name;
    rmq_slice value;
    while (rmq_props_next(block, &position, &name, &value)) {
        if (!is_listed(name, dropped))
            append(out, name, value);
    }
}

bool rmq_dev_property_int(rmq_slice block, const char *name, int64_t *out_value)
{
    rmq_slice text;
    return rmq_props_get(block, name, &text) && rmq_parse_int64(text, out_value);
}
