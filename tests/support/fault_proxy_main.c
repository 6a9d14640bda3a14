/* The fault proxy as a program, for tests that are scripts, and for benchmarks:
 *
 *     fault_proxy --to HOST:PORT [--delay-ms N] [--jitter-ms N] [--rate BYTES_PER_S] [--seed N]
 * [--rule TEXT]...
 *
 * Prints `127.0.0.1:PORT`, to be used instead of HOST:PORT (a name server; brokers that its routes
 * name are proxied, too). Reads commands from its input: `rule TEXT`, `clear`, `cut` (closes all
 * connections), `refuse` (and refuses new ones), `accept`, `weather DELAY_MS JITTER_MS RATE`,
 * `frames` (prints how many passed), `hits N`, each answered by a line. Ends with its input. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault_proxy.h"

static int usage(void)
{
    fprintf(stderr, "usage: fault_proxy --to HOST:PORT [--delay-ms N] [--jitter-ms N]"
                    " [--rate BYTES_PER_S] [--seed N] [--rule TEXT]...\n");
    return 2;
}

static void obey(fault_proxy *proxy, const char *line)
{
    double delay_ms = 0;
    double jitter_ms = 0;
    long long number = 0;
    if (strncmp(line, "rule ", 5) == 0) {
        printf("%d\n", fault_proxy_add_text(proxy, line + 5));
    } else if (strcmp(line, "clear") == 0) {
        fault_proxy_clear(proxy);
        printf("ok\n");
    } else if (strcmp(line, "cut") == 0 || strcmp(line, "refuse") == 0) {
        fault_proxy_cut_all(proxy, line[0] == 'r');
        printf("ok\n");
    } else if (strcmp(line, "accept") == 0) {
        fault_proxy_cut_all(proxy, false);
        printf("ok\n");
    } else if (strcmp(line, "frames") == 0) {
        printf("%llu\n", (unsigned long long)fault_proxy_frames(proxy));
    } else if (sscanf(line, "hits %lld", &number) == 1 && number >= 0 && number < 64) {
        printf("%llu\n", (unsigned long long)fault_proxy_hits(proxy, (int)number));
    } else if (sscanf(line, "weather %lf %lf %lld", &delay_ms, &jitter_ms, &number) == 3) {
        const fault_weather weather = {(int64_t)(delay_ms * 1000), (int64_t)(jitter_ms * 1000),
                                       number};
        fault_proxy_weather(proxy, &weather);
        printf("ok\n");
    } else {
        printf("unknown command\n");
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *server = NULL;
    fault_weather weather = {0, 0, 0};
    uint64_t seed = 1;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            return usage();
        const char *value = argv[i + 1];
        if (strcmp(argv[i], "--to") == 0)
            server = value;
        else if (strcmp(argv[i], "--delay-ms") == 0)
            weather.delay_us = (int64_t)(strtod(value, NULL) * 1000);
        else if (strcmp(argv[i], "--jitter-ms") == 0)
            weather.jitter_us = (int64_t)(strtod(value, NULL) * 1000);
        else if (strcmp(argv[i], "--rate") == 0)
            weather.bytes_per_s = strtoll(value, NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(value, NULL, 10);
        else if (strcmp(argv[i], "--rule") != 0)
            return usage();
    }
    if (server == NULL)
        return usage();
    fault_proxy *proxy = fault_proxy_start(server, seed);
    fault_proxy_weather(proxy, &weather);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--rule") == 0 && fault_proxy_add_text(proxy, argv[i + 1]) < 0)
            return usage();
    }
    printf("%s\n", fault_proxy_address(proxy));
    fflush(stdout);
    char line[1024];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        obey(proxy, line);
    }
    fault_proxy_stop(proxy);
    return 0;
}
