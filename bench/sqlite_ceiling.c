/* How many orders a second could SQLite take if everything before it cost nothing?
 *
 *     sqlite_ceiling DIRECTORY KEYS ORDERS BATCH_ORDERS
 *
 * A program without Millrace: the sums of each batch are added up and sorted before the clock
 * starts; then each batch is one transaction of upserts in the order of the keys, with the pragmas
 * and the table of the job (job.c), and nothing else in it. Prints one line of JSON. */
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orders.h"

typedef struct sum {
    int64_t key;
    int64_t total;
} sum;

typedef struct batch_sums {
    sum *sums; /* in the order of keys */
    size_t count;
} batch_sums;

static void *must_have(void *memory)
{
    if (memory == NULL) {
        fprintf(stderr, "sqlite_ceiling: out of memory\n");
        exit(EXIT_FAILURE);
    }
    return memory;
}

static void must(sqlite3 *db, int result, int wanted)
{
    if (result == wanted)
        return;
    fprintf(stderr, "sqlite_ceiling: %s\n", sqlite3_errmsg(db));
    exit(EXIT_FAILURE);
}

static void exec(sqlite3 *db, const char *sql)
{
    must(db, sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static batch_sums add_up(const orders *all, int64_t from, int64_t to)
{
    int64_t *totals = must_have(calloc((size_t)all->n_keys, sizeof(*totals)));
    size_t count = 0;
    for (int64_t i = from; i < to; i++) {
        int64_t *total = &totals[order_key(all, i)];
        count += *total == 0;
        *total += order_cost(i);
    }
    batch_sums batch = {must_have(malloc((count + 1) * sizeof(sum))), 0};
    for (int64_t key = 0; key < all->n_keys; key++)
        if (totals[key] != 0)
            batch.sums[batch.count++] = (sum){key, totals[key]};
    free(totals);
    return batch;
}

static sqlite3 *open_database(const char *directory)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/ceiling.db", directory);
    sqlite3 *db = NULL;
    must(db, sqlite3_open(path, &db), SQLITE_OK);
    exec(db, "PRAGMA journal_mode=WAL");
    exec(db, "PRAGMA synchronous=EXTRA");
    exec(db, orders_create_sql);
    return db;
}

static void write_batch(sqlite3 *db, sqlite3_stmt *upsert, const batch_sums *batch,
                        const char *keys)
{
    exec(db, "BEGIN IMMEDIATE");
    for (size_t i = 0; i < batch->count; i++) {
        const char *key = keys + (size_t)batch->sums[i].key * (ORDERS_KEY_BYTES + 1);
        sqlite3_bind_text(upsert, 1, key, ORDERS_KEY_BYTES, SQLITE_STATIC);
        sqlite3_bind_int64(upsert, 2, batch->sums[i].total);
        must(db, sqlite3_step(upsert), SQLITE_DONE);
        sqlite3_reset(upsert);
    }
    exec(db, "COMMIT");
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: %s DIRECTORY KEYS ORDERS BATCH_ORDERS\n", argv[0]);
        return 2;
    }
    orders all = {.n_keys = atoll(argv[2]), .n_orders = atoll(argv[3])};
    int64_t batch_orders = atoll(argv[4]);
    if (all.n_keys <= 0 || all.n_orders <= 0 || batch_orders <= 0)
        return 2;
    int64_t n_batches = (all.n_orders + batch_orders - 1) / batch_orders;
    batch_sums *batches = must_have(malloc((size_t)n_batches * sizeof(*batches)));
    int64_t n_rows = 0;
    for (int64_t i = 0; i < n_batches; i++) {
        int64_t to = (i + 1) * batch_orders;
        batches[i] = add_up(&all, i * batch_orders, to < all.n_orders ? to : all.n_orders);
        n_rows += (int64_t)batches[i].count;
    }
    char *keys = must_have(malloc((size_t)all.n_keys * (ORDERS_KEY_BYTES + 1)));
    for (int64_t key = 0; key < all.n_keys; key++)
        order_key_text(key, keys + key * (ORDERS_KEY_BYTES + 1));
    sqlite3 *db = open_database(argv[1]);
    sqlite3_stmt *upsert = NULL;
    must(db, sqlite3_prepare_v2(db, orders_upsert_sql, -1, &upsert, NULL), SQLITE_OK);
    double cpu_began = cpu_seconds();
    double began = now_seconds();
    for (int64_t i = 0; i < n_batches; i++)
        write_batch(db, upsert, &batches[i], keys);
    double ended = now_seconds();
    printf("{\"orders\": %" PRId64 ", \"batches\": %" PRId64 ", \"rows\": %" PRId64
           ", \"seconds\": %.6f, \"cpuSeconds\": %.6f}\n",
           all.n_orders, n_batches, n_rows, ended - began, cpu_seconds() - cpu_began);
    sqlite3_finalize(upsert);
    sqlite3_close(db);
    for (int64_t i = 0; i < n_batches; i++)
        free(batches[i].sums);
    free(batches);
    free(keys);
    return 0;
}
