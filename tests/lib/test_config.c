/* Defaults, limits and combinations of the client's settings. */
#include "../support/support.h"

#include <stdlib.h>
#include <string.h>

#include "../../lib/config.h"
#include "../support/fault_alloc.h"

START_TEST(defaults_are_filled_in)
{
    rmq_settings settings;
    rmq_error err;
    ck_ok(rmq_settings_init(&settings, NULL, &err), &err);
    const rmq_client_config *config = &settings.config;
    ck_assert_uint_eq(settings.n_namesrvs, 1);
    ck_assert_str_eq(settings.namesrvs[0], "127.0.0.1:9876");
    ck_assert_str_eq(config->namesrv, "127.0.0.1:9876");
    ck_assert_int_eq(config->connect_timeout_ms, 5000);
    ck_assert_int_eq(config->request_timeout_ms, 3000);
    ck_assert_int_eq(config->route_refresh_ms, 30000);
    ck_assert_int_eq(config->heartbeat_ms, 30000);
    ck_assert_int_eq(config->reconnect_max_ms, 2000);
    ck_assert_uint_eq(config->max_frame_bytes, 64u << 20);
    ck_assert_uint_eq(config->max_write_bytes, 64u << 20);
    ck_assert_int_eq(config->log_level, RMQ_LOG_WARN);
    ck_assert_ptr_null(config->client_id);
    ck_assert(!config->tls && !config->binary_headers);
    rmq_settings_deinit(&settings);
}
END_TEST

START_TEST(strings_are_copied)
{
    rmq_settings settings;
    rmq_error err;
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    char namesrv[] = "[::1]:1; b:2";
    char key[] = "key";
    char secret[] = "secret";
    config.namesrv = namesrv;
    config.access_key = key;
    config.secret_key = secret;
    config.client_id = "";
    config.request_timeout_ms = 77;
    ck_ok(rmq_settings_init(&settings, &config, &err), &err);
    memset(namesrv, 'x', strlen(namesrv));
    memset(key, 'x', strlen(key));
    memset(secret, 'x', strlen(secret));
    ck_assert_uint_eq(settings.n_namesrvs, 2);
    ck_assert_str_eq(settings.namesrvs[0], "[::1]:1");
    ck_assert_str_eq(settings.namesrvs[1], "b:2");
    ck_assert_str_eq(settings.config.access_key, "key");
    ck_assert_str_eq(settings.config.secret_key, "secret");
    ck_assert_ptr_null(settings.config.client_id); /* empty counts as not given */
    ck_assert_int_eq(settings.config.request_timeout_ms, 77);
    rmq_settings_deinit(&settings);
}
END_TEST

typedef struct bad_case {
    void (*spoil)(rmq_client_config *config);
    const char *text;
} bad_case;

#define SPOIL(name, statement)                                                                     \
    static void name(rmq_client_config *config)                                                    \
    {                                                                                              \
        statement;                                                                                 \
    }
SPOIL(spoil_size, config->struct_size = 3)
SPOIL(spoil_namesrv, config->namesrv = "localhost")
SPOIL(spoil_blank_namesrv, config->namesrv = ";")
SPOIL(spoil_access, config->access_key = "k")
SPOIL(spoil_secret, config->secret_key = "s")
SPOIL(spoil_token, config->security_token = "t")
SPOIL(spoil_cert, config->tls = true; config->tls_cert = "c.pem")
SPOIL(spoil_key, config->tls = true; config->tls_key = "k.pem")
SPOIL(spoil_ca, config->tls_ca = "ca.pem")
SPOIL(spoil_insecure, config->tls_insecure = true)
SPOIL(spoil_negative, config->request_timeout_ms = -1)
SPOIL(spoil_huge, config->connect_timeout_ms = INT64_MAX)
SPOIL(spoil_frame, config->max_frame_bytes = 1)
SPOIL(spoil_frame_max, config->max_frame_bytes = SIZE_MAX)
SPOIL(spoil_level, config->log_level = (rmq_log_level)9)
SPOIL(spoil_id, config->client_id = "a\nb")

static const bad_case bad[] = {
    {spoil_size, "struct_size"},
    {spoil_namesrv, "namesrv"},
    {spoil_blank_namesrv, "namesrv"},
    {spoil_access, "secret_key"},
    {spoil_secret, "access_key"},
    {spoil_token, "security_token"},
    {spoil_cert, "tls_key"},
    {spoil_key, "tls_cert"},
    {spoil_ca, "tls is off"},
    {spoil_insecure, "tls is off"},
    {spoil_negative, "request_timeout_ms"},
    {spoil_huge, "connect_timeout_ms"},
    {spoil_frame, "max_frame_bytes"},
    {spoil_frame_max, "max_frame_bytes"},
    {spoil_level, "log_level"},
    {spoil_id, "client_id"},
};

START_TEST(refuses)
{
    rmq_settings settings;
    rmq_error err;
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    bad[_i].spoil(&config);
    ck_status(rmq_settings_init(&settings, &config, &err), RMQ_INVAL);
    ck_assert_msg(strstr(err.text, bad[_i].text) != NULL, "%s", err.text);
}
END_TEST

START_TEST(errors_hold_no_secret)
{
    rmq_settings settings;
    rmq_error err;
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    char secret[2000];
    memset(secret, 's', sizeof(secret));
    secret[sizeof(secret) - 1] = '\0';
    config.access_key = "k";
    config.secret_key = secret;
    ck_status(rmq_settings_init(&settings, &config, &err), RMQ_INVAL);
    ck_assert_ptr_null(strstr(err.text, "sss"));
}
END_TEST

START_TEST(other_sizes_of_the_struct)
{
    struct {
        rmq_client_config config;
        char tail[16];
    } newer = {.config = RMQ_CLIENT_CONFIG_INIT};
    rmq_settings settings;
    rmq_error err;
    newer.config.struct_size = sizeof(newer);
    ck_ok(rmq_settings_init(&settings, &newer.config, &err), &err);
    rmq_settings_deinit(&settings);
    newer.tail[15] = 1;
    ck_status(rmq_settings_init(&settings, &newer.config, &err), RMQ_INVAL);
    rmq_client_config older = {.struct_size = offsetof(rmq_client_config, client_id),
                               .namesrv = "a:1",
                               .client_id = "beyond what it says"};
    ck_ok(rmq_settings_init(&settings, &older, &err), &err);
    ck_assert_str_eq(settings.namesrvs[0], "a:1");
    ck_assert_ptr_null(settings.config.client_id);
    rmq_settings_deinit(&settings);
}
END_TEST

START_TEST(survives_lack_of_memory)
{
    rmq_client_config config = RMQ_CLIENT_CONFIG_INIT;
    config.namesrv = "a:1;b:2";
    config.access_key = "k";
    config.secret_key = "s";
    int n_points = 0;
    for (int64_t nth = 0;; nth++) {
        rmq_settings settings;
        rmq_error err;
        fault_alloc_fail(nth);
        rmq_status status = rmq_settings_init(&settings, &config, &err);
        if (status == RMQ_OK)
            rmq_settings_deinit(&settings);
        ck_assert_int_eq(fault_alloc_live(), 0);
        if (fault_alloc_failed() == 0)
            break;
        ck_assert_int_eq(status, RMQ_NOMEM);
        n_points++;
    }
    fault_alloc_off();
    ck_assert_int_ge(n_points, 5);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("config");
    TCase *tc = tcase_create("config");
    tcase_add_test(tc, defaults_are_filled_in);
    tcase_add_test(tc, strings_are_copied);
    tcase_add_loop_test(tc, refuses, 0, (int)(sizeof(bad) / sizeof(bad[0])));
    tcase_add_test(tc, errors_hold_no_secret);
    tcase_add_test(tc, other_sizes_of_the_struct);
    tcase_add_test(tc, survives_lack_of_memory);
    suite_add_tcase(suite, tc);
    return suite;
}
