/* size.h - checked arithmetic on counts and sizes: false means that the result does not fit. */
#ifndef EPX_CORE_SIZE_H
#define EPX_CORE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool epx_mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out) && *out <= (size_t)INT64_MAX;
}

static inline bool epx_add_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out) && *out <= (size_t)INT64_MAX;
}

/* The next multiple of align, a power of two. The caller has checked that it fits. */
static inline size_t epx_align(size_t n, size_t align)
{
    return (n + align - 1) & ~(align - 1);
}

static inline size_t epx_div_up(size_t a, size_t b)
{
    return a / b + (a % b != 0);
}

#endif /* EPX_CORE_SIZE_H */
