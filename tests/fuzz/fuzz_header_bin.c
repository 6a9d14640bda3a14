/* The binary header: the input is its bytes.
 * Lines covered after replay of the corpus: header_bin.c 94 % (what is left is memory running out).
 */
#include "fuzz.h"
#include "header_round_trip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    header_round_trip(1, data, size);
    return 0;
}
