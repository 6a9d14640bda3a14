/* The fixture of the tests of calls. */
#include "call_fixture.h"

fake_peer server;
rmq_client *client;
log_record logged;
call_record calls[N_CALLS];

void start_client(const rmq_client_config *given)
{
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    if (given != NULL)
        config = *given;
    log_record_init(&logged);
    config.log = log_record_fn;
    config.log_ctx = &logged;
    config.log_level = RMQ_LOG_DEBUG;
    fake_peer_open(&server);
    client = client_make(server.address, &config);
    for (int i = 0; i < N_CALLS; i++)
        record_init(&calls[i], client, server.address);
}

void stop_client(void)
{
    rmq_client_free(client);
    fake_peer_close(&server);
    for (int i = 0; i < N_CALLS; i++)
        record_deinit(&calls[i]);
}
