/* The checksum of a stored body: CRC-32 with zlib's polynomial, the sign bit cleared, since the
 * broker keeps it in a Java int and never wants it negative. libdeflate does 128 bytes in 18 ns
 * where zlib 1.2 takes 140, and a reader checks every body; so it is used where it is built in.
 * Source: UtilAll.crc32 5.4.0; protocol facts 5.1; golden pull_body_zlib_and_batch. */
#include "record.h"

#ifdef RMQ_HAVE_LIBDEFLATE
#include <libdeflate.h>
#else
#include <zlib.h>
#endif

uint32_t rmq_body_crc(rmq_slice body)
{
    if (body.len == 0)
        return 0;
#ifdef RMQ_HAVE_LIBDEFLATE
    uint32_t crc = libdeflate_crc32(0, body.data, body.len);
#else
    uint32_t crc = (uint32_t)crc32_z(0, (const Bytef *)body.data, body.len);
#endif
    return crc & 0x7fffffffu;
}
