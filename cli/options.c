/* Parsing of command lines.
 *
 * A command's table is small, so options are looked up by walking it; values are kept as (option,
 * value) pairs in the order given. Both "--name value" and "--name=value" are understood, "--" ends
 * the options. A wrong word is answered with the nearest right one. Secrets are wiped from argv as
 * soon as they are copied, so that `ps` doesn't show them for long. */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_POSITIONALS 8

typedef struct given {
    const mill_option *option;
    char *value; /* owned if the option is secret, else borrowed from argv */
} given;

struct mill_args {
    const mill_command *command;
    given *given;
    size_t n_given;
    const char *positionals[MAX_POSITIONALS];
    size_t n_positionals;
    int verbosity;
};

const mill_option mill_common_options[] = {
    {"log-format", "text|json", "form of the lines on stderr", false, false},
    {"help", NULL, "this text", false, false},
    {NULL, NULL, NULL, false, false},
};

const mill_option mill_connection_options[] = {
    {"namesrv", "HOST:PORT;...", "name servers (MILLRACE_NAMESRV; default 127.0.0.1:9876)", false,
     false},
    {"connect-timeout", "TIME", "give up if no name server answers by then (default 5s)", false,
     false},
    {"credentials", "FILE",
     "accessKey=, secretKey= and securityToken= lines; must be readable by you only", false, false},
    {"access-key", "KEY", "ACL access key (MILLRACE_ACCESS_KEY)", false, false},
    {"secret-key", "KEY",
     "ACL secret key; others can see it in the process list for a moment: better "
     "MILLRACE_SECRET_KEY or --credentials",
     false, true},
    {"tls", NULL, "TLS to name servers and brokers", false, false},
    {"tls-ca", "FILE", "certificates that are trusted (PEM; default the system's)", false, false},
    {"tls-cert", "FILE", "our certificate (PEM), for mutual TLS", false, false},
    {"tls-key", "FILE", "its key (PEM)", false, false},
    {"tls-server-name", "NAME", "the name that certificates must have, instead of the address",
     false, false},
    {"tls-insecure", NULL, "don't check certificates at all", false, false},
    {NULL, NULL, NULL, false, false},
};

void mill_one_line(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        bool control = (unsigned char)*from < 0x20 || *from == 0x7f;
        if (!control)
            *to++ = *from;
        else if (to > text && to[-1] != ' ')
            *to++ = ' ';
    }
    while (to > text && to[-1] == ' ')
        to--;
    *to = '\0';
}

static void print_complaint(char *text)
{
    mill_one_line(text);
    fprintf(stderr, "millrace: %s\n", text);
}

void mill_complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char text[1024];
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    print_complaint(text);
}

int mill_complain_usage(const mill_command *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char text[1024];
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    mill_complain("%s: %s; see millrace %s --help", command->name, text, command->name);
    return MILL_EXIT_USAGE;
}

int mill_finish_stdout(void)
{
    if (fflush(stdout) == 0 || errno == EPIPE)
        return MILL_EXIT_OK;
    mill_complain("stdout: %s", strerror(errno));
    return MILL_EXIT_FAILURE;
}

int mill_complain_error(const char *what, const rmq_error *err)
{
    mill_complain("%s: %s", what, err->text);
    return MILL_EXIT_FAILURE;
}

static const mill_option *find_in(const mill_option *options, const char *name, size_t len)
{
    for (; options != NULL && options->name != NULL; options++)
        if (strlen(options->name) == len && memcmp(options->name, name, len) == 0)
            return options;
    return NULL;
}

static const mill_option *find_option(const mill_command *command, const char *name, size_t len)
{
    const mill_option *found = find_in(command->options, name, len);
    if (found == NULL)
        found = find_in(mill_common_options, name, len);
    if (found == NULL && command->connects)
        found = find_in(mill_connection_options, name, len);
    return found;
}

/* Edit distance, enough for words of options. */
static size_t distance(const char *left, const char *right)
{
    size_t row[64];
    size_t n = strlen(right);
    if (n >= 63)
        return 64;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; left[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t cost = diagonal + (left[i - 1] != right[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < cost)
                cost = row[j] + 1;
            if (row[j - 1] + 1 < cost)
                cost = row[j - 1] + 1;
            row[j] = cost;
        }
    }
    return row[n];
}

static const char *nearest(const mill_command *command, const char *word)
{
    const mill_option *tables[] = {command->options, mill_common_options,
                                   command->connects ? mill_connection_options : NULL};
    const char *best = NULL;
    size_t best_distance = 4;
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        for (const mill_option *option = tables[i]; option != NULL && option->name != NULL;
             option++) {
            size_t d = distance(word, option->name);
            if (d < best_distance) {
                best_distance = d;
                best = option->name;
            }
        }
    }
    return best;
}

static int complain_unknown(const mill_command *command, const char *word)
{
    char name[64];
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 2, "="), word + 2);
    const char *near = strncmp(word, "--", 2) == 0 ? nearest(command, name) : NULL;
    if (near != NULL)
        return mill_complain_usage(command, "unknown option %s, did you mean --%s?", word, near);
    return mill_complain_usage(command, "unknown option %s", word);
}

/* Takes one option at argv[*at]; false after a complaint. */
static bool take_option(mill_args *args, int argc, char **argv, int *at)
{
    const mill_command *command = args->command;
    char *word = argv[*at];
    size_t len = strcspn(word + 2, "=");
    const mill_option *option = find_option(command, word + 2, len);
    if (option == NULL)
        return complain_unknown(command, word), false;
    char *value = word[2 + len] == '=' ? word + 3 + len : NULL;
    if (option->argument == NULL && value != NULL)
        return mill_complain_usage(command, "--%s takes no value", option->name), false;
    if (option->argument != NULL && value == NULL) {
        if (*at + 1 >= argc)
            return mill_complain_usage(command, "--%s needs a value: %s", option->name,
                                       option->argument),
                   false;
        value = argv[++*at];
    }
    if (!option->repeatable && mill_args_count(args, option->name) > 0)
        return mill_complain_usage(command, "--%s is given twice", option->name), false;
    if (option->secret && value != NULL) {
        char *copy = rmq_strdup(value);
        if (copy == NULL)
            return mill_complain("out of memory"), false;
        memset(value, 'x', strlen(value));
        value = copy;
    }
    args->given[args->n_given++] = (given){option, value};
    return true;
}

static bool take_short(mill_args *args, const char *word)
{
    if (strcmp(word, "-h") == 0)
        return true;
    for (const char *c = word + 1; *c != '\0'; c++) {
        if (*c != 'v')
            return complain_unknown(args->command, word), false;
        args->verbosity++;
    }
    return true;
}

static bool take_positional(mill_args *args, const char *word)
{
    size_t wanted = 0;
    while (args->command->positionals != NULL && args->command->positionals[wanted] != NULL)
        wanted++;
    if (args->n_positionals >= wanted || args->n_positionals >= MAX_POSITIONALS)
        return mill_complain_usage(args->command, "unexpected argument %s", word), false;
    args->positionals[args->n_positionals++] = word;
    return true;
}

static bool take_all(mill_args *args, int argc, char **argv, bool *out_help)
{
    bool ended = false;
    for (int at = 0; at < argc; at++) {
        char *word = argv[at];
        if (!ended && strcmp(word, "--") == 0) {
            ended = true;
        } else if (!ended && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
            *out_help = true;
            return true;
        } else if (!ended && strncmp(word, "--", 2) == 0) {
            if (!take_option(args, argc, argv, &at))
                return false;
        } else if (!ended && word[0] == '-' && word[1] != '\0') {
            if (!take_short(args, word))
                return false;
        } else if (!take_positional(args, word)) {
            return false;
        }
    }
    const char *const *names = args->command->positionals;
    if (names != NULL && names[args->n_positionals] != NULL)
        return mill_complain_usage(args->command, "%s is missing", names[args->n_positionals]),
               false;
    return true;
}

mill_args *mill_args_parse(const mill_command *command, int argc, char **argv, int *out_exit)
{
    *out_exit = MILL_EXIT_FAILURE;
    mill_args *args = rmq_calloc(1, sizeof(*args));
    given *list = rmq_calloc((size_t)argc + 1, sizeof(*list));
    if (args == NULL || list == NULL) {
        mill_complain("out of memory");
        rmq_free(args);
        rmq_free(list);
        return NULL;
    }
    args->command = command;
    args->given = list;
    bool help = false;
    if (!take_all(args, argc, argv, &help)) {
        *out_exit = MILL_EXIT_USAGE;
    } else if (help) {
        mill_print_help(command);
        *out_exit = mill_finish_stdout();
    } else {
        return args;
    }
    mill_args_free(args);
    return NULL;
}

void mill_args_free(mill_args *args)
{
    if (args == NULL)
        return;
    for (size_t i = 0; i < args->n_given; i++) {
        if (args->given[i].option->secret && args->given[i].value != NULL) {
            explicit_bzero(args->given[i].value, strlen(args->given[i].value));
            rmq_free(args->given[i].value);
        }
    }
    rmq_free(args->given);
    rmq_free(args);
}

const char *mill_args_at(const mill_args *args, const char *name, size_t index)
{
    for (size_t i = 0; i < args->n_given; i++)
        if (strcmp(args->given[i].option->name, name) == 0 && index-- == 0)
            return args->given[i].value != NULL ? args->given[i].value : "";
    return NULL;
}

const char *mill_args_get(const mill_args *args, const char *name)
{
    return mill_args_at(args, name, 0);
}

size_t mill_args_count(const mill_args *args, const char *name)
{
    size_t count = 0;
    while (mill_args_at(args, name, count) != NULL)
        count++;
    return count;
}

bool mill_args_flag(const mill_args *args, const char *name)
{
    return mill_args_get(args, name) != NULL;
}

const char *mill_args_positional(const mill_args *args, size_t index)
{
    return index < args->n_positionals ? args->positionals[index] : NULL;
}

const mill_command *mill_args_command(const mill_args *args)
{
    return args->command;
}

int mill_args_verbosity(const mill_args *args)
{
    return args->verbosity;
}

const char *mill_args_need(const mill_args *args, const char *name)
{
    const char *value = mill_args_get(args, name);
    if (value == NULL || value[0] == '\0') {
        mill_complain_usage(args->command, "--%s is needed", name);
        return NULL;
    }
    return value;
}

bool mill_args_int64(const mill_args *args, const char *name, int64_t min, int64_t max,
                     int64_t otherwise, int64_t *out_value)
{
    const char *text = mill_args_get(args, name);
    *out_value = otherwise;
    if (text == NULL)
        return true;
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < min || value > max) {
        mill_complain_usage(args->command, "--%s %s is not a whole number from %lld to %lld", name,
                            text, (long long)min, (long long)max);
        return false;
    }
    *out_value = value;
    return true;
}

bool mill_duration_parse(const char *text, int64_t *out_ms)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    if (!isdigit((unsigned char)text[0]))
        return false;
    char *end = NULL;
    double value = strtod(text, &end);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].unit) == 0 && value * units[i].ms < 1e15) {
            *out_ms = (int64_t)(value * units[i].ms + 0.5);
            return true;
        }
    }
    return false;
}

bool mill_args_duration(const mill_args *args, const char *name, int64_t otherwise_ms,
                        int64_t *out_ms)
{
    const char *text = mill_args_get(args, name);
    *out_ms = otherwise_ms;
    if (text == NULL || mill_duration_parse(text, out_ms))
        return true;
    mill_complain_usage(args->command, "--%s %s is not a time such as 5s, 200ms or 10m", name,
                        text);
    return false;
}

static void print_options(const char *title, const mill_option *options)
{
    if (options == NULL || options->name == NULL)
        return;
    printf("\n%s:\n", title);
    for (; options->name != NULL; options++) {
        char left[64];
        snprintf(left, sizeof(left), "--%s%s%s", options->name,
                 options->argument != NULL ? " " : "",
                 options->argument != NULL ? options->argument : "");
        if (strlen(left) > 30)
            printf("  %s\n  %-30s  %s\n", left, "", options->help);
        else
            printf("  %-30s  %s\n", left, options->help);
    }
}

void mill_print_help(const mill_command *command)
{
    printf("usage: millrace %s", command->name);
    for (size_t i = 0; command->positionals != NULL && command->positionals[i] != NULL; i++)
        printf(" %s", command->positionals[i]);
    printf(" [options]\n\n%s\n", command->summary);
    if (command->details != NULL)
        printf("\n%s\n", command->details);
    print_options("options", command->options);
    if (command->connects)
        print_options("connection", mill_connection_options);
    print_options("common", mill_common_options);
    printf("  %-30s  %s\n", "-v, -vv", "say more on stderr");
}
