/* Defaults and validation of rmq_client_config, driven by one table: a line per field with its
 * kind, its default and its limits. What one field says about another is checked after the walk.
 */
#include "config.h"

#include "../proto/sized_struct.h"

#include <openssl/crypto.h>
#include <string.h>

typedef enum field_kind {
    FIELD_STRING = 0,
    FIELD_SECRET,
    FIELD_MS,
    FIELD_BYTES,
    FIELD_BOOL,
    FIELD_LEVEL
} field_kind;

typedef struct field_rule {
    const char *name;
    field_kind kind;
    size_t offset;
    int64_t fallback; /* numbers; 0 for strings */
    int64_t min;
    int64_t max; /* strings: longest length */
} field_rule;

#define FIELD(member, kind, fallback, min, max)                                                    \
    {                                                                                              \
#member, kind, offsetof(rmq_client_config, member), fallback, min, max                     \
    }
#define HOUR_MS (60 * 60 * 1000)
#define GIB ((int64_t)1 << 30)

static const field_rule fields[] = {
    FIELD(namesrv, FIELD_STRING, 0, 0, 65536),
    FIELD(client_id, FIELD_STRING, 0, 0, 255),
    FIELD(access_key, FIELD_STRING, 0, 0, 1024),
    FIELD(secret_key, FIELD_SECRET, 0, 0, 1024),
    FIELD(security_token, FIELD_SECRET, 0, 0, 16384),
    FIELD(tls, FIELD_BOOL, 0, 0, 1),
    FIELD(tls_ca, FIELD_STRING, 0, 0, 4096),
    FIELD(tls_cert, FIELD_STRING, 0, 0, 4096),
    FIELD(tls_key, FIELD_STRING, 0, 0, 4096),
    FIELD(tls_server_name, FIELD_STRING, 0, 0, 255),
    FIELD(tls_insecure, FIELD_BOOL, 0, 0, 1),
    FIELD(connect_timeout_ms, FIELD_MS, 5000, 1, HOUR_MS),
    FIELD(request_timeout_ms, FIELD_MS, 3000, 1, HOUR_MS),
    FIELD(route_refresh_ms, FIELD_MS, 30000, 10, HOUR_MS),
    FIELD(heartbeat_ms, FIELD_MS, 30000, 10, HOUR_MS),
    FIELD(reconnect_max_ms, FIELD_MS, 2000, 1, HOUR_MS),
    FIELD(max_frame_bytes, FIELD_BYTES, 64 * 1024 * 1024, 1024, GIB),
    FIELD(max_write_bytes, FIELD_BYTES, 64 * 1024 * 1024, 1024, 16 * GIB),
    FIELD(binary_headers, FIELD_BOOL, 0, 0, 1),
    FIELD(log_level, FIELD_LEVEL, RMQ_LOG_WARN, RMQ_LOG_ERROR, RMQ_LOG_TRACE),
};
#define N_FIELDS (sizeof(fields) / sizeof(fields[0]))

static rmq_status check_number(const field_rule *field, int64_t *value, rmq_error *err)
{
    if (*value == 0)
        *value = field->fallback;
    if (*value < field->min || *value > field->max)
        return rmq_error_set(err, RMQ_INVAL, "%s is %lld; it must be from %lld to %lld (0: %lld)",
                             field->name, (long long)*value, (long long)field->min,
                             (long long)field->max, (long long)field->fallback);
    return RMQ_OK;
}

/* Replaces the caller's string by a copy. The empty string counts as not given. */
static rmq_status copy_string(const field_rule *field, const char **value, rmq_error *err)
{
    const char *given = *value;
    *value = NULL;
    if (given == NULL || given[0] == '\0')
        return RMQ_OK;
    if (strlen(given) > (size_t)field->max)
        return rmq_error_set(err, RMQ_INVAL, "%s is longer than %lld bytes", field->name,
                             (long long)field->max);
    for (const char *at = given; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ')
            return rmq_error_set(err, RMQ_INVAL, "%s holds a control character (byte %zu)",
                                 field->name, (size_t)(at - given));
    }
    *value = rmq_strdup(given);
    if (*value == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for %s", field->name);
    return RMQ_OK;
}

static rmq_status take_field(const field_rule *field, rmq_client_config *config, rmq_error *err)
{
    char *at = (char *)config + field->offset;
    rmq_status status = RMQ_OK;
    int64_t number = 0;
    switch (field->kind) {
    case FIELD_STRING:
    case FIELD_SECRET:
        return copy_string(field, (const char **)(void *)at, err);
    case FIELD_MS:
        return check_number(field, (int64_t *)(void *)at, err);
    case FIELD_BYTES:
        number = *(size_t *)(void *)at > INT64_MAX ? INT64_MAX : (int64_t) * (size_t *)(void *)at;
        status = check_number(field, &number, err);
        *(size_t *)(void *)at = (size_t)number;
        return status;
    case FIELD_LEVEL:
        number = *(rmq_log_level *)(void *)at;
        status = check_number(field, &number, err);
        *(rmq_log_level *)(void *)at = (rmq_log_level)number;
        return status;
    case FIELD_BOOL:
        break;
    }
    return RMQ_OK;
}

/* Pointers of strings not yet copied must not be freed. */
static void forget_strings(rmq_client_config *config, size_t from)
{
    for (size_t i = from; i < N_FIELDS; i++) {
        if (fields[i].kind == FIELD_STRING || fields[i].kind == FIELD_SECRET)
            *(const char **)(void *)((char *)config + fields[i].offset) = NULL;
    }
}

static rmq_status check_together(const rmq_client_config *config, rmq_error *err)
{
    if ((config->access_key == NULL) != (config->secret_key == NULL))
        return rmq_error_set(err, RMQ_INVAL, "access_key and secret_key are needed together");
    if (config->security_token != NULL && config->access_key == NULL)
        return rmq_error_set(err, RMQ_INVAL, "security_token needs access_key and secret_key");
    if ((config->tls_cert == NULL) != (config->tls_key == NULL))
        return rmq_error_set(err, RMQ_INVAL, "tls_cert and tls_key are needed together");
    if (!config->tls && (config->tls_ca != NULL || config->tls_cert != NULL ||
                         config->tls_server_name != NULL || config->tls_insecure))
        return rmq_error_set(err, RMQ_INVAL, "TLS settings are given, but tls is off");
    return RMQ_OK;
}

static rmq_status take_namesrvs(rmq_settings *settings, rmq_error *err)
{
    rmq_address *addresses = NULL;
    size_t count = 0;
    if (settings->config.namesrv == NULL)
        settings->config.namesrv = rmq_strdup("127.0.0.1:9876");
    if (settings->config.namesrv == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for namesrv");
    rmq_status status = rmq_address_list_parse(settings->config.namesrv, &addresses, &count, err);
    if (status != RMQ_OK) {
        rmq_error_wrap(err, "namesrv");
        return status;
    }
    settings->namesrvs = rmq_calloc(count, sizeof(*settings->namesrvs));
    if (settings->namesrvs == NULL)
        status = rmq_error_set(err, RMQ_NOMEM, "no memory for %zu name servers", count);
    for (size_t i = 0; i < count && status == RMQ_OK; i++)
        rmq_address_format(&addresses[i], settings->namesrvs[i]);
    settings->n_namesrvs = count;
    rmq_free(addresses);
    return status;
}

rmq_status rmq_settings_init(rmq_settings *settings, const rmq_client_config *config,
                             rmq_error *err)
{
    const rmq_client_config defaults = RMQ_CLIENT_CONFIG_INIT;
    memset(settings, 0, sizeof(*settings));
    rmq_status status = rmq_sized_struct_copy("client config", config != NULL ? config : &defaults,
                                              &settings->config, sizeof(settings->config), err);
    size_t i = 0;
    for (; i < N_FIELDS && status == RMQ_OK; i++)
        status = take_field(&fields[i], &settings->config, err);
    forget_strings(&settings->config, i);
    if (status == RMQ_OK)
        status = check_together(&settings->config, err);
    if (status == RMQ_OK)
        status = take_namesrvs(settings, err);
    if (status != RMQ_OK)
        rmq_settings_deinit(settings);
    return status;
}

void rmq_settings_deinit(rmq_settings *settings)
{
    for (size_t i = 0; i < N_FIELDS; i++) {
        char **value = (char **)(void *)((char *)&settings->config + fields[i].offset);
        if (fields[i].kind != FIELD_STRING && fields[i].kind != FIELD_SECRET)
            continue;
        if (fields[i].kind == FIELD_SECRET && *value != NULL)
            OPENSSL_cleanse(*value, strlen(*value));
        rmq_free(*value);
        *value = NULL;
    }
    rmq_free(settings->namesrvs);
    settings->namesrvs = NULL;
    settings->n_namesrvs = 0;
}
