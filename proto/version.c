/* The version, from the build. */
#include <rmq/base.h>

const char *rmq_version(void)
{
    return MILLRACE_VERSION;
}
