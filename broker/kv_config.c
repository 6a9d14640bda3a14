/* The name server's key-value settings: namespace and key to a text. Clients use one namespace,
 * ORDER_TOPIC_CONFIG. Source: KVConfigManager 5.4.0; protocol facts 4.1. */
#include "name_server.h"

#include <string.h>

#include <rmq/json.h>

#include "answer.h"
#include "broker_state.h"
#include "codes.h"

#define SETTINGS_MAX 10000
#define SETTING_MAX_BYTES 65536

/* A setting's name; in the map it is "namespace\1key". */
typedef struct setting_name {
    rmq_slice name_space;
    rmq_slice key;
    rmq_buf text;
} setting_name;

static rmq_slice text_of(const setting_name *name)
{
    return (rmq_slice){(const char *)name->text.data, name->text.len};
}

/* Reads the name from the header, or answers and returns false. Deinit name->text in any case. */
static bool read_name(rmq_dev_request *request, setting_name *name)
{
    rmq_buf_init(&name->text, SETTING_MAX_BYTES);
    if (!rmq_dev_need_string(request, "namespace", &name->name_space) ||
        !rmq_dev_need_string(request, "key", &name->key))
        return false;
    rmq_buf_append_slice(&name->text, name->name_space);
    rmq_buf_append_u8(&name->text, 1);
    rmq_buf_append_slice(&name->text, name->key);
    if (name->text.failed == RMQ_OK)
        return true;
    rmq_dev_answer(&request->reply, RMQ_RESPONSE_SYSTEM_ERROR, "the name is too long");
    return false;
}

static bool put_setting(rmq_dev_map *settings, rmq_slice name, rmq_slice value)
{
    if (settings->count >= SETTINGS_MAX || value.len > SETTING_MAX_BYTES)
        return false;
    char *copy = rmq_slice_dup(value);
    if (copy == NULL)
        return false;
    rmq_free(rmq_dev_map_remove(settings, name));
    if (rmq_dev_map_add(settings, name, copy) == RMQ_OK)
        return true;
    rmq_free(copy);
    return false;
}

void rmq_dev_handle_kv_put(rmq_dev_request *request)
{
    setting_name name;
    rmq_slice value;
    if (read_name(request, &name) && rmq_dev_need_string(request, "value", &value)) {
        if (put_setting(&request->broker->name_server.settings, text_of(&name), value))
            rmq_dev_answer(&request->reply, RMQ_RESPONSE_SUCCESS, NULL);
        else
            rmq_dev_answer(&request->reply, RMQ_RESPONSE_SYSTEM_ERROR, "no room for a setting");
    }
    rmq_buf_deinit(&name.text);
}

void rmq_dev_handle_kv_get(rmq_dev_request *request)
{
    setting_name name;
    if (read_name(request, &name)) {
        const char *value = rmq_dev_map_get(&request->broker->name_server.settings, text_of(&name));
        rmq_command answer;
        rmq_dev_answer_begin(&answer,
                             value != NULL ? RMQ_RESPONSE_SUCCESS : RMQ_RESPONSE_QUERY_NOT_FOUND);
        if (value != NULL)
            rmq_command_set(&answer, "value", value);
        else
            rmq_dev_set_remark(&answer, "No config item, Namespace: %.*s Key: %.*s",
                               (int)name.name_space.len, name.name_space.data, (int)name.key.len,
                               name.key.data);
        rmq_dev_answer_end(&request->reply, &answer);
    }
    rmq_buf_deinit(&name.text);
}

void rmq_dev_handle_kv_delete(rmq_dev_request *request)
{
    setting_name name;
    if (read_name(request, &name)) {
        rmq_free(rmq_dev_map_remove(&request->broker->name_server.settings, text_of(&name)));
        rmq_dev_answer(&request->reply, RMQ_RESPONSE_SUCCESS, NULL);
    }
    rmq_buf_deinit(&name.text);
}

void rmq_dev_handle_kv_list(rmq_dev_request *request)
{
    rmq_slice name_space;
    if (!rmq_dev_need_string(request, "namespace", &name_space))
        return;
    rmq_json_writer writer;
    bool any = false;
    rmq_json_writer_init(&writer);
    rmq_json_begin_object(&writer);
    rmq_json_key(&writer, "table");
    rmq_json_begin_object(&writer);
    const rmq_dev_map_entry *entry = request->broker->name_server.settings.first;
    for (; entry != NULL; entry = entry->next) {
        const char *end = memchr(entry->key, 1, entry->key_len);
        size_t len = end != NULL ? (size_t)(end - entry->key) : 0;
        if (end == NULL || len != name_space.len ||
            (len > 0 && memcmp(entry->key, name_space.data, len) != 0))
            continue;
        rmq_json_key(&writer, end + 1);
        rmq_json_string(&writer, entry->value);
        any = true;
    }
    rmq_json_end_object(&writer);
    rmq_json_end_object(&writer);
    if (any) {
        rmq_dev_answer_json(&request->reply, &writer);
        return;
    }
    rmq_json_writer_deinit(&writer);
    rmq_dev_answer_format(&request->reply, RMQ_RESPONSE_QUERY_NOT_FOUND,
                          "No config item, Namespace: %.*s",
                          (int)(name_space.len < 256 ? name_space.len : 256), name_space.data);
}
