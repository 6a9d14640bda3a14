#include "../support/support.h"

#include <stdlib.h>
#include <string.h>

#include "sink/sqlite_values.h"

typedef struct sql_case {
    const char *sql;
    int n_parameters;
    const char *expected; /* for two rows; NULL: left alone */
} sql_case;

static const sql_case cases[] = {
    {"INSERT INTO t VALUES (?1, ?2)", 2, "INSERT INTO t VALUES (?1, ?2),(?3, ?4)"},
    {"insert or ignore into t(a,b) values(?2,?1)", 2,
     "insert or ignore into t(a,b) values(?2,?1),(?4,?3)"},
    {"REPLACE INTO \"my values\" VALUES (?1, 'it''s ?1', 3)", 1,
     "REPLACE INTO \"my values\" VALUES (?1, 'it''s ?1', 3),(?2, 'it''s ?1', 3)"},
    {"INSERT INTO t VALUES (?1, ?10)", 10, "INSERT INTO t VALUES (?1, ?10),(?11, ?20)"},
    {"INSERT INTO t VALUES ((?1 + 1) * 2)\n", 1,
     "INSERT INTO t VALUES ((?1 + 1) * 2),((?2 + 1) * 2)\n"},
    {"INSERT INTO t VALUES (?1, ?2) ON CONFLICT(a) DO UPDATE SET b = max(b, excluded.b) WHERE b > "
     "0",
     2,
     "INSERT INTO t VALUES (?1, ?2),(?3, ?4) ON CONFLICT(a) DO UPDATE SET b = max(b, excluded.b) "
     "WHERE b > 0"},
    {"INSERT INTO t VALUES (?1) ON CONFLICT DO NOTHING", 1,
     "INSERT INTO t VALUES (?1),(?2) ON CONFLICT DO NOTHING"},
    /* parameters elsewhere, or of other kinds, or none */
    {"INSERT INTO t VALUES (?1) ON CONFLICT(a) DO UPDATE SET b = ?2", 2, NULL},
    {"INSERT INTO t VALUES (?, ?)", 2, NULL},
    {"INSERT INTO t VALUES (:a)", 1, NULL},
    {"INSERT INTO t VALUES (@a)", 1, NULL},
    {"INSERT INTO t VALUES ($a)", 1, NULL},
    {"INSERT INTO t VALUES (?3)", 2, NULL},
    {"INSERT INTO t VALUES (?0)", 2, NULL},
    {"INSERT INTO t VALUES (1)", 0, NULL},
    {"INSERT INTO t DEFAULT VALUES", 1, NULL},
    /* what may see the difference */
    {"INSERT INTO t VALUES (?1, (SELECT max(b) FROM t))", 1, NULL},
    {"INSERT INTO t VALUES (?1) ON CONFLICT(a) DO UPDATE SET b = (SELECT count(*) FROM t)", 1,
     NULL},
    {"INSERT INTO t SELECT ?1, ?2", 2, NULL},
    {"INSERT INTO t VALUES (?1, random())", 1, NULL},
    {"INSERT INTO t VALUES (?1) ON CONFLICT(a) DO UPDATE SET b = last_insert_rowid()", 1, NULL},
    {"INSERT INTO t VALUES (?1) ON CONFLICT(a) DO UPDATE SET b = Changes()", 1, NULL},
    {"INSERT INTO t VALUES (?1) RETURNING a", 1, NULL},
    {"WITH x AS (VALUES (1)) INSERT INTO t VALUES (?1)", 1, NULL},
    /* several rows, other statements, what is not understood */
    {"INSERT INTO t VALUES (?1), (?2)", 2, NULL},
    {"UPDATE t SET a = ?1", 1, NULL},
    {"DELETE FROM t WHERE a IN (VALUES (?1))", 1, NULL},
    {"INSERT INTO t VALUES (?1) -- , (?2)", 1, NULL},
    {"INSERT INTO t /* VALUES */ VALUES (?1)", 1, NULL},
    {"INSERT INTO [t] VALUES (?1)", 1, NULL},
    {"INSERT INTO `t` VALUES (?1)", 1, NULL},
    {"INSERT INTO t VALUES (?1);", 1, NULL},
    {"INSERT INTO t VALUES (?1", 1, NULL},
    {"INSERT INTO t VALUES ?1)", 1, NULL},
    {"INSERT INTO t VALUES (?1))", 1, NULL},
    {"INSERT INTO t VALUES (?1, 'open)", 1, NULL},
    {"INSERT INTO t VALUES (?99999999999999999999)", 1, NULL},
    {"", 1, NULL},
    {"VALUES (?1)", 1, NULL},
};

START_TEST(a_statement_is_repeated_or_left_alone)
{
    const sql_case *tried = &cases[_i];
    rmq_error err;
    char *many = NULL;
    ck_ok(mill_sqlite_repeat_values(tried->sql, tried->n_parameters, 2, &many, &err), &err);
    if (tried->expected == NULL)
        ck_assert_msg(many == NULL, "%d: %s became %s", _i, tried->sql, many);
    else
        ck_assert_msg(many != NULL && strcmp(many, tried->expected) == 0, "%d: %s became %s", _i,
                      tried->sql, many != NULL ? many : "nothing");
    rmq_free(many);
}
END_TEST

START_TEST(a_prefix_of_a_statement_is_read_to_its_end_only)
{
    const char *sql = "INSERT INTO \"t\" VALUES (?1, 'a''b', (2)) ON CONFLICT(a) DO NOTHING";
    for (size_t len = 0; len <= strlen(sql); len++) {
        char *prefix = strndup(sql, len);
        rmq_error err;
        char *many = NULL;
        ck_ok(mill_sqlite_repeat_values(prefix, 1, 3, &many, &err), &err);
        rmq_free(many);
        free(prefix);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("sqlite_values");
    TCase *tc = tcase_create("sqlite_values");
    tcase_add_loop_test(tc, a_statement_is_repeated_or_left_alone, 0,
                        (int)(sizeof(cases) / sizeof(cases[0])));
    tcase_add_test(tc, a_prefix_of_a_statement_is_read_to_its_end_only);
    suite_add_tcase(suite, tc);
    return suite;
}
