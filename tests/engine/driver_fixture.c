/* The fixture of the driver's tests.
 *
 * Check runs each test in a process of its own, so that globals are a test's own, too. */
#include "driver_fixture.h"

#include <string.h>

char *dir;
fake_topic topic;
fake_table *table, *second;

void driver_setup(void)
{
    dir = temp_dir_make();
    memset(&topic, 0, sizeof(topic));
    table = fake_table_new();
    second = fake_table_new();
}

void driver_teardown(void)
{
    fake_table_free(table);
    fake_table_free(second);
    temp_dir_remove(dir);
}

void driver_fill(int64_t each)
{
    for (int q = 0; q < FAKE_QUEUES; q++)
        topic.max[q] = each;
}
