/* Bytes being written and read: what is behind mill_put_* and mill_get_*. */
#ifndef MILL_BYTES_H
#define MILL_BYTES_H

#include <mill/dataset.h>

/* All zero is an empty output. A failure is kept in `status`; further writes are no-ops. */
struct mill_output {
    char *data;
    size_t len;
    size_t capacity;
    rmq_status status; /* RMQ_OK, NOMEM, or FULL (a slice above 4 GiB) */
};

/* Reads `data`; the first read past the end sets `bad`, and all later ones give nothing. */
struct mill_input {
    const char *data;
    size_t left;
    bool bad;
};

/* Room for `size_bytes` more; NULL (and `status` set) if there is none. The caller fills it. */
char *mill_output_extend(mill_output *out, size_t size_bytes);
void mill_put_raw(mill_output *out, const void *bytes, size_t size_bytes);
/* Borrowed from the input; NULL past the end. */
const char *mill_get_raw(mill_input *in, size_t size_bytes);
void mill_output_deinit(mill_output *out);

uint32_t mill_load_u32(const char *bytes);
void mill_store_u32(char *bytes, uint32_t value);

#endif
