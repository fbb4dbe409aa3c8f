/* rng.h - splitmix64 (Steele, Lea, Flood 2014): seeds, simulation, test data. Not for secrets. */
#ifndef EPX_CORE_RNG_H
#define EPX_CORE_RNG_H

#include <stdint.h>

static inline uint64_t epx_rng_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Uniform in [0, n); the bias of the multiply-shift is below 2^-32 for n < 2^32. */
static inline uint64_t epx_rng_below(uint64_t *state, uint64_t n)
{
    __extension__ typedef unsigned __int128 wide; /* not ISO C, but in every compiler we take */

    return (uint64_t)(((wide)epx_rng_next(state) * n) >> 64);
}

/* Uniform in [0, 1). */
static inline double epx_rng_unit(uint64_t *state)
{
    return (double)(epx_rng_next(state) >> 11) * 0x1.0p-53;
}

#endif /* EPX_CORE_RNG_H */
