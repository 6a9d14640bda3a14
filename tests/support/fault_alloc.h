/* An allocator that fails on demand, to be put under the whole library.
 *
 *   for (int64_t nth = 0;; nth++) {
 *       fault_alloc_fail(nth);
 *       status = operation();                       // and free what it made
 *       ck_assert_int_eq(fault_alloc_live(), 0);    // nothing leaked
 *       if (fault_alloc_failed() == 0)
 *           break;                                  // it no longer reaches the nth: it worked
 *       ck_status(status, RMQ_NOMEM);
 *   }
 *   fault_alloc_off();
 *
 * Thread-safe once installed; install it before the library is used by another thread. */
#ifndef TEST_FAULT_ALLOC_H
#define TEST_FAULT_ALLOC_H

#include <stdint.h>

/* Installs the allocator, sets all counts to 0, and lets the nth allocation from now (0 is the
 * next) fail, and only that one; a negative `nth` lets none fail. */
void fault_alloc_fail(int64_t nth);

/* As fault_alloc_fail, but every allocation from the nth on fails. */
void fault_alloc_fail_from(int64_t nth);

/* As fault_alloc_fail, of an allocator that is installed, while other threads are using it. Counts
 * of what is live go on. */
void fault_alloc_rearm(int64_t nth);

/* The default allocator again. Whatever is live may still be freed. */
void fault_alloc_off(void);

/* Allocations asked for since then (malloc, calloc, and realloc), and how many of them failed. */
int64_t fault_alloc_count(void);
int64_t fault_alloc_failed(void);

/* Blocks allocated since then and not freed, and the bytes in them. Freeing a block that is older
 * makes it wrong. */
int64_t fault_alloc_live(void);
int64_t fault_alloc_live_bytes(void);
/* The most bytes that were live at once. */
int64_t fault_alloc_peak_bytes(void);

#endif
