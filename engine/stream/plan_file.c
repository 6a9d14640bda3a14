/* Plans and states as JSON, and back.
 *
 *   plan/N       {"batchId":3,"epoch":2,"timeMs":1700000000000,"sources":[{"name":"direct",
 *                 "ranges":[{"topic":"T","brokerName":"broker-a","queueId":0,"start":10,"end":20,
 *                 "fingerprint":{...}}]}]}
 *   loss/N.K     the same; a range in it replaces the plan's of that queue
 *   state/N.RUN  {"batchId":3,"run":"e2-...","epoch":2,"timeMs":...,"parentRun":"e2-...",
 *                 "counters":{"inputRows":30,"outputRows":30,"lost":0},"sources":[{"name":"direct",
 *                 "positions":[{"topic":"T","brokerName":"broker-a","queueId":0,"nextOffset":20,
 *                 "fingerprint":{...}}]}]}
 *
 * Encoding and decoding are exact inverses; nothing is left to defaults. The checksum and the
 * file's name are the business of the layer below (checkpoint_file.c). */
#include "plan_file.h"

#include <string.h>

#include "position_json.h"

void mill_stream_plan_encode(const mill_stream_plan *plan, rmq_json_writer *writer)
{
    rmq_json_begin_object(writer);
    mill_json_put_int64(writer, "batchId", plan->batch_id);
    mill_json_put_int64(writer, "epoch", plan->epoch);
    mill_json_put_int64(writer, "timeMs", plan->time_ms);
    rmq_json_key(writer, "sources");
    rmq_json_begin_array(writer);
    for (size_t i = 0; i < plan->n_sources; i++) {
        rmq_json_begin_object(writer);
        mill_json_put_text(writer, "name", plan->sources[i].name);
        rmq_json_key(writer, "ranges");
        rmq_json_begin_array(writer);
        for (size_t r = 0; r < plan->sources[i].ranges.count; r++)
            mill_range_write(writer, &plan->sources[i].ranges.items[r]);
        rmq_json_end_array(writer);
        rmq_json_end_object(writer);
    }
    rmq_json_end_array(writer);
    rmq_json_end_object(writer);
}

void mill_state_encode(const mill_state *state, rmq_json_writer *writer)
{
    rmq_json_begin_object(writer);
    mill_json_put_int64(writer, "batchId", state->batch_id);
    mill_json_put_text(writer, "run", state->run);
    mill_json_put_int64(writer, "epoch", state->epoch);
    mill_json_put_int64(writer, "timeMs", state->time_ms);
    mill_json_put_text(writer, "parentRun", state->parent_run);
    rmq_json_key(writer, "counters");
    rmq_json_begin_object(writer);
    mill_json_put_int64(writer, "inputRows", (int64_t)state->input_rows);
    mill_json_put_int64(writer, "outputRows", (int64_t)state->output_rows);
    mill_json_put_int64(writer, "lost", (int64_t)state->lost);
    rmq_json_end_object(writer);
    rmq_json_key(writer, "sources");
    rmq_json_begin_array(writer);
    for (size_t i = 0; i < state->n_sources; i++) {
        rmq_json_begin_object(writer);
        mill_json_put_text(writer, "name", state->sources[i].name);
        rmq_json_key(writer, "positions");
        rmq_json_begin_array(writer);
        for (size_t p = 0; p < state->sources[i].positions.count; p++)
            mill_position_write(writer, &state->sources[i].positions.items[p]);
        rmq_json_end_array(writer);
        rmq_json_end_object(writer);
    }
    rmq_json_end_array(writer);
    rmq_json_end_object(writer);
}

/* ---- decoding ---- */

static bool read_number(rmq_json *json, int64_t *out_value, const char **out_wrong)
{
    if (!rmq_json_read_int64(json, out_value))
        return false;
    if (*out_value < 0)
        *out_wrong = "a number is negative";
    return *out_wrong == NULL;
}

static bool read_name(rmq_json *json, char **name, const char **out_wrong)
{
    rmq_slice text;
    if (!rmq_json_read_string(json, &text))
        return false;
    rmq_free(*name);
    *name = rmq_slice_dup(text);
    if (*name == NULL)
        *out_wrong = mill_out_of_memory;
    return *name != NULL;
}

/* Appends one zeroed item to an array that is an exact fit. */
static void *append(void *items, size_t count, size_t size_bytes, const char **out_wrong)
{
    char *grown = rmq_realloc(items, (count + 1) * size_bytes);
    if (grown == NULL)
        *out_wrong = mill_out_of_memory;
    else
        memset(grown + count * size_bytes, 0, size_bytes);
    return grown;
}

/* What plans and states have of a source: {"name":..., KEY:[...]}. */
typedef struct source_form {
    const char *key;
    bool (*read_list)(rmq_json *json, void *list, const char **out_wrong);
} source_form;

static bool read_source(rmq_json *json, const source_form *form, char **name, void *list,
                        const char **out_wrong)
{
    if (!rmq_json_enter_object(json))
        return false;
    rmq_slice key;
    while (rmq_json_next_key(json, &key)) {
        bool good;
        if (rmq_slice_equals(key, "name"))
            good = read_name(json, name, out_wrong);
        else if (rmq_slice_equals(key, form->key))
            good = form->read_list(json, list, out_wrong);
        else
            good = rmq_json_skip(json);
        if (!good)
            return false;
    }
    if (*name == NULL)
        *out_wrong = "a source lacks its name";
    return *out_wrong == NULL;
}

static bool read_ranges(rmq_json *json, void *list, const char **out_wrong)
{
    return mill_ranges_read(json, list, out_wrong);
}

static bool read_positions(rmq_json *json, void *list, const char **out_wrong)
{
    return mill_positions_read(json, list, out_wrong);
}

static bool read_plan_sources(rmq_json *json, mill_stream_plan *plan, const char **out_wrong)
{
    static const source_form form = {"ranges", read_ranges};
    if (!rmq_json_enter_array(json))
        return false;
    while (rmq_json_next_element(json)) {
        mill_stream_plan_source *sources =
            append(plan->sources, plan->n_sources, sizeof(*sources), out_wrong);
        if (sources == NULL)
            return false;
        plan->sources = sources;
        mill_stream_plan_source *source = &sources[plan->n_sources++];
        if (!read_source(json, &form, &source->name, &source->ranges, out_wrong))
            return false;
    }
    return true;
}

static bool read_plan(rmq_json *json, mill_stream_plan *plan, const char **out_wrong)
{
    if (!rmq_json_enter_object(json))
        return false;
    rmq_slice key;
    bool sources = false;
    while (rmq_json_next_key(json, &key)) {
        bool good;
        if (rmq_slice_equals(key, "batchId"))
            good = read_number(json, &plan->batch_id, out_wrong);
        else if (rmq_slice_equals(key, "epoch"))
            good = read_number(json, &plan->epoch, out_wrong);
        else if (rmq_slice_equals(key, "timeMs"))
            good = read_number(json, &plan->time_ms, out_wrong);
        else if (rmq_slice_equals(key, "sources"))
            good = sources = read_plan_sources(json, plan, out_wrong);
        else
            good = rmq_json_skip(json);
        if (!good)
            return false;
    }
    if (!sources || plan->batch_id < 1 || plan->epoch < 1)
        *out_wrong = "batchId, epoch or sources is missing";
    return *out_wrong == NULL;
}

rmq_status mill_stream_plan_decode(rmq_slice text, mill_stream_plan **out_plan, rmq_error *err)
{
    mill_stream_plan *plan = mill_stream_plan_new(0);
    if (plan == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory for a plan");
    rmq_json json;
    rmq_json_init(&json, text, false);
    const char *wrong = NULL;
    bool good = read_plan(&json, plan, &wrong);
    rmq_status status = mill_json_decoded(&json, wrong, err);
    if (status == RMQ_OK && !good)
        status = rmq_error_set(err, RMQ_CORRUPT, "it can't be read");
    rmq_json_deinit(&json);
    if (status != RMQ_OK) {
        mill_stream_plan_free(plan);
        return status;
    }
    *out_plan = plan;
    return RMQ_OK;
}

static bool read_state_sources(rmq_json *json, mill_state *state, const char **out_wrong)
{
    static const source_form form = {"positions", read_positions};
    if (!rmq_json_enter_array(json))
        return false;
    while (rmq_json_next_element(json)) {
        mill_state_source *sources =
            append(state->sources, state->n_sources, sizeof(*sources), out_wrong);
        if (sources == NULL)
            return false;
        state->sources = sources;
        mill_state_source *source = &sources[state->n_sources++];
        if (!read_source(json, &form, &source->name, &source->positions, out_wrong))
            return false;
    }
    return true;
}

static bool read_counters(rmq_json *json, mill_state *state, const char **out_wrong)
{
    if (!rmq_json_enter_object(json))
        return false;
    rmq_slice key;
    while (rmq_json_next_key(json, &key)) {
        uint64_t *counter = rmq_slice_equals(key, "inputRows")    ? &state->input_rows
                            : rmq_slice_equals(key, "outputRows") ? &state->output_rows
                            : rmq_slice_equals(key, "lost")       ? &state->lost
                                                                  : NULL;
        int64_t value = 0;
        if (counter == NULL ? !rmq_json_skip(json) : !read_number(json, &value, out_wrong))
            return false;
        if (counter != NULL)
            *counter = (uint64_t)value;
    }
    return true;
}

static bool read_run_name(rmq_json *json, char *out_name, const char **out_wrong)
{
    if (mill_json_read_text(json, out_name, MILL_RUN_NAME_BYTES))
        return true;
    *out_wrong = "the name of a run can't be read";
    return false;
}

static bool read_state_value(rmq_json *json, rmq_slice key, mill_state *state,
                             const char **out_wrong)
{
    if (rmq_slice_equals(key, "batchId"))
        return read_number(json, &state->batch_id, out_wrong);
    if (rmq_slice_equals(key, "epoch"))
        return read_number(json, &state->epoch, out_wrong);
    if (rmq_slice_equals(key, "timeMs"))
        return read_number(json, &state->time_ms, out_wrong);
    if (rmq_slice_equals(key, "run"))
        return read_run_name(json, state->run, out_wrong);
    if (rmq_slice_equals(key, "parentRun"))
        return read_run_name(json, state->parent_run, out_wrong);
    if (rmq_slice_equals(key, "counters"))
        return read_counters(json, state, out_wrong);
    return rmq_json_skip(json);
}

static bool read_state(rmq_json *json, mill_state *state, const char **out_wrong)
{
    if (!rmq_json_enter_object(json))
        return false;
    rmq_slice key;
    bool sources = false;
    while (rmq_json_next_key(json, &key)) {
        bool is_sources = rmq_slice_equals(key, "sources");
        if (is_sources ? !read_state_sources(json, state, out_wrong)
                       : !read_state_value(json, key, state, out_wrong))
            return false;
        sources = sources || is_sources;
    }
    if (!sources || state->run[0] == '\0')
        *out_wrong = "run or sources is missing";
    return *out_wrong == NULL;
}

rmq_status mill_state_decode(rmq_slice text, mill_state **out_state, rmq_error *err)
{
    mill_state *state = mill_state_new(0);
    if (state == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory for a state");
    rmq_json json;
    rmq_json_init(&json, text, false);
    const char *wrong = NULL;
    bool good = read_state(&json, state, &wrong);
    rmq_status status = mill_json_decoded(&json, wrong, err);
    if (status == RMQ_OK && !good)
        status = rmq_error_set(err, RMQ_CORRUPT, "it can't be read");
    rmq_json_deinit(&json);
    if (status != RMQ_OK) {
        mill_state_free(state);
        return status;
    }
    *out_state = state;
    return RMQ_OK;
}
