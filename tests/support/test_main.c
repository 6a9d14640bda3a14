/* The main of every test program: runs its suite and prints TAP. Each case is forked, so that a
 * crash, a leak or a race fails that case alone (CK_FORK=no for a debugger). Returns 0 once the
 * plan is printed: TAP says what failed. */
#include "support.h"

#include <signal.h>
#include <stdlib.h>

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    setenv("CK_DEFAULT_TIMEOUT", "60", 0); /* a loaded machine is slow, and meson has limits too */
    SRunner *runner = srunner_create(test_suite());
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    srunner_free(runner);
    return EXIT_SUCCESS;
}
