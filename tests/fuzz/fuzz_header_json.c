/* The JSON header: the input is its text.
 * Lines covered after replay of the corpus: header_json.c 98 %, json.c and json_scan.c see
 * fuzz_json.c (what is left is memory running out). */
#include "fuzz.h"
#include "header_round_trip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    header_round_trip(0, data, size);
    return 0;
}
