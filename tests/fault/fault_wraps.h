/* Between fault_calls.c and the wrap_*.c. */
#ifndef FAULT_WRAPS_H
#define FAULT_WRAPS_H

/* The allocators of OpenSSL, libevent and SQLite, and SQLite's system calls, are replaced by ones
 * that ask fault_strikes. */
void fault_wrap_libraries(void);
void fault_wrap_sqlite(void);

/* A function that stands in front of `name`: `failure` runs where it has to fail (`way` says how),
 * else it is called. ld's --wrap=name gives both names. */
#define FAULT_WRAP(returns, name, parameters, arguments, call, failure)                            \
    returns __real_##name parameters;                                                              \
    returns __wrap_##name parameters;                                                              \
    returns __wrap_##name parameters                                                               \
    {                                                                                              \
        const fault_way *way = fault_strikes(FAULT_CALL_##call);                                   \
        if (way != NULL) {                                                                         \
            failure;                                                                               \
        }                                                                                          \
        return __real_##name arguments;                                                            \
    }

#endif
