/* rng.h - splitmix64 (Steele, Lea, Flood 2014): the same stream on every machine. */
#ifndef TOOLS_COMMON_RNG_H
#define TOOLS_COMMON_RNG_H

#include <stdint.h>

__extension__ typedef unsigned __int128 tool_u128;

static inline uint64_t tool_rng_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline uint64_t tool_rng_next(uint64_t *state)
{
    return tool_rng_mix(*state += UINT64_C(0x9e3779b97f4a7c15));
}

/* The start of a stream of its own for (seed, a, b). */
static inline uint64_t tool_rng_seed(uint64_t seed, uint64_t a, uint64_t b)
{
    uint64_t state = seed + UINT64_C(0x9e3779b97f4a7c15);

    state = tool_rng_mix(state) + a + UINT64_C(0xd1b54a32d192ed03);
    state = tool_rng_mix(state) + b + UINT64_C(0x8cb92ba72f3d8dd7);
    return tool_rng_mix(state);
}

/* Uniform in [0, n). */
static inline uint64_t tool_rng_below(uint64_t *state, uint64_t n)
{
    return (uint64_t)(((tool_u128)tool_rng_next(state) * n) >> 64);
}

/* Uniform in [-1, 1), exact in float. */
static inline float tool_rng_signed(uint64_t *state)
{
    return (float)(int32_t)(tool_rng_next(state) >> 40) * 0x1p-23f - 1.0f;
}

#endif /* TOOLS_COMMON_RNG_H */
