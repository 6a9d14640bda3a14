/* The engine's version, from the build. */
#include <mill/context.h>

const char *mill_version(void)
{
    return MILLRACE_VERSION;
}
