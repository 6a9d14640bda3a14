/* What a test of the batch driver starts with: an empty directory, a topic and two tables. */
#ifndef DRIVER_FIXTURE_H
#define DRIVER_FIXTURE_H

#include "stream_support.h"

extern char *dir;
extern fake_topic topic;
extern fake_table *table, *second;

/* The checked fixtures of a test case. */
void driver_setup(void);
void driver_teardown(void);
/* Lets each queue of the topic end at `each`. */
void driver_fill(int64_t each);

#endif
