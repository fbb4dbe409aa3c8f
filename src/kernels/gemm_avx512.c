/* gemm_avx512.c - the inner loops for AVX-512: 16 outputs per vector, 8 rows x 32 outputs in
 * registers. */
#include "kernels/gemm_set.h"

#if EPX_ISA_X86
#include <immintrin.h>

#define LANES 16u

/* 16 x 16 words: out[j] holds word j of each in[i]. */
EPX_TARGET_AVX512 EPX_BODY void transpose(const __m512i *in, __m512i *out)
{
    __m512i pairs[16], quads[16];

    for (int i = 0; i < 16; i += 2) {
        pairs[i] = _mm512_unpacklo_epi32(in[i], in[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi32(in[i], in[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        quads[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
        quads[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
        quads[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
        quads[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
    /* quads[4q + w], lane l of 128 bits: word 4l + w of in[4q..4q + 3] */
    for (int w = 0; w < 4; w++) {
        __m512i low01 = _mm512_shuffle_i32x4(quads[w], quads[4 + w], 0x44);
        __m512i high01 = _mm512_shuffle_i32x4(quads[w], quads[4 + w], 0xee);
        __m512i low23 = _mm512_shuffle_i32x4(quads[8 + w], quads[12 + w], 0x44);
        __m512i high23 = _mm512_shuffle_i32x4(quads[8 + w], quads[12 + w], 0xee);

        out[w] = _mm512_shuffle_i32x4(low01, low23, 0x88);
        out[4 + w] = _mm512_shuffle_i32x4(low01, low23, 0xdd);
        out[8 + w] = _mm512_shuffle_i32x4(high01, high23, 0x88);
        out[12 + w] = _mm512_shuffle_i32x4(high01, high23, 0xdd);
    }
}

/* A word holds two elements of a weight row, k and k + 1: 32 of them at a time. */
EPX_TARGET_AVX512 static void widen_bf16(const uint16_t *weights, size_t stride, uint32_t depth,
                                         uint32_t cols, float *panel)
{
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000u);
    __m512i in[LANES], out[LANES];

    for (uint32_t c = 0; c < cols; c += LANES)
        for (uint32_t k = 0; k < depth; k += 2 * LANES) {
            for (uint32_t i = 0; i < LANES; i++)
                in[i] = _mm512_loadu_si512(weights + (c + i) * stride + k);
            transpose(in, out);
            for (uint32_t j = 0; j < LANES; j++) {
                float *to = panel + (k + 2 * j) * EPX_GEMM_COLS + c;

                _mm512_storeu_si512(to, _mm512_slli_epi32(out[j], 16));
                _mm512_storeu_si512(to + EPX_GEMM_COLS, _mm512_and_si512(out[j], upper));
            }
        }
}

EPX_TARGET_AVX512 static void widen_f32(const float *weights, size_t stride, uint32_t depth,
                                        uint32_t cols, float *panel)
{
    __m512i in[LANES], out[LANES];

    for (uint32_t c = 0; c < cols; c += LANES)
        for (uint32_t k = 0; k < depth; k += LANES) {
            for (uint32_t i = 0; i < LANES; i++)
                in[i] = _mm512_loadu_si512(weights + (c + i) * stride + k);
            transpose(in, out);
            for (uint32_t j = 0; j < LANES; j++)
                _mm512_storeu_si512(panel + (k + j) * EPX_GEMM_COLS + c, out[j]);
        }
}

/* `count` rows, a constant, times the panel's 32 outputs. */
EPX_TARGET_AVX512 EPX_BODY void multiply_rows(const float *rows, const float *panel, uint32_t depth,
                                              uint32_t count, float *sums)
{
    __m512 acc[8][2];

    for (uint32_t r = 0; r < count; r++) {
        acc[r][0] = _mm512_loadu_ps(sums + r * EPX_GEMM_COLS);
        acc[r][1] = _mm512_loadu_ps(sums + r * EPX_GEMM_COLS + LANES);
    }
    for (uint32_t k = 0; k < depth; k++) {
        const __m512 weight0 = _mm512_loadu_ps(panel + k * EPX_GEMM_COLS);
        const __m512 weight1 = _mm512_loadu_ps(panel + k * EPX_GEMM_COLS + LANES);

        for (uint32_t r = 0; r < count; r++) {
            const __m512 x = _mm512_set1_ps(rows[r * EPX_GEMM_DEPTH + k]);

            acc[r][0] = _mm512_add_ps(acc[r][0], _mm512_mul_ps(x, weight0));
            acc[r][1] = _mm512_add_ps(acc[r][1], _mm512_mul_ps(x, weight1));
        }
    }
    for (uint32_t r = 0; r < count; r++) {
        _mm512_storeu_ps(sums + r * EPX_GEMM_COLS, acc[r][0]);
        _mm512_storeu_ps(sums + r * EPX_GEMM_COLS + LANES, acc[r][1]);
    }
}

EPX_TARGET_AVX512 static void multiply(const float *rows, const float *panel, uint32_t depth,
                                       uint32_t num_rows, float *sums)
{
    uint32_t r = 0;

    for (; r + 8 <= num_rows; r += 8)
        multiply_rows(rows + r * EPX_GEMM_DEPTH, panel, depth, 8, sums + r * EPX_GEMM_COLS);
    for (; r + 4 <= num_rows; r += 4)
        multiply_rows(rows + r * EPX_GEMM_DEPTH, panel, depth, 4, sums + r * EPX_GEMM_COLS);
    for (; r + 2 <= num_rows; r += 2)
        multiply_rows(rows + r * EPX_GEMM_DEPTH, panel, depth, 2, sums + r * EPX_GEMM_COLS);
    for (; r < num_rows; r++)
        multiply_rows(rows + r * EPX_GEMM_DEPTH, panel, depth, 1, sums + r * EPX_GEMM_COLS);
}

const epx_gemm_set epx_gemm_avx512 = {
    .grain = 32, .widen_bf16 = widen_bf16, .widen_f32 = widen_f32, .multiply = multiply};
#endif
