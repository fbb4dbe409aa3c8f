/* expf.h - e^x in FP32, without branches, calls or fused operations: the same bits from every
 * compiler and instruction set, in scalar code and in vectors. At most 1 ulp from the true value
 * where that is a normal number (tested over every argument). Infinity, zero and NaN as usual. */
#ifndef EPX_KERNELS_EXPF_H
#define EPX_KERNELS_EXPF_H

#include "kernels/num.h"

static inline float epx_expf(float x)
{
    const float shift = 0x1.8p23f; /* adding it leaves the nearest integer in the low bits */
    float shifted, n, r, p;
    uint32_t power, half;

    x = x > 89.0f ? 89.0f : x; /* already infinite */
    x = x < -104.0f ? -104.0f : x;
    shifted = x * 0x1.715476p0f + shift; /* x / ln 2 */
    n = shifted - shift;
    r = x - n * 0x1.63p-1f - n * -0x1.bd0106p-13f; /* x - n ln 2, |r| <= ln 2 / 2 */
    p = 0x1.6a23dp-10f;                            /* (e^r - 1 - r) / r^2, minimax */
    p = p * r + 0x1.123a2p-7f;
    p = p * r + 0x1.5558f2p-5f;
    p = p * r + 0x1.555492p-3f;
    p = p * r + 0x1.fffffcp-2f;
    p = p * (r * r) + r + 1.0f;
    /* 2^n as two factors, each within range for every n from -150 to 128 */
    power = epx_bits_of_float(shifted) - epx_bits_of_float(shift) + 2 * 127;
    half = power >> 1;
    return p * epx_float_of_bits(half << 23) * epx_float_of_bits((power - half) << 23);
}

/* 1 / (1 + e^-x), within 3 ulp. */
static inline float epx_sigmoidf(float x)
{
    return 1.0f / (1.0f + epx_expf(-x));
}

#endif /* EPX_KERNELS_EXPF_H */
