/* gemm_avx2.c - the inner loops for AVX2: 8 outputs per vector, 4 rows x 16 outputs in registers.
 */
#include "kernels/gemm_set.h"

#if EPX_ISA_X86
#include <immintrin.h>

#define LANES 8u

/* 8 x 8 words: out[j] holds word j of each in[i]. */
EPX_TARGET_AVX2 EPX_BODY void transpose(const __m256i *in, __m256i *out)
{
    __m256i pairs[8], quads[8];

    for (int i = 0; i < 8; i += 2) {
        pairs[i] = _mm256_unpacklo_epi32(in[i], in[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_epi32(in[i], in[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        quads[i] = _mm256_unpacklo_epi64(pairs[i], pairs[i + 2]);
        quads[i + 1] = _mm256_unpackhi_epi64(pairs[i], pairs[i + 2]);
        quads[i + 2] = _mm256_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
        quads[i + 3] = _mm256_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
    /* quads[4q + w], lane l of 128 bits: word 4l + w of in[4q..4q + 3] */
    for (int w = 0; w < 4; w++) {
        out[w] = _mm256_permute2x128_si256(quads[w], quads[4 + w], 0x20);
        out[4 + w] = _mm256_permute2x128_si256(quads[w], quads[4 + w], 0x31);
    }
}

/* A word holds two elements of a weight row, k and k + 1: 16 of them at a time. */
EPX_TARGET_AVX2 static void widen_bf16(const uint16_t *weights, size_t stride, uint32_t depth,
                                       uint32_t cols, float *panel)
{
    const __m256i upper = _mm256_set1_epi32((int)0xffff0000u);
    __m256i in[LANES], out[LANES];

    for (uint32_t c = 0; c < cols; c += LANES)
        for (uint32_t k = 0; k < depth; k += 2 * LANES) {
            for (uint32_t i = 0; i < LANES; i++)
                in[i] = _mm256_loadu_si256((const void *)(weights + (c + i) * stride + k));
            transpose(in, out);
            for (uint32_t j = 0; j < LANES; j++) {
                float *to = panel + (k + 2 * j) * EPX_GEMM_COLS + c;

                _mm256_storeu_si256((void *)to, _mm256_slli_epi32(out[j], 16));
                _mm256_storeu_si256((void *)(to + EPX_GEMM_COLS), _mm256_and_si256(out[j], upper));
            }
        }
}

EPX_TARGET_AVX2 static void widen_f32(const float *weights, size_t stride, uint32_t depth,
                                      uint32_t cols, float *panel)
{
    __m256i in[LANES], out[LANES];

    for (uint32_t c = 0; c < cols; c += LANES)
        for (uint32_t k = 0; k < depth; k += LANES) {
            for (uint32_t i = 0; i < LANES; i++)
                in[i] = _mm256_loadu_si256((const void *)(weights + (c + i) * stride + k));
            transpose(in, out);
            for (uint32_t j = 0; j < LANES; j++)
                _mm256_storeu_si256((void *)(panel + (k + j) * EPX_GEMM_COLS + c), out[j]);
        }
}

/* `count` rows, a constant, times 16 of the panel's outputs. */
EPX_TARGET_AVX2 EPX_BODY void multiply_rows(const float *rows, const float *panel, uint32_t depth,
                                            uint32_t count, float *sums)
{
    __m256 acc[4][2];

    for (uint32_t r = 0; r < count; r++) {
        acc[r][0] = _mm256_loadu_ps(sums + r * EPX_GEMM_COLS);
        acc[r][1] = _mm256_loadu_ps(sums + r * EPX_GEMM_COLS + LANES);
    }
    for (uint32_t k = 0; k < depth; k++) {
        const __m256 weight0 = _mm256_loadu_ps(panel + k * EPX_GEMM_COLS);
        const __m256 weight1 = _mm256_loadu_ps(panel + k * EPX_GEMM_COLS + LANES);

        for (uint32_t r = 0; r < count; r++) {
            const __m256 x = _mm256_set1_ps(rows[r * EPX_GEMM_DEPTH + k]);

            acc[r][0] = _mm256_add_ps(acc[r][0], _mm256_mul_ps(x, weight0));
            acc[r][1] = _mm256_add_ps(acc[r][1], _mm256_mul_ps(x, weight1));
        }
    }
    for (uint32_t r = 0; r < count; r++) {
        _mm256_storeu_ps(sums + r * EPX_GEMM_COLS, acc[r][0]);
        _mm256_storeu_ps(sums + r * EPX_GEMM_COLS + LANES, acc[r][1]);
    }
}

EPX_TARGET_AVX2 static void multiply(const float *rows, const float *panel, uint32_t depth,
                                     uint32_t num_rows, float *sums)
{
    uint32_t r;

    for (uint32_t c = 0; c < EPX_GEMM_COLS; c += 2 * LANES) {
        for (r = 0; r + 4 <= num_rows; r += 4)
            multiply_rows(rows + r * EPX_GEMM_DEPTH, panel + c, depth, 4,
                          sums + r * EPX_GEMM_COLS + c);
        for (; r < num_rows; r++)
            multiply_rows(rows + r * EPX_GEMM_DEPTH, panel + c, depth, 1,
                          sums + r * EPX_GEMM_COLS + c);
    }
}

const epx_gemm_set epx_gemm_avx2 = {
    .grain = 16, .widen_bf16 = widen_bf16, .widen_f32 = widen_f32, .multiply = multiply};
#endif
