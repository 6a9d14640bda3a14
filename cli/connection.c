/* From the connection options to a client.
 *
 * Secrets come from the credentials file, the environment or, worst, the command line; a file that
 * others can read is refused, since whoever wrote the keys into it meant them to be secret. */
#include "connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "signals.h"

#define MAX_CREDENTIALS_BYTES 65536

static bool set_secret(char **slot, const char *value, size_t len)
{
    rmq_free(*slot);
    *slot = rmq_slice_dup((rmq_slice){value, len});
    return *slot != NULL;
}

static bool credentials_line(const char *path, char *line, mill_secrets *secrets)
{
    line += strspn(line, " \t");
    line[strcspn(line, "\r\n")] = '\0';
    if (line[0] == '\0' || line[0] == '#')
        return true;
    size_t key_len = strcspn(line, "=");
    if (line[key_len] != '=') {
        mill_complain("%s: a line without '='; it wants accessKey=, secretKey=, securityToken=",
                      path);
        return false;
    }
    const char *value = line + key_len + 1;
    static const struct {
        const char *name;
        size_t at;
    } keys[] = {{"accessKey", offsetof(mill_secrets, access_key)},
                {"secretKey", offsetof(mill_secrets, secret_key)},
                {"securityToken", offsetof(mill_secrets, security_token)}};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (strlen(keys[i].name) == key_len && memcmp(keys[i].name, line, key_len) == 0)
            return set_secret((char **)((char *)secrets + keys[i].at), value, strlen(value));
    mill_complain("%s: unknown key %.*s; it wants accessKey=, secretKey=, securityToken=", path,
                  (int)key_len, line);
    return false;
}

static bool read_credentials(const char *path, mill_secrets *secrets)
{
    FILE *file = fopen(path, "re");
    struct stat info;
    char line[4096];
    bool good = false;
    if (file == NULL || fstat(fileno(file), &info) != 0) {
        mill_complain("%s: %s", path, strerror(errno));
        goto out;
    }
    if ((info.st_mode & 077) != 0) {
        mill_complain("%s: others can read it (mode %03o); run chmod 600 on it", path,
                      (unsigned)(info.st_mode & 0777));
        goto out;
    }
    good = true;
    while (good && fgets(line, sizeof(line), file) != NULL)
        good = credentials_line(path, line, secrets);
    explicit_bzero(line, sizeof(line));
out:
    if (file != NULL)
        fclose(file);
    return good;
}

static bool override_secret(char **slot, const char *from_option, const char *variable)
{
    const char *value = from_option != NULL ? from_option : *slot == NULL ? getenv(variable) : NULL;
    return value == NULL || set_secret(slot, value, strlen(value));
}

static bool gather_secrets(const mill_args *args, mill_secrets *secrets)
{
    const char *path = mill_args_get(args, "credentials");
    if (path != NULL && !read_credentials(path, secrets))
        return false;
    if (!override_secret(&secrets->access_key, mill_args_get(args, "access-key"),
                         "MILLRACE_ACCESS_KEY") ||
        !override_secret(&secrets->secret_key, mill_args_get(args, "secret-key"),
                         "MILLRACE_SECRET_KEY") ||
        !override_secret(&secrets->security_token, NULL, "MILLRACE_SECURITY_TOKEN")) {
        mill_complain("out of memory");
        return false;
    }
    return true;
}

bool mill_connection_config(const mill_args *args, rmq_client_config *out_config,
                            mill_secrets *out_secrets, int *out_exit)
{
    *out_secrets = (mill_secrets){NULL, NULL, NULL};
    *out_config = (rmq_client_config)RMQ_CLIENT_CONFIG_INIT;
    *out_exit = MILL_EXIT_USAGE;
    if (!mill_args_duration(args, "connect-timeout", 5000, &out_config->connect_timeout_ms))
        return false;
    *out_exit = MILL_EXIT_FAILURE;
    if (!gather_secrets(args, out_secrets))
        return false;
    out_config->namesrv = mill_args_get(args, "namesrv");
    if (out_config->namesrv == NULL)
        out_config->namesrv = getenv("MILLRACE_NAMESRV");
    out_config->access_key = out_secrets->access_key;
    out_config->secret_key = out_secrets->secret_key;
    out_config->security_token = out_secrets->security_token;
    out_config->tls_ca = mill_args_get(args, "tls-ca");
    out_config->tls_cert = mill_args_get(args, "tls-cert");
    out_config->tls_key = mill_args_get(args, "tls-key");
    out_config->tls_server_name = mill_args_get(args, "tls-server-name");
    out_config->tls_insecure = mill_args_flag(args, "tls-insecure");
    out_config->tls = mill_args_flag(args, "tls") || out_config->tls_ca != NULL ||
                      out_config->tls_cert != NULL || out_config->tls_server_name != NULL ||
                      out_config->tls_insecure;
    out_config->log = mill_log_line;
    out_config->log_level = mill_log_level();
    *out_exit = MILL_EXIT_OK;
    return true;
}

static void wipe(char **slot)
{
    if (*slot != NULL)
        explicit_bzero(*slot, strlen(*slot));
    rmq_free(*slot);
    *slot = NULL;
}

void mill_secrets_free(mill_secrets *secrets)
{
    wipe(&secrets->access_key);
    wipe(&secrets->secret_key);
    wipe(&secrets->security_token);
}

/* Options whose values reach a child by other ways. */
static bool is_told_apart(const mill_option *option)
{
    static const char *const names[] = {"namesrv", "credentials", "access-key", "secret-key",
                                        "help"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(option->name, names[i]) == 0)
            return true;
    return false;
}

static bool add_words(const mill_args *args, const mill_option *options, char **words,
                      size_t *count)
{
    for (; options->name != NULL; options++) {
        const char *value = mill_args_get(args, options->name);
        if (value == NULL || is_told_apart(options))
            continue;
        size_t size = strlen(options->name) + strlen(value) + 4;
        char *word = *count < MILL_CONNECTION_WORDS ? rmq_malloc(size) : NULL;
        if (word == NULL)
            return mill_complain("out of memory"), false;
        snprintf(word, size, "--%s%s%s", options->name, options->argument != NULL ? "=" : "",
                 value);
        words[(*count)++] = word;
    }
    return true;
}

bool mill_connection_words(const mill_args *args, char **out_words, size_t *out_count)
{
    *out_count = 0;
    for (int i = 0; i < mill_args_verbosity(args) && i < 2; i++) {
        out_words[*out_count] = rmq_strdup("-v");
        if (out_words[*out_count] == NULL)
            return mill_complain("out of memory"), false;
        ++*out_count;
    }
    return add_words(args, mill_common_options, out_words, out_count) &&
           add_words(args, mill_connection_options, out_words, out_count);
}

bool mill_secrets_export(const mill_secrets *secrets)
{
    const struct {
        const char *name;
        const char *value;
    } keys[] = {{"MILLRACE_ACCESS_KEY", secrets->access_key},
                {"MILLRACE_SECRET_KEY", secrets->secret_key},
                {"MILLRACE_SECURITY_TOKEN", secrets->security_token}};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (keys[i].value != NULL && setenv(keys[i].name, keys[i].value, 1) != 0)
            return mill_complain("out of memory"), false;
    return true;
}

rmq_client *mill_connect(const mill_args *args, int *out_exit)
{
    rmq_client_config config;
    mill_secrets secrets;
    rmq_client *client = NULL;
    rmq_error err;
    if (!mill_connection_config(args, &config, &secrets, out_exit))
        goto out;
    *out_exit = MILL_EXIT_FAILURE;
    rmq_status status = rmq_client_new(&config, &client, &err);
    if (status == RMQ_OK) {
        mill_signals_cancel_client(client);
        mill_log_quiet(true);
        status = rmq_client_connect(client, config.connect_timeout_ms, &err);
    }
    if (status != RMQ_OK) {
        *out_exit = mill_complain_call("connect", &err);
        if (status == RMQ_INVAL)
            *out_exit = MILL_EXIT_USAGE;
        mill_disconnect(client);
        client = NULL;
    }
out:
    mill_secrets_free(&secrets);
    return client;
}

void mill_disconnect(rmq_client *client)
{
    mill_signals_cancel_client(NULL);
    rmq_client_free(client);
}

int mill_complain_call(const char *what, const rmq_error *err)
{
    if (err->status != RMQ_CANCELLED || !mill_signals_stopping())
        return mill_complain_error(what, err);
    mill_complain("%s: stopped before its end", what);
    return MILL_EXIT_OK;
}
