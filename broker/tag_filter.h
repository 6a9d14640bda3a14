/* A subscription by tags, as a broker looks at it: by hash. */
#ifndef RMQ_DEV_TAG_FILTER_H
#define RMQ_DEV_TAG_FILTER_H

#include <rmq/base.h>

#define RMQ_DEV_MAX_TAGS 4096

typedef struct rmq_dev_tag_filter {
    bool all;
    int32_t *hashes;
    size_t n_hashes;
} rmq_dev_tag_filter;

/* Reads "*", "", or "A || B". Errors: INVAL (nothing but separators, or too many tags), NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_dev_tag_filter_init(rmq_dev_tag_filter *filter, rmq_slice expression);
void rmq_dev_tag_filter_deinit(rmq_dev_tag_filter *filter);
bool rmq_dev_tag_filter_matches(const rmq_dev_tag_filter *filter, int32_t tag_hash);
/* "TAG" and the empty type are tags; anything else is not supported here. */
bool rmq_dev_is_tag_type(rmq_slice expression_type);

#endif
