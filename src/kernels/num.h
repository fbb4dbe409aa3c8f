/* num.h - 16-bit floating point: conversions with round to nearest, ties to even. */
#ifndef EPX_KERNELS_NUM_H
#define EPX_KERNELS_NUM_H

#include <stdint.h>
#include <string.h>

static inline float epx_float_of_bits(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static inline uint32_t epx_bits_of_float(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static inline float epx_float_of_bf16(uint16_t value)
{
    return epx_float_of_bits((uint32_t)value << 16);
}

/* A NaN stays a NaN (quiet); values beyond the largest become infinity. Branch-free. */
static inline uint16_t epx_bf16_of_float(float value)
{
    uint32_t bits = epx_bits_of_float(value);
    uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    uint32_t nan = (bits >> 16) | 0x40u;

    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

static inline float epx_float_of_f16(uint16_t value)
{
    uint32_t sign = (uint32_t)(value & 0x8000u) << 16, exponent = (value >> 10) & 31u,
             fraction = value & 0x3ffu;

    if (exponent == 31)
        return epx_float_of_bits(sign | 0x7f800000u | (fraction << 13));
    if (exponent == 0) /* zero or subnormal: fraction x 2^-24 is exact in float */
        return epx_float_of_bits(sign | epx_bits_of_float((float)fraction * 0x1p-24f));
    return epx_float_of_bits(sign | ((exponent + 112) << 23) | (fraction << 13));
}

static inline uint16_t epx_f16_of_float(float value)
{
    uint32_t bits = epx_bits_of_float(value), sign = (bits >> 16) & 0x8000u,
             rest = bits & 0x7fffffffu;

    if (rest > 0x7f800000u) /* NaN */
        return (uint16_t)(sign | 0x7e00u | ((rest >> 13) & 0x3ffu));
    if (rest >= 0x477ff000u) /* rounds to 65536 or more */
        return (uint16_t)(sign | 0x7c00u);
    if (rest < 0x38800000u) { /* subnormal: adding 0.5 aligns the fraction to units of 2^-24 */
        uint32_t shifted = epx_bits_of_float(epx_float_of_bits(rest) + 0.5f);

        return (uint16_t)(sign | (shifted - 0x3f000000u));
    }
    rest += 0xfffu + ((rest >> 13) & 1u);
    return (uint16_t)(sign | ((rest - 0x38000000u) >> 13));
}

#endif /* EPX_KERNELS_NUM_H */
