/* The JSON header: the input is its text. */
#include "fuzz.h"
#include "header_round_trip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    header_round_trip(0, data, size);
    return 0;
}
