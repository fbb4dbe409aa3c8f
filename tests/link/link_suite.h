/* link_suite.h - one list of checks for every link.
 *
 * A link's test program describes itself in a link_fixture (link_seat.h), calls link_suite() and
 * may add tests of its own. What a link cannot have (windows, more ranks, ranks that can be killed)
 * is left out of its list. */
#ifndef EPX_TESTS_LINK_SUITE_H
#define EPX_TESTS_LINK_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "link/link_checks_fault.h"
#include "link/link_checks_port.h"
#include "link/link_checks_wait.h"
#include "link/link_checks_window.h"

typedef enum link_need {
    LINK_NEEDS_NOTHING,
    LINK_NEEDS_WINDOWS,
    LINK_NEEDS_NO_WINDOWS,
    LINK_NEEDS_LOOPBACK,
    LINK_NEEDS_FAULTS,
    LINK_NEEDS_PROCESSES
} link_need;

typedef struct link_case {
    const char *name;
    int32_t ranks;
    link_need need;
    link_check check;
} link_case;

static const link_case link_cases[] = {
    {"bad port arguments are refused", 1, LINK_NEEDS_NOTHING, link_check_bad_configs},
    {"there are few enough descriptors", 1, LINK_NEEDS_NOTHING, link_check_descriptors},
    {"a port to oneself works", 1, LINK_NEEDS_LOOPBACK, link_check_oneself},
    {"a rank does not sleep over its own chunk", 1, LINK_NEEDS_LOOPBACK, link_check_no_sleep_over},
    {"chunks of every size arrive in order and whole", 2, LINK_NEEDS_NOTHING, link_check_sizes},
    {"a full ring gives a slot only for a released one", 2, LINK_NEEDS_NOTHING, link_check_credits},
    {"a self-clocked port needs no credits", 2, LINK_NEEDS_NOTHING, link_check_self_clocked},
    {"chunks that come early are kept", 2, LINK_NEEDS_NOTHING, link_check_early},
    {"a port tells when it is drained", 2, LINK_NEEDS_NOTHING, link_check_drained},
    {"a chunk that is too large is refused", 2, LINK_NEEDS_NOTHING, link_check_too_large},
    {"many ports at once do not mix, 2 ranks", 2, LINK_NEEDS_NOTHING, link_check_many_ports},
    {"many ports at once do not mix, 4 ranks", 4, LINK_NEEDS_NOTHING, link_check_many_ports},
    {"all to all with random chunks, 2 ranks", 2, LINK_NEEDS_NOTHING, link_check_all_to_all},
    {"all to all with random chunks, 3 ranks", 3, LINK_NEEDS_NOTHING, link_check_all_to_all},
    {"all to all with random chunks, 5 ranks", 5, LINK_NEEDS_NOTHING, link_check_all_to_all},
    {"all to all with random chunks, 8 ranks", 8, LINK_NEEDS_NOTHING, link_check_all_to_all},
    {"lists of peers may differ", 4, LINK_NEEDS_NOTHING, link_check_star},
    {"disjoint groups do not meet", 4, LINK_NEEDS_NOTHING, link_check_groups},
    {"a sleeping receiver is woken", 2, LINK_NEEDS_NOTHING, link_check_wakes},
    {"a sleeping sender is woken by a release", 2, LINK_NEEDS_NOTHING, link_check_credit_wakes},
    {"an idle rank sleeps", 2, LINK_NEEDS_NOTHING, link_check_idle},
    {"windows are zeroed, shared and apart, 1 rank", 1, LINK_NEEDS_WINDOWS, link_check_windows},
    {"windows are zeroed, shared and apart, 4 ranks", 4, LINK_NEEDS_WINDOWS, link_check_windows},
    {"ring wakes the watcher of a window", 2, LINK_NEEDS_WINDOWS, link_check_ring_wakes},
    {"bad window arguments are refused", 2, LINK_NEEDS_WINDOWS, link_check_bad_windows},
    {"windows are refused", 2, LINK_NEEDS_NO_WINDOWS, link_check_no_windows},
    {"notices reach everyone whole, 2 ranks", 2, LINK_NEEDS_FAULTS, link_check_notices},
    {"notices reach everyone whole, 5 ranks", 5, LINK_NEEDS_FAULTS, link_check_notices},
    {"a failed rank is left alone, others go on", 3, LINK_NEEDS_FAULTS, link_check_fail},
    {"a killed rank is lost, others go on", 4, LINK_NEEDS_PROCESSES, link_check_death},
};

#define LINK_CASES (sizeof(link_cases) / sizeof(link_cases[0]))

typedef struct link_run {
    const link_fixture *fixture;
    const link_case *one;
} link_run;

static inline void link_run_case(void **state)
{
    const link_run *run = *state;
    int32_t victim = run->one->need == LINK_NEEDS_PROCESSES ? run->one->ranks - 1 : -1;

    assert_true(run->fixture->run(run->fixture, run->one->ranks, run->one->check, victim));
}

static inline bool link_applies(const link_fixture *fixture, const link_case *one)
{
    if (one->ranks > fixture->max_ranks)
        return false;
    switch (one->need) {
    case LINK_NEEDS_WINDOWS:
        return fixture->mapped;
    case LINK_NEEDS_NO_WINDOWS:
        return !fixture->mapped;
    case LINK_NEEDS_LOOPBACK:
        return fixture->loopback;
    case LINK_NEEDS_FAULTS:
        return fixture->faults;
    case LINK_NEEDS_PROCESSES:
        return fixture->faults && fixture->processes;
    case LINK_NEEDS_NOTHING:
        break;
    }
    return true;
}

/* Runs what applies to the link, then more[num_more]; the number of failures. */
static inline int link_suite(const link_fixture *fixture, const struct CMUnitTest *more,
                             size_t num_more)
{
    static struct CMUnitTest tests[LINK_CASES + 32];
    static link_run runs[LINK_CASES];
    size_t i, n = 0;

    for (i = 0; i < LINK_CASES; i++) {
        if (!link_applies(fixture, &link_cases[i]))
            continue;
        runs[n] = (link_run){.fixture = fixture, .one = &link_cases[i]};
        tests[n] = (struct CMUnitTest){
            .name = link_cases[i].name, .test_func = link_run_case, .initial_state = &runs[n]};
        n++;
    }
    for (i = 0; i < num_more && n < sizeof(tests) / sizeof(tests[0]); i++)
        tests[n++] = more[i];
    return _cmocka_run_group_tests(fixture->name, tests, n, NULL, NULL);
}

#endif /* EPX_TESTS_LINK_SUITE_H */
