/* millrace: finds the command, parses its options, runs it.
 *
 * A command is one or two words; the table below is all there is. Exit codes: 0 success, 1 failure,
 * 2 wrong usage. */
#include <stdio.h>
#include <string.h>

#include <mill/context.h>

#include "commands.h"
#include "log.h"
#include "output.h"
#include "signals.h"

static const mill_command *const commands[] = {
    &mill_command_demo,           &mill_command_demo_job,     &mill_command_consume,
    &mill_command_produce,        &mill_command_topic_list,   &mill_command_topic_create,
    &mill_command_topic_describe, &mill_command_topic_delete, &mill_command_checkpoint_show,
    &mill_command_broker,         &mill_command_bench_read,   &mill_command_bench_send,
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_usage(FILE *out)
{
    fprintf(
        out,
        "usage: millrace COMMAND [options]\n\nRocketMQ streaming without a JVM.\n\ncommands:\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-18s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(out, "\n  millrace COMMAND --help   the options of a command\n  millrace --version     "
                 "   version and features\n");
}

static void print_version(void)
{
    printf("millrace %s\nfeatures: sqlite tls%s%s%s%s\n", mill_version(),
#ifdef MILL_HAVE_LZ4
           " lz4",
#else
           "",
#endif
#ifdef MILL_HAVE_ZSTD
           " zstd",
#else
           "",
#endif
#ifdef MILL_HAVE_LIBDEFLATE
           " libdeflate",
#else
           "",
#endif
#ifdef MILL_CRASH_POINTS
           " crash-points"
#else
           ""
#endif
    );
}

/* The command that argv names with its first one or two words; *out_words says how many. */
static const mill_command *find_command(int argc, char **argv, int *out_words)
{
    const mill_command *found = NULL;
    char two[64] = "";
    if (argc > 2)
        snprintf(two, sizeof(two), "%s %s", argv[1], argv[2]);
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(commands[i]->name, two) == 0) {
            *out_words = 2;
            return commands[i];
        }
        if (strcmp(commands[i]->name, argv[1]) == 0) {
            *out_words = 1;
            found = commands[i];
        }
    }
    return found;
}

/* "millrace topic" alone: names the commands that begin so. */
static int complain_command(const char *word)
{
    char known[256] = "";
    size_t len = strlen(word);
    for (size_t i = 0; i < N_COMMANDS; i++) {
        const char *name = commands[i]->name;
        if (strncmp(name, word, len) == 0 && name[len] == ' ')
            snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s",
                     known[0] != '\0' ? ", " : "", name + len + 1);
    }
    if (known[0] != '\0')
        mill_complain("%s needs one of: %s; see millrace --help", word, known);
    else
        mill_complain("unknown command %s; see millrace --help", word);
    return MILL_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return MILL_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return mill_finish_stdout();
    }
    if (strcmp(argv[1], "--version") == 0) {
        print_version();
        return mill_finish_stdout();
    }
    int words = 0;
    const mill_command *command = find_command(argc, argv, &words);
    if (command == NULL)
        return complain_command(argv[1]);
    int exit_code = MILL_EXIT_FAILURE;
    mill_args *args = mill_args_parse(command, argc - 1 - words, argv + 1 + words, &exit_code);
    if (args == NULL)
        return exit_code;
    exit_code = MILL_EXIT_USAGE;
    if (mill_log_setup(args)) {
        mill_signals_setup();
        exit_code = command->run(args);
        mill_log_flush();
    }
    mill_args_free(args);
    return exit_code;
}
