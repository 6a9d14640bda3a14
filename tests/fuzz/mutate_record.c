/* Where a stored record keeps its parts. The picture is in proto/record.c.
 *
 * The five parts: what stands between the CRC and the host fields, the hosts and times, and the
 * three contents, whose lengths stand before them. If sysFlag says that the body is an inner batch,
 * it is mutated member by member. Mended are the total size, the body's CRC, and a magic that is
 * none; the total size is not believed while the parts are looked for. */
#include "../../proto/record.h"

#include "mutate.h"

#define HEAD_BYTES 40
#define SYS_FLAG_AT 36
#define BODY 2

static bool split(const uint8_t *bytes, size_t left, mutate_unit *out_unit)
{
    if (left < HEAD_BYTES)
        return false;
    uint32_t sys_flag = mutate_load(bytes + SYS_FLAG_AT, 4);
    size_t body_length_at = HEAD_BYTES + 44;
    if ((sys_flag & RMQ_SYSFLAG_BORNHOST_V6) != 0)
        body_length_at += 12;
    if ((sys_flag & RMQ_SYSFLAG_STOREHOST_V6) != 0)
        body_length_at += 12;
    if (left < body_length_at + 4)
        return false;
    bool inner = (sys_flag & RMQ_SYSFLAG_INNER_BATCH) != 0;
    size_t topic_length_bytes = mutate_load(bytes + 4, 4) == RMQ_RECORD_MAGIC_V2 ? 2 : 1;
    *out_unit = (mutate_unit){
        .n_parts = 5,
        .parts = {{.at = 12, .len = HEAD_BYTES - 12},
                  {.at = HEAD_BYTES, .len = body_length_at - HEAD_BYTES},
                  {.length_at = body_length_at,
                   .length_bytes = 4,
                   .grows = true,
                   .inner = inner ? &mutate_batch_members : NULL},
                  {.length_bytes = topic_length_bytes, .grows = true},
                  {.length_bytes = 2, .grows = true}},
    };
    size_t at = body_length_at;
    for (size_t i = BODY; i < out_unit->n_parts; i++) {
        mutate_part *part = &out_unit->parts[i];
        if (left - at < part->length_bytes)
            return false;
        part->length_at = at;
        part->at = at + part->length_bytes;
        part->len = mutate_load(bytes + at, part->length_bytes);
        if (part->len > left - part->at)
            return false;
        at = part->at + part->len;
    }
    out_unit->len = at;
    return true;
}

static void seal(uint8_t *bytes, const mutate_unit *unit)
{
    const mutate_part *body = &unit->parts[BODY];
    mutate_store(bytes, 4, (uint32_t)unit->len);
    if (mutate_load(bytes + 4, 4) != RMQ_RECORD_MAGIC_V2)
        mutate_store(bytes + 4, 4, RMQ_RECORD_MAGIC_V1);
    mutate_store(bytes + 8, 4, rmq_body_crc((rmq_slice){(char *)bytes + body->at, body->len}));
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    static const mutate_format records = {.steering_bytes = 1, .split = split, .seal = seal};
    return mutate(&records, data, size, max_size, seed);
}
