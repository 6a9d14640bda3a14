/* Shared by the two header targets: what a decoded header must survive. */
#ifndef TEST_HEADER_ROUND_TRIP_H
#define TEST_HEADER_ROUND_TRIP_H

#include <stddef.h>
#include <stdint.h>

/* Decodes `header`. If it is one, encodes it in both serializations, decodes those, and checks that
 * every value is the same. */
void header_round_trip(int serialization, const uint8_t *header, size_t size);

#endif
