/* Tags are compared by hash only, as real brokers do: a subscription to "BB" also gets "Aa", and
 * the client must look again. Source: FilterAPI, ExpressionMessageFilter 5.4.0; protocol facts 8.5.
 */
#include "tag_filter.h"

#include <string.h>

#include "props.h"

static rmq_slice trim(rmq_slice text)
{
    while (text.len > 0 && (unsigned char)text.data[0] <= ' ') {
        text.data++;
        text.len--;
    }
    while (text.len > 0 && (unsigned char)text.data[text.len - 1] <= ' ')
        text.len--;
    return text;
}

/* Cuts the part before the next "||" off `rest`. */
static rmq_slice next_part(rmq_slice *rest)
{
    for (size_t i = 0; i + 1 < rest->len; i++) {
        if (rest->data[i] == '|' && rest->data[i + 1] == '|') {
            rmq_slice part = {rest->data, i};
            rest->data += i + 2;
            rest->len -= i + 2;
            return part;
        }
    }
    rmq_slice part = *rest;
    rest->len = 0;
    return part;
}

rmq_status rmq_dev_tag_filter_init(rmq_dev_tag_filter *filter, rmq_slice expression)
{
    memset(filter, 0, sizeof(*filter));
    if (expression.len == 0 || rmq_slice_equals(expression, "*")) {
        filter->all = true;
        return RMQ_OK;
    }
    size_t most = 1;
    for (size_t i = 0; i + 1 < expression.len; i++)
        most += expression.data[i] == '|' && expression.data[i + 1] == '|';
    if (most > RMQ_DEV_MAX_TAGS)
        return RMQ_INVAL;
    filter->hashes = rmq_calloc(most, sizeof(int32_t));
    if (filter->hashes == NULL)
        return RMQ_NOMEM;
    bool only_separators = true;
    rmq_slice rest = expression;
    while (rest.len > 0) {
        rmq_slice part = next_part(&rest);
        rmq_slice tag = trim(part);
        only_separators = only_separators && part.len == 0;
        if (tag.len > 0)
            filter->hashes[filter->n_hashes++] = rmq_tag_hash(tag);
    }
    if (only_separators) {
        rmq_dev_tag_filter_deinit(filter);
        return RMQ_INVAL;
    }
    return RMQ_OK;
}

void rmq_dev_tag_filter_deinit(rmq_dev_tag_filter *filter)
{
    rmq_free(filter->hashes);
    memset(filter, 0, sizeof(*filter));
}

bool rmq_dev_tag_filter_matches(const rmq_dev_tag_filter *filter, int32_t tag_hash)
{
    if (filter->all)
        return true;
    for (size_t i = 0; i < filter->n_hashes; i++) {
        if (filter->hashes[i] == tag_hash)
            return true;
    }
    return false;
}

bool rmq_dev_is_tag_type(rmq_slice expression_type)
{
    return expression_type.len == 0 || rmq_slice_equals(expression_type, "TAG");
}
