/* What test programs share: the suite that main runs, golden vectors, temporary directories. */
#ifndef TEST_SUPPORT_H
#define TEST_SUPPORT_H

#include <check.h>
#include <stddef.h>
#include <stdint.h>

#include <rmq/base.h>

/* Each test program defines it. */
Suite *test_suite(void);

/* Reads tests/golden/NAME.hex (lines that begin with # are its header). Fails the test if it is not
 * there. The caller frees *out_data with free(). */
void golden_load(const char *name, uint8_t **out_data, size_t *out_len);

/* A fresh directory below $TMPDIR or /tmp, removed with all in it by temp_dir_remove. Free the name
 * with free(). */
char *temp_dir_make(void);
void temp_dir_remove(char *take_path);

/* Fails the test with the error's text unless `status` is RMQ_OK. */
#define ck_ok(call, err)                                                                           \
    do {                                                                                           \
        rmq_status ck_ok_status = (call);                                                          \
        ck_assert_msg(ck_ok_status == RMQ_OK, "%s: %s: %s", #call, rmq_status_name(ck_ok_status),  \
                      (err)->text);                                                                \
    } while (0)

/* Fails the test unless `call` gives `expected`. */
#define ck_status(call, expected)                                                                  \
    do {                                                                                           \
        rmq_status ck_got = (call);                                                                \
        ck_assert_msg(ck_got == (expected), "%s: %s, expected %s", #call, rmq_status_name(ck_got), \
                      rmq_status_name(expected));                                                  \
    } while (0)

#endif
