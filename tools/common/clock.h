/* clock.h - monotonic time for measurements. */
#ifndef TOOLS_COMMON_CLOCK_H
#define TOOLS_COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static inline double clock_us_since(uint64_t start_ns)
{
    return (double)(clock_ns() - start_ns) * 1e-3;
}

#endif /* TOOLS_COMMON_CLOCK_H */
