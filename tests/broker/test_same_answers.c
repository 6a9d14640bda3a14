/* The same requests to the development broker and to an official one, and the answers compared:
 * code, names of ext fields, their numbers where they are offsets, the kind of remark, and the
 * body.
 *
 * Without RMQ_TEST_NAMESRV (host:port of an official name server, 5.4.0 or 4.9.7) only the codes of
 * the development broker are checked, against the table. With it the development broker plays the
 * version that the official one has. */
#include "support.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker_client.h"
#include "codes.h"
#include "route.h"
#include "same_answers_table.h"

#define TEXT_BYTES 65536
#define FIRST_V5 413

/* One side: its connections, and the names that its requests use. */
typedef struct side {
    const char *name;
    raw_client namesrv;
    raw_client client;
    char unique[32];
} side;

/* An answer, made comparable. */
typedef struct outcome {
    int32_t code;
    char fields[1024];
    char remark[1024];
    char body[TEXT_BYTES];
} outcome;

/* Replaces $T, $G in `template`. */
static void expand(const side *of, const char *template, char *out_text, size_t capacity)
{
    size_t len = 0;
    for (const char *at = template; *at != '\0'; at++) {
        if (at[0] == '$' && (at[1] == 'T' || at[1] == 'G')) {
            len += (size_t)snprintf(out_text + len, capacity - len, "Same%c%s", at[1], of->unique);
            at++;
        } else {
            out_text[len++] = *at;
        }
        ck_assert_uint_lt(len, capacity);
    }
    out_text[len] = '\0';
}

/* The opposite, and every other number becomes N: "the topic[SameTN] of N.N.N.N:N". */
static void normalize(const side *of, rmq_slice text, char *out_text, size_t capacity)
{
    size_t len = 0;
    size_t unique_len = strlen(of->unique);
    for (size_t i = 0; i < text.len && len + 2 < capacity; i++) {
        if (text.len - i >= unique_len && memcmp(text.data + i, of->unique, unique_len) == 0) {
            i += unique_len - 1;
            out_text[len++] = '$';
        } else if (isdigit((unsigned char)text.data[i])) {
            while (i + 1 < text.len && isdigit((unsigned char)text.data[i + 1]))
                i++;
            out_text[len++] = 'N';
        } else {
            out_text[len++] = text.data[i];
        }
    }
    out_text[len] = '\0';
}

static void normalize_remark(const side *of, rmq_slice remark, char *out_text, size_t capacity)
{
    normalize(of, remark, out_text, capacity);
    char *exception = strstr(out_text, "Exception");
    if (exception != NULL)
        exception[strlen("Exception")] = '\0'; /* what follows is Java's own business */
}

static int compare_text(const void *left, const void *right)
{
    return strcmp(left, right);
}

/* Sorted names, with the values of those that are positions in a queue. */
static void describe_fields(const rmq_command *command, bool names_only, char *out_text,
                            size_t capacity)
{
    static const char *const positions[] = {"nextBeginOffset", "minOffset",           "maxOffset",
                                            "offset",          "queueOffset",         "queueId",
                                            "forbiddenType",   "suggestWhichBrokerId"};
    char names[32][96];
    size_t count = 0;
    for (size_t i = 0; i < command->n_fields && count < 32; i++) {
        const rmq_field *field = &command->fields[i];
        bool position = false;
        for (size_t j = 0; !names_only && j < sizeof(positions) / sizeof(positions[0]); j++)
            position = position || rmq_slice_equals(field->key, positions[j]);
        snprintf(names[count++], sizeof(names[0]), "%.*s%s%.*s", (int)field->key.len,
                 field->key.data, position ? "=" : "", position ? (int)field->value.len : 0,
                 field->value.data);
    }
    qsort(names, count, sizeof(names[0]), compare_text);
    size_t len = 0;
    out_text[0] = '\0';
    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(out_text + len, capacity - len, "%s ", names[i]);
}

static void describe_records(const raw_frame *answer, char *out_text, size_t capacity)
{
    rmq_batch *batch = broker_batch(answer);
    size_t len = 0;
    out_text[0] = '\0';
    for (size_t i = 0; i < rmq_batch_count(batch); i++) {
        const rmq_message *message = rmq_batch_at(batch, i);
        char names[32][96];
        size_t count = 0;
        size_t position = 0;
        rmq_slice name;
        rmq_slice value;
        while (count < 32 && rmq_message_next_property(message, &position, &name, &value))
            snprintf(names[count++], sizeof(names[0]), "%.*s", (int)name.len, name.data);
        qsort(names, count, sizeof(names[0]), compare_text);
        len += (size_t)snprintf(out_text + len, capacity - len, "%lld:%.*s(",
                                (long long)message->queue_offset, (int)message->body.len,
                                message->body.data);
        for (size_t j = 0; j < count; j++)
            len += (size_t)snprintf(out_text + len, capacity - len, "%s ", names[j]);
        len += (size_t)snprintf(out_text + len, capacity - len, ") ");
    }
    rmq_batch_unref(batch);
}

/* Whether nothing comes back. */
static bool is_silent(side *of, const same_request *request)
{
    raw_client *client = request->namesrv ? &of->namesrv : &of->client;
    raw_send(client, request->code, NULL, RAW_NO_BODY);
    return raw_silent(client, 200);
}

static raw_frame send_request(side *of, const same_request *request)
{
    static char fields[SAME_MAX_FIELDS][512];
    static char body[4096];
    const char *list[SAME_MAX_FIELDS + 1] = {NULL};
    for (size_t i = 0; i < SAME_MAX_FIELDS && request->fields[i] != NULL; i++) {
        expand(of, request->fields[i], fields[i], sizeof(fields[i]));
        list[i] = fields[i];
    }
    raw_client *client = request->namesrv ? &of->namesrv : &of->client;
    if (request->body_bytes > 0) {
        char *large = malloc((size_t)request->body_bytes);
        ck_assert_ptr_nonnull(large);
        memset(large, 'x', (size_t)request->body_bytes);
        raw_frame answer =
            raw_call(client, request->code, list, (rmq_slice){large, (size_t)request->body_bytes});
        free(large);
        return answer;
    }
    expand(of, request->body != NULL ? request->body : "", body, sizeof(body));
    return raw_call(client, request->code, list, rmq_slice_of(body));
}

static void ask(side *of, const same_request *request, int32_t expected, outcome *out_outcome)
{
    for (int round = 0;; round++) {
        raw_frame answer = send_request(of, request);
        out_outcome->code = answer.command.code;
        describe_fields(&answer.command, request->compared == SAME_NAMES, out_outcome->fields,
                        sizeof(out_outcome->fields));
        normalize_remark(of, answer.command.remark, out_outcome->remark,
                         sizeof(out_outcome->remark));
        rmq_slice body = answer.command.body;
        if (request->compared == SAME_JSON)
            normalize(of, body, out_outcome->body, sizeof(out_outcome->body));
        else if (request->compared == SAME_RECORDS && answer.command.code == 0)
            describe_records(&answer, out_outcome->body, sizeof(out_outcome->body));
        else
            snprintf(out_outcome->body, sizeof(out_outcome->body), "%s",
                     body.len > 0 ? "some" : "none");
        raw_frame_free(&answer);
        if (!request->repeat || out_outcome->code == expected || round == 100)
            return;
        usleep(20 * 1000); /* a real broker's index follows the send a little later */
    }
}

static side connect_side(const char *name, const char *namesrv)
{
    side made = {.name = name, .namesrv = raw_connect(namesrv)};
    raw_frame answer =
        raw_call(&made.namesrv, RMQ_REQUEST_GET_BROKER_CLUSTER_INFO, NULL, RAW_NO_BODY);
    rmq_route cluster;
    rmq_error err;
    ck_ok(rmq_cluster_info_decode(answer.command.body, &cluster, &err), &err);
    ck_assert_uint_ge(cluster.n_brokers, 1);
    made.client = raw_connect(cluster.brokers[0].addresses[0].address);
    rmq_route_deinit(&cluster);
    raw_frame_free(&answer);
    snprintf(made.unique, sizeof(made.unique), "%lldp%d", (long long)time(NULL), (int)getpid());
    return made;
}

static void disconnect_side(side *of)
{
    raw_close(&of->namesrv);
    raw_close(&of->client);
}

static int32_t version_of(const char *namesrv)
{
    raw_client client = raw_connect(namesrv);
    raw_frame answer = raw_call(&client, RMQ_REQUEST_GET_BROKER_CLUSTER_INFO, NULL, RAW_NO_BODY);
    int32_t version = answer.command.version;
    raw_frame_free(&answer);
    raw_close(&client);
    return version;
}

static int32_t expected_code(const same_request *request, int32_t version)
{
    return version >= FIRST_V5 || request->expected4 == SAME_AS_5 ? request->expected
                                                                  : request->expected4;
}

static size_t differences(const same_request *request, const outcome *ours, const outcome *theirs)
{
    struct {
        const char *what;
        const char *ours;
        const char *theirs;
    } pairs[] = {{"fields", ours->fields, theirs->fields},
                 {"remark", ours->remark, theirs->remark},
                 {"body", ours->body, theirs->body}};
    size_t count = 0;
    if (ours->code != theirs->code) {
        fprintf(stderr, "%s: code %d, the official broker's %d\n", request->name, ours->code,
                theirs->code);
        count++;
    }
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (strcmp(pairs[i].ours, pairs[i].theirs) != 0) {
            fprintf(stderr, "%s: %s\n    '%s', the official broker's\n    '%s'\n", request->name,
                    pairs[i].what, pairs[i].ours, pairs[i].theirs);
            count++;
        }
    }
    return count;
}

static void run_table(int32_t version, side *ours, side *theirs)
{
    static outcome our_outcome;
    static outcome their_outcome;
    size_t wrong = 0;
    for (size_t i = 0; i < n_same_requests; i++) {
        const same_request *request = &same_requests[i];
        int32_t expected = expected_code(request, version);
        if (expected == SAME_SKIP)
            continue;
        if (expected == SAME_SILENT) {
            ck_assert_msg(is_silent(ours, request), "%s is answered", request->name);
            ck_assert_msg(theirs == NULL || is_silent(theirs, request),
                          "%s is answered by the official broker", request->name);
            continue;
        }
        ask(ours, request, expected, &our_outcome);
        if (our_outcome.code != expected) {
            fprintf(stderr, "%s: code %d, expected %d (%s)\n", request->name, our_outcome.code,
                    expected, our_outcome.remark);
            wrong++;
        }
        if (theirs == NULL)
            continue;
        ask(theirs, request, expected, &their_outcome);
        wrong += differences(request, &our_outcome, &their_outcome);
    }
    ck_assert_msg(wrong == 0, "%zu differences in %zu requests", wrong, n_same_requests);
}

static void compare(int32_t version, const char *official)
{
    rmq_devbroker_config config = RMQ_DEVBROKER_CONFIG_INIT;
    rmq_devbroker *broker = NULL;
    rmq_error err;
    config.version = version;
    config.long_poll_check_ms = 100;
    ck_ok(rmq_devbroker_new(&config, &broker, &err), &err);
    side ours = connect_side("development", rmq_devbroker_namesrv(broker));
    if (official == NULL) {
        run_table(version, &ours, NULL);
    } else {
        side theirs = connect_side("official", official);
        run_table(version, &ours, &theirs);
        disconnect_side(&theirs);
    }
    disconnect_side(&ours);
    rmq_devbroker_free(broker);
}

START_TEST(answers_of_5_4_0)
{
    compare(RMQ_PROTOCOL_VERSION, NULL);
}
END_TEST

START_TEST(answers_of_4_9_7)
{
    compare(407, NULL);
}
END_TEST

START_TEST(answers_of_the_official_broker)
{
    const char *official = getenv("RMQ_TEST_NAMESRV");
    compare(version_of(official), official);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("same_answers");
    TCase *tcase = tcase_create("same_answers");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, answers_of_5_4_0);
    tcase_add_test(tcase, answers_of_4_9_7);
    const char *official = getenv("RMQ_TEST_NAMESRV");
    if (official != NULL && official[0] != '\0')
        tcase_add_test(tcase, answers_of_the_official_broker);
    suite_add_tcase(suite, tcase);
    return suite;
}
