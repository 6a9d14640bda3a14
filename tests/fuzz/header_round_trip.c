/* Decode, encode, decode, equal. */
#include "header_round_trip.h"

#include <stdbool.h>
#include <string.h>

#include "../../proto/command.h"
#include "fuzz.h"

static bool same_slice(rmq_slice left, rmq_slice right)
{
    return left.len == right.len && (left.len == 0 || memcmp(left.data, right.data, left.len) == 0);
}

/* The binary header has no empty remark and no empty value. */
static void check_same(const rmq_command *left, const rmq_command *right, bool drops_empty)
{
    FUZZ_CHECK(left->code == right->code);
    FUZZ_CHECK(left->version == right->version);
    FUZZ_CHECK(left->opaque == right->opaque);
    FUZZ_CHECK(left->flag == right->flag);
    FUZZ_CHECK(same_slice(left->remark, right->remark));
    FUZZ_CHECK(left->has_remark == right->has_remark || (drops_empty && left->remark.len == 0));
    size_t r = 0;
    for (size_t l = 0; l < left->n_fields; l++) {
        if (drops_empty && left->fields[l].value.len == 0)
            continue;
        FUZZ_CHECK(r < right->n_fields);
        FUZZ_CHECK(same_slice(left->fields[l].key, right->fields[r].key));
        FUZZ_CHECK(same_slice(left->fields[l].value, right->fields[r].value));
        r++;
    }
    FUZZ_CHECK(r == right->n_fields);
}

static bool fits_binary(const rmq_command *command)
{
    for (size_t i = 0; i < command->n_fields; i++) {
        if (command->fields[i].key.len > INT16_MAX)
            return false;
    }
    return command->code == (int16_t)command->code && command->version == (int16_t)command->version;
}

static void check_encoding(const rmq_command *command, int serialization)
{
    rmq_buf out;
    rmq_error err;
    rmq_buf_init(&out, (size_t)1 << 26);
    rmq_status status = rmq_command_encode(command, serialization, &out, &err);
    if (serialization == RMQ_SERIALIZATION_BINARY && !fits_binary(command)) {
        FUZZ_CHECK(status == RMQ_PROTO && out.len == 0);
        rmq_buf_deinit(&out);
        return;
    }
    FUZZ_CHECK(status == RMQ_OK);
    rmq_frame *frame;
    rmq_command again;
    FUZZ_CHECK(rmq_frame_from_bytes(out.data, out.len, &frame, &err) == RMQ_OK);
    FUZZ_CHECK(rmq_command_decode(frame, &again, &err) == RMQ_OK);
    check_same(command, &again, serialization == RMQ_SERIALIZATION_BINARY);
    /* Numbers from 14 on have no name, and JSON has only names. */
    FUZZ_CHECK(command->language == again.language ||
               (serialization == RMQ_SERIALIZATION_JSON && command->language > 13 &&
                again.language == RMQ_LANGUAGE_OTHER));
    rmq_command_deinit(&again);
    rmq_frame_unref(frame);
    rmq_buf_deinit(&out);
}

static void check_getters(const rmq_command *command)
{
    static const char *const keys[] = {"topic", "queueOffset", "a", ""};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        rmq_slice text;
        int64_t number;
        int32_t small;
        bool truth;
        bool present = rmq_command_get(command, keys[i], &text);
        bool is_number = rmq_command_get_int64(command, keys[i], &number);
        bool is_small = rmq_command_get_int32(command, keys[i], &small);
        bool is_truth = rmq_command_get_bool(command, keys[i], &truth);
        FUZZ_CHECK(present || !(is_number || is_truth));
        FUZZ_CHECK(!is_small || (is_number && number == small));
        FUZZ_CHECK(!is_truth || text.len == (truth ? 4 : 5));
    }
}

void header_round_trip(int serialization, const uint8_t *header, size_t size)
{
    rmq_frame frame = {.serialization = (uint8_t)serialization,
                       .header = {(const char *)header, size}};
    rmq_command command;
    rmq_error err;
    rmq_status status = rmq_command_decode(&frame, &command, &err);
    FUZZ_CHECK(status == RMQ_OK || status == RMQ_PROTO);
    if (status != RMQ_OK)
        return;
    check_getters(&command);
    check_encoding(&command, RMQ_SERIALIZATION_JSON);
    check_encoding(&command, RMQ_SERIALIZATION_BINARY);
    rmq_command_deinit(&command);
}
