/* Log lines to the user's hook. The level is tested before anything is formatted. */
#include "client_state.h"

#include <stdio.h>

void rmq_client_log(rmq_client *client, rmq_log_level level, const char *area, const char *format,
                    ...)
{
    const rmq_client_config *config = &client->settings.config;
    if (config->log == NULL || level > config->log_level)
        return;
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    config->log(config->log_ctx, level, area, line);
}
