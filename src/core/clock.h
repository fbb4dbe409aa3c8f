/* clock.h - monotonic time and deadlines, in nanoseconds. Wall-clock steps have no effect. */
#ifndef EPX_CORE_CLOCK_H
#define EPX_CORE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define EPX_NS_PER_MS UINT64_C(1000000)
#define EPX_NEVER UINT64_MAX

static inline uint64_t epx_clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* now + ms, saturating: a huge timeout means never. */
static inline uint64_t epx_deadline(uint64_t now, uint64_t ms)
{
    if (ms > (EPX_NEVER - now) / EPX_NS_PER_MS)
        return EPX_NEVER;
    return now + ms * EPX_NS_PER_MS;
}

/* Milliseconds left, rounded up, for poll() and epoll_wait(); at most limit_ms. */
static inline int epx_deadline_left_ms(uint64_t deadline, uint64_t now, int limit_ms)
{
    uint64_t left;

    if (deadline <= now)
        return 0;
    left = (deadline - now + EPX_NS_PER_MS - 1) / EPX_NS_PER_MS;
    return left < (uint64_t)limit_ms ? (int)left : limit_ms;
}

#endif /* EPX_CORE_CLOCK_H */
