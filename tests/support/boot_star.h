/* boot_star.h - what tests of an open star share: a fork job, and a plan that all its ranks see. */
#ifndef TESTS_SUPPORT_BOOT_STAR_H
#define TESTS_SUPPORT_BOOT_STAR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <poll.h>
#include <stdatomic.h>

#include "support/boots.h"

#define LIMIT_S 20

/* What a test and its ranks share. */
typedef struct shared {
    epx_job *job; /* each process' own copy of the pointer */
    int world;
    int victim;
    atomic_int ready;
    _Atomic uint64_t killed_ns;
} shared;

static shared *plan;

static inline int run(int world, ranks_body body)
{
    int failed;

    plan->world = world;
    atomic_store(&plan->ready, 0);
    assert_int_equal(epx_job_create(world, NULL, &plan->job), EPX_OK);
    failed = ranks_run(world, LIMIT_S, body, NULL);
    epx_job_destroy(plan->job);
    return failed;
}

static inline epx_boot *open_here(int rank)
{
    epx_boot *boot = boot_open(rank, plan->world, plan->job);

    epx_job_destroy(plan->job); /* this process' descriptor; the parent keeps its own */
    return boot;
}

static inline int make_plan(void **state)
{
    (void)state;
    plan = ranks_shared(sizeof(*plan));
    return 0;
}

#endif /* TESTS_SUPPORT_BOOT_STAR_H */
