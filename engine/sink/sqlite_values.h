/* One INSERT of many rows made from an INSERT of one. */
#ifndef MILL_SQLITE_VALUES_H
#define MILL_SQLITE_VALUES_H

#include <rmq/base.h>

/* The statement `sql`, which has parameters ?1 to ?n_parameters, with its VALUES list `n_rows`
 * times over: row r (from 0) has the parameters r * n_parameters + 1 and so on. *out_sql is NULL if
 * `sql` is not known to mean the same for many rows as once for each; free it with rmq_free.
 * Errors: NOMEM. */
RMQ_MUST_CHECK rmq_status mill_sqlite_repeat_values(const char *sql, int n_parameters, int n_rows,
                                                    char **out_sql, rmq_error *err);

#endif
