/* The client's settings: a validated copy of rmq_client_config with every default filled in. */
#ifndef RMQ_CONFIG_H
#define RMQ_CONFIG_H

#include <rmq/client.h>

#include "address.h"

typedef struct rmq_settings {
    rmq_client_config config; /* strings are owned by the settings */
    char (*namesrvs)[RMQ_ADDRESS_MAX_BYTES];
    size_t n_namesrvs;
} rmq_settings;

/* Copies and validates `config` (NULL: defaults). client_id stays NULL if it was not given. Errors:
 * INVAL (the field's name and what is wrong with it), NOMEM. */
RMQ_MUST_CHECK rmq_status rmq_settings_init(rmq_settings *settings, const rmq_client_config *config,
                                            rmq_error *err);
/* Frees the strings; secrets are wiped first. */
void rmq_settings_deinit(rmq_settings *settings);

#endif
