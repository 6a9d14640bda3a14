/* Tags are compared by hash only, as real brokers do: a subscription to "BB" also gets "Aa", and
 * the client must look again. Source: FilterAPI, ExpressionMessageFilter 5.4.0; protocol facts 8.5.
 */
#include "tag_filter.h"

#include <string.h>

#include "props.h"

/* "||", "||||" and so on: Java's split gives no part at all for them. */
static bool is_only_separators(rmq_slice expression)
{
    size_t n_bars = 0;
    while (n_bars < expression.len && expression.data[n_bars] == '|')
        n_bars++;
    return n_bars == expression.len && n_bars % 2 == 0;
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
    if (most > RMQ_DEV_MAX_TAGS || is_only_separators(expression))
        return RMQ_INVAL;
    filter->hashes = rmq_calloc(most, sizeof(int32_t));
    if (filter->hashes == NULL)
        return RMQ_NOMEM;
    size_t position = 0;
    rmq_slice tag;
    while (rmq_tags_next(expression, &position, &tag))
        filter->hashes[filter->n_hashes++] = rmq_tag_hash(tag);
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
