/* The golden frames and what their headers say. */
#ifndef TEST_GOLDEN_COMMANDS_H
#define TEST_GOLDEN_COMMANDS_H

#include <stddef.h>
#include <stdint.h>

#define GOLDEN_MAX_FIELDS 24

typedef struct golden_field {
    const char *key;
    const char *value;
    size_t value_len;
} golden_field;

typedef struct golden_command {
    const char *name; /* of the file in tests/golden */
    int serialization;
    int32_t code;
    int32_t language;
    int32_t version;
    int32_t opaque;
    int32_t flag;
    const char *remark; /* NULL if there is none */
    size_t remark_len;
    golden_field fields[GOLDEN_MAX_FIELDS]; /* in wire order */
    size_t n_fields;
    size_t body_len;
} golden_command;

extern const golden_command golden_commands[];
extern const int n_golden_commands;

#endif
