/* Command line options: one table per command, from which parsing, --help, completion and man pages
 * come. */
#ifndef MILL_OPTIONS_H
#define MILL_OPTIONS_H

#include <rmq/base.h>

#define MILL_EXIT_OK 0
#define MILL_EXIT_FAILURE 1
#define MILL_EXIT_USAGE 2

/* One option. `argument` is what stands for its value in the help, NULL for a flag. */
typedef struct mill_option {
    const char *name; /* without "--" */
    const char *argument;
    const char *help;
    bool repeatable;
    bool secret; /* its value is wiped from argv */
} mill_option;

typedef struct mill_args mill_args;

/* A command. `options` and `positionals` end with a NULL name. */
typedef struct mill_command {
    const char *name; /* "topic create" */
    const char *summary;
    const char *details; /* paragraphs for the help; may be NULL */
    const char *const
        *positionals; /* names of needed positional arguments; NULL-terminated, or NULL */
    const mill_option *options;
    bool connects; /* has the connection options too */
    int (*run)(const mill_args *args);
} mill_command;

/* The options that every command has, and those of every command that connects. */
extern const mill_option mill_common_options[];
extern const mill_option mill_connection_options[];

/* Parses argv after the command's words. On a wrong usage prints one sentence to stderr and returns
 * NULL with *out_exit = 2; for --help prints the help to stdout and returns NULL with 0. Values
 * point into argv. */
mill_args *mill_args_parse(const mill_command *command, int argc, char **argv, int *out_exit);
void mill_args_free(mill_args *args);

/* The option's value, or NULL; for repeatable ones the i-th. */
const char *mill_args_get(const mill_args *args, const char *name);
size_t mill_args_count(const mill_args *args, const char *name);
const char *mill_args_at(const mill_args *args, const char *name, size_t index);
bool mill_args_flag(const mill_args *args, const char *name);
const char *mill_args_positional(const mill_args *args, size_t index);
const mill_command *mill_args_command(const mill_args *args);
/* How often -v was given. */
int mill_args_verbosity(const mill_args *args);

/* Reads a whole number in [min, max]; `otherwise` if the option is absent. False, after a sentence
 * on stderr, if it is no such number. */
bool mill_args_int64(const mill_args *args, const char *name, int64_t min, int64_t max,
                     int64_t otherwise, int64_t *out_value);
/* Reads a duration: "5s", "200ms", "10m", "2h"; a bare number is seconds. In milliseconds. */
bool mill_args_duration(const mill_args *args, const char *name, int64_t otherwise_ms,
                        int64_t *out_ms);
/* "5s" and so on to milliseconds; false if it is none. */
bool mill_duration_parse(const char *text, int64_t *out_ms);

/* The value of a needed option; NULL, after a sentence on stderr, if it is absent. */
const char *mill_args_need(const mill_args *args, const char *name);

/* Turns line ends and other control characters, which a peer may have sent, into single spaces. */
void mill_one_line(char *text);
/* Prints "millrace: what: why" to stderr, as one line. */
void mill_complain(const char *format, ...) RMQ_PRINTF(1, 2);
/* As mill_complain, plus where the help is; returns MILL_EXIT_USAGE. */
int mill_complain_usage(const mill_command *command, const char *format, ...) RMQ_PRINTF(2, 3);
/* Prints "millrace: what: error text" and returns MILL_EXIT_FAILURE. */
int mill_complain_error(const char *what, const rmq_error *err);

/* Flushes what was printed with stdio: MILL_EXIT_OK (also if the reader has gone), or, after a
 * sentence on stderr, MILL_EXIT_FAILURE. */
int mill_finish_stdout(void);
void mill_print_help(const mill_command *command);

#endif
