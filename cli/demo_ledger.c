/* The demo's ledger: what was sent and acknowledged, and how the database compares.
 *
 * Orders are a function of the seed and their number, so that the books need a byte per order. The
 * comparison reads the database with SQLite alone: no part of the engine vouches for itself. */
#include "demo.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

rmq_status mill_ledger_init(mill_ledger *ledger, uint64_t seed, int64_t n_orders, int64_t n_keys,
                            rmq_error *err)
{
    ledger->seed = seed;
    ledger->n_orders = n_orders;
    ledger->n_keys = n_keys;
    atomic_init(&ledger->sent, 0);
    atomic_init(&ledger->allowed, n_orders);
    ledger->acknowledged = rmq_calloc((size_t)n_orders + 1, sizeof(*ledger->acknowledged));
    if (ledger->acknowledged == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "out of memory");
    return RMQ_OK;
}

void mill_ledger_deinit(mill_ledger *ledger)
{
    rmq_free(ledger->acknowledged);
    ledger->acknowledged = NULL;
}

static uint64_t mixed(uint64_t value)
{
    value += 0x9e3779b97f4a7c15u;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

int64_t mill_ledger_customer(const mill_ledger *ledger, int64_t number)
{
    return (int64_t)(mixed(ledger->seed ^ (uint64_t)number) % (uint64_t)ledger->n_keys);
}

int64_t mill_ledger_cost(const mill_ledger *ledger, int64_t number)
{
    return 1 + (int64_t)(mixed(ledger->seed + 1 + (uint64_t)number) % 1000);
}

/* Number behind a prefix such as "o-"; -1 if the text is something else. */
static int64_t number_of(const char *text, const char *prefix, int64_t limit)
{
    size_t len = strlen(prefix);
    char *end = NULL;
    if (text == NULL || strncmp(text, prefix, len) != 0)
        return -1;
    long long number = strtoll(text + len, &end, 10);
    return *end == '\0' && end != text + len && number >= 0 && number < limit ? number : -1;
}

static rmq_status sqlite_problem(sqlite3 *database, const char *path, rmq_error *err)
{
    return rmq_error_set(err, RMQ_SINK, "%s: %s", path, sqlite3_errmsg(database));
}

/* Walks a two-column table: calls `each` with text and number. */
static rmq_status walk(sqlite3 *database, const char *path, const char *sql,
                       void (*each)(void *ctx, const char *text, int64_t number), void *ctx,
                       rmq_error *err)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(database, sql, -1, &statement, NULL) != SQLITE_OK)
        return sqlite_problem(database, path, err);
    int result;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW)
        each(ctx, (const char *)sqlite3_column_text(statement, 0),
             sqlite3_column_int64(statement, 1));
    rmq_status status = result == SQLITE_DONE ? RMQ_OK : sqlite_problem(database, path, err);
    sqlite3_finalize(statement);
    return status;
}

typedef struct comparison {
    const mill_ledger *ledger;
    int64_t *times;
    int64_t *totals;
    mill_balance balance;
} comparison;

static void see_order(void *ctx, const char *text, int64_t times)
{
    comparison *self = ctx;
    int64_t number = number_of(text, "o-", self->ledger->n_orders);
    if (number < 0 || self->ledger->acknowledged[number] == 0)
        self->balance.unknown += times;
    else
        self->times[number] += times;
}

static void see_total(void *ctx, const char *text, int64_t total)
{
    comparison *self = ctx;
    int64_t customer = number_of(text, "c-", self->ledger->n_keys);
    if (customer < 0)
        self->balance.wrong_keys++;
    else
        self->totals[customer] -= total;
}

static void compare(comparison *self)
{
    for (int64_t i = 0; i < self->ledger->n_orders; i++) {
        if (self->ledger->acknowledged[i] == 0)
            continue;
        self->totals[mill_ledger_customer(self->ledger, i)] += mill_ledger_cost(self->ledger, i);
        self->balance.lost += self->times[i] < 1;
        self->balance.twice += self->times[i] > 1 ? self->times[i] - 1 : 0;
    }
    for (int64_t i = 0; i < self->ledger->n_keys; i++)
        self->balance.wrong_keys += self->totals[i] != 0;
}

static rmq_status read_books(const char *path, comparison *self, rmq_error *err)
{
    sqlite3 *database = NULL;
    rmq_status status = RMQ_OK;
    if (sqlite3_open_v2(path, &database, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        status = sqlite_problem(database, path, err);
    else
        sqlite3_busy_timeout(database, 10000);
    if (status == RMQ_OK)
        status = walk(database, path, "SELECT orderNo, times FROM applied", see_order, self, err);
    if (status == RMQ_OK)
        status = walk(database, path, "SELECT customer, total FROM totals", see_total, self, err);
    sqlite3_close(database);
    return status;
}

rmq_status mill_ledger_compare(const mill_ledger *ledger, const char *path,
                               mill_balance *out_balance, rmq_error *err)
{
    rmq_status status = RMQ_OK;
    comparison self;
    memset(&self, 0, sizeof(self));
    self.ledger = ledger;
    self.times = rmq_calloc((size_t)ledger->n_orders + 1, sizeof(int64_t));
    self.totals = rmq_calloc((size_t)ledger->n_keys + 1, sizeof(int64_t));
    if (self.times == NULL || self.totals == NULL) {
        status = rmq_error_set(err, RMQ_NOMEM, "out of memory");
        goto out;
    }
    status = read_books(path, &self, err);
    if (status == RMQ_OK) {
        compare(&self);
        *out_balance = self.balance;
    }
out:
    rmq_free(self.times);
    rmq_free(self.totals);
    return status;
}
