/* num.h - elements of an epx_type as floats and back, one rounding to nearest, ties to even.
 *
 * Written from the formats' definitions, not from the library, which is checked against this. */
#ifndef TOOLS_COMMON_NUM_H
#define TOOLS_COMMON_NUM_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <epx/exchange.h>

static inline uint32_t num_bits(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static inline float num_float(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* bf16 is the upper half of a float. */
static inline uint16_t num_bf16(float value)
{
    uint32_t bits = num_bits(value), upper = bits >> 16, lower = bits & 0xffffu;

    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(upper | 0x40u); /* stays a NaN when the lower half held all of it */
    if (lower > 0x8000u || (lower == 0x8000u && (upper & 1u)))
        upper++;
    return (uint16_t)upper;
}

/* f16: 11 significant bits, multiples of 2^-24 at least, infinite from 65520. */
static inline uint16_t num_f16(float value)
{
    uint16_t sign = (uint16_t)((num_bits(value) >> 16) & 0x8000u);
    double size = fabs((double)value), quantum;
    int exponent;

    if (isnan(value))
        return (uint16_t)(sign | 0x7e00u | ((num_bits(value) >> 13) & 0x3ffu));
    if (size >= 65520.0)
        return (uint16_t)(sign | 0x7c00u);
    frexp(size, &exponent); /* size < 2^exponent */
    if (size == 0.0 || exponent < -13)
        exponent = -13;
    quantum = ldexp(1.0, exponent - 11);
    /* Counted in quanta the significand carries into the exponent by itself. */
    return (uint16_t)(sign + ((exponent + 13) << 10) + (int)nearbyint(size / quantum));
}

static inline float num_of_f16(uint16_t value)
{
    int exponent = (value >> 10) & 31, fraction = value & 0x3ff;
    double size = exponent == 0 ? ldexp(fraction, -24) : ldexp(fraction + 1024, exponent - 25);

    if (exponent == 31)
        size = fraction == 0 ? (double)INFINITY : (double)NAN;
    return (float)((value & 0x8000) ? -size : size);
}

static inline float num_get(epx_type type, const void *row, size_t i)
{
    if (type == EPX_TYPE_F32)
        return ((const float *)row)[i];
    if (type == EPX_TYPE_BF16)
        return num_float((uint32_t)((const uint16_t *)row)[i] << 16);
    return num_of_f16(((const uint16_t *)row)[i]);
}

static inline void num_put(epx_type type, void *row, size_t i, float value)
{
    if (type == EPX_TYPE_F32)
        ((float *)row)[i] = value;
    else
        ((uint16_t *)row)[i] = type == EPX_TYPE_BF16 ? num_bf16(value) : num_f16(value);
}

/* What `value` becomes when it is stored as `type`. */
static inline float num_round(epx_type type, float value)
{
    if (type == EPX_TYPE_F32)
        return value;
    if (type == EPX_TYPE_BF16)
        return num_float((uint32_t)num_bf16(value) << 16);
    return num_of_f16(num_f16(value));
}

#endif /* TOOLS_COMMON_NUM_H */
