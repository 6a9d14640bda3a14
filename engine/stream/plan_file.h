/* The texts of the files plan/N, loss/N.K and state/N.RUN. */
#ifndef MILL_PLAN_FILE_H
#define MILL_PLAN_FILE_H

#include <rmq/json.h>

#include "position.h"

/* Append one JSON object. A loss record has the form of a plan: the ranges that are read instead.
 */
void mill_stream_plan_encode(const mill_stream_plan *plan, rmq_json_writer *writer);
void mill_state_encode(const mill_state *state, rmq_json_writer *writer);

/* The caller frees the result. Errors: CORRUPT (what is wrong, without the file's name), NOMEM. */
RMQ_MUST_CHECK rmq_status mill_stream_plan_decode(rmq_slice text, mill_stream_plan **out_plan,
                                                  rmq_error *err);
RMQ_MUST_CHECK rmq_status mill_state_decode(rmq_slice text, mill_state **out_state, rmq_error *err);

#endif
