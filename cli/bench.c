/* The report of a measurement.
 *
 * Start-up is left out: everything is counted between two marks, the first of which is set after a
 * warm-up. CPU time is the whole process's, user and system, so nothing that a message costs here
 * is left out; memory is the largest resident set since the start. */
#include "bench.h"

#include <stdio.h>
#include <sys/resource.h>

#include <rmq/client.h>
#include <rmq/json.h>

#include "output.h"

mill_bench_mark mill_bench_now(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (mill_bench_mark){
        .at_ns = rmq_clock_monotonic_ns(),
        .cpu_seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
    };
}

static const struct {
    const char *name;
    double share;
} percentiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1}};
#define N_PERCENTILES (sizeof(percentiles) / sizeof(percentiles[0]))

static void write_json(const mill_bench_report *report, long max_rss_kib, rmq_json_writer *writer)
{
    const struct {
        const char *name;
        int64_t value;
    } counts[] = {{"messages", (int64_t)report->messages},
                  {"bytes", (int64_t)report->bytes},
                  {"requests", (int64_t)report->requests},
                  {"maxRssKiB", max_rss_kib}};
    rmq_json_begin_object(writer);
    rmq_json_key(writer, "bench");
    rmq_json_string(writer, report->name);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        rmq_json_key(writer, counts[i].name);
        rmq_json_int64(writer, counts[i].value);
    }
    rmq_json_key(writer, "seconds");
    rmq_json_double(writer, report->seconds);
    rmq_json_key(writer, "cpuSeconds");
    rmq_json_double(writer, report->cpu_seconds);
    rmq_json_key(writer, "latencyOf");
    rmq_json_string(writer, report->latency_of);
    rmq_json_key(writer, "latencyMicros");
    rmq_json_begin_object(writer);
    for (size_t i = 0; i < N_PERCENTILES; i++) {
        rmq_json_key(writer, percentiles[i].name);
        rmq_json_double(writer,
                        (double)mill_histogram_at(report->latency, percentiles[i].share) / 1e3);
    }
    rmq_json_end_object(writer);
    rmq_json_end_object(writer);
}

static void print_table(const mill_bench_report *report, long max_rss_kib)
{
    double messages = report->messages > 0 ? (double)report->messages : 1;
    double seconds = report->seconds > 0 ? report->seconds : 1;
    mill_output_print("messages   %12llu in %.2f s, %.0f a request\n",
                      (unsigned long long)report->messages, report->seconds,
                      report->requests > 0 ? messages / (double)report->requests : 0);
    mill_output_print("rate       %12.0f messages/s, %.1f MB/s of bodies\n",
                      (double)report->messages / seconds, (double)report->bytes / seconds / 1e6);
    mill_output_print("CPU        %12.3f us a message, %.2f s in all\n",
                      report->cpu_seconds * 1e6 / messages, report->cpu_seconds);
    mill_output_print("memory     %12.1f MiB at most\n", (double)max_rss_kib / 1024);
    mill_output_print("latency    ");
    for (size_t i = 0; i < N_PERCENTILES; i++)
        mill_output_print("%s%s %.0f us", i > 0 ? ", " : "", percentiles[i].name,
                          (double)mill_histogram_at(report->latency, percentiles[i].share) / 1e3);
    mill_output_print(" (%s)\n", report->latency_of);
}

/* Not getrusage's: that begins with what the parent had when it forked. */
static long max_rss(void)
{
    char line[256];
    long kib = 0;
    FILE *status = fopen("/proc/self/status", "re");
    while (status != NULL && kib == 0 && fgets(line, sizeof(line), status) != NULL)
        if (sscanf(line, "VmHWM: %ld", &kib) != 1)
            kib = 0;
    if (status != NULL)
        fclose(status);
    return kib;
}

int mill_bench_print(const mill_args *args, const mill_bench_report *report)
{
    long max_rss_kib = max_rss();
    if (!mill_args_flag(args, "json")) {
        print_table(report, max_rss_kib);
        return mill_output_exit(MILL_EXIT_OK);
    }
    rmq_json_writer writer;
    rmq_slice text;
    rmq_json_writer_init(&writer);
    write_json(report, max_rss_kib, &writer);
    if (rmq_json_writer_finish(&writer, &text) == RMQ_OK)
        mill_output_print("%.*s\n", (int)text.len, text.data);
    else
        mill_complain("out of memory");
    rmq_json_writer_deinit(&writer);
    return mill_output_exit(MILL_EXIT_OK);
}

bool mill_bench_times(const mill_args *args, int64_t *out_seconds_ns, int64_t *out_warm_up_ns)
{
    int64_t seconds_ms = 0;
    int64_t warm_up_ms = 0;
    if (!mill_args_duration(args, "seconds", 5000, &seconds_ms) ||
        !mill_args_duration(args, "warm-up", 500, &warm_up_ms))
        return false;
    *out_seconds_ns = seconds_ms * 1000000;
    *out_warm_up_ns = warm_up_ms * 1000000;
    return true;
}
