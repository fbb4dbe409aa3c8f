/* boots.h - for tests with real boots: open one by a job in a forked rank, hear with a deadline. */
#ifndef EPX_TESTS_SUPPORT_BOOTS_H
#define EPX_TESTS_SUPPORT_BOOTS_H

#include <string.h>

#include "comm/boot/boot.h"
#include "core/clock.h"
#include "core/mem.h"
#include "support/ranks.h"

#define BOOT_TIMEOUT_MS 5000u

static inline epx_comm_config boot_config(int rank, int world, const epx_job *job)
{
    return (epx_comm_config){.struct_size = sizeof(epx_comm_config),
                             .rank = rank,
                             .world_size = world,
                             .job = job,
                             .timeout_ms = BOOT_TIMEOUT_MS};
}

/* In a rank: an open boot of the job, or the end of the rank. */
static inline epx_boot *boot_open(int rank, int world, const epx_job *job)
{
    epx_comm_config cfg = boot_config(rank, world, job);
    epx_boot *boot = NULL;

    RANK_OK(epx_boot_open(&cfg, &boot));
    RANK_CHECK(boot->rank == rank && boot->size == world);
    return boot;
}

static inline void boot_barrier(epx_boot *boot)
{
    RANK_OK(epx_boot_allgather(boot, NULL, 0, NULL, BOOT_TIMEOUT_MS));
}

/* Steps until a notice is heard or ms have passed. */
static inline bool boot_hear(epx_boot *boot, epx_notice *notice, uint64_t ms)
{
    uint64_t until = epx_deadline(epx_clock_ns(), ms);

    for (;;) {
        boot->ops->step(boot);
        if (boot->ops->hear(boot, notice))
            return true;
        if (epx_clock_ns() >= until)
            return false;
        boot->ops->wait(boot, until);
    }
}

/* Closes after everybody is here, and finds leaks. */
static inline void boot_leave(epx_boot *boot)
{
    boot_barrier(boot);
    epx_boot_close(boot, true);
    RANK_CHECK(epx_mem_read().live == 0);
}

#endif /* EPX_TESTS_SUPPORT_BOOTS_H */
