/* Row types as the engine uses them: functions that a type left out are filled in here. */
#ifndef MILL_TYPE_H
#define MILL_TYPE_H

#include <mill/dataset.h>

/* INVAL unless `type` is complete enough to be a row's type. */
RMQ_MUST_CHECK rmq_status mill_type_check(const mill_type *type, rmq_error *err);

/* Bytes of each row's serialized form where all rows have the same; 0: they differ. */
size_t mill_type_width(const mill_type *type);
bool mill_type_is_pair(const mill_type *type);
bool mill_type_can_be_key(const mill_type *type);

/* Deep copy. Errors: NOMEM, and what the type's own function gives. */
rmq_status mill_type_copy(const mill_type *type, const void *row, void *out_row, mill_arena *arena);
void mill_type_write(const mill_type *type, const void *row, mill_output *out);
/* RMQ_CORRUPT if the input ends too early. */
rmq_status mill_type_read(const mill_type *type, mill_input *in, void *out_row, mill_arena *arena);

#endif
