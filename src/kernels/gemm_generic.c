/* gemm_generic.c - the inner loops in plain C with 16-byte vectors, for any machine. */
#include "kernels/gemm_set.h"

#include <string.h>

#include "kernels/num.h"

typedef float lanes __attribute__((vector_size(16)));

#define LANES 4u
#define WIDE 2u /* vectors across outputs per step */

static void widen_bf16(const uint16_t *weights, size_t stride, uint32_t depth, uint32_t cols,
                       float *panel)
{
    for (uint32_t c = 0; c < cols; c++)
        for (uint32_t k = 0; k < depth; k++)
            panel[k * EPX_GEMM_COLS + c] = epx_float_of_bf16(weights[c * stride + k]);
}

static void widen_f32(const float *weights, size_t stride, uint32_t depth, uint32_t cols,
                      float *panel)
{
    for (uint32_t c = 0; c < cols; c++)
        for (uint32_t k = 0; k < depth; k++)
            panel[k * EPX_GEMM_COLS + c] = weights[c * stride + k];
}

/* `count` rows, a constant, times WIDE vectors of outputs. */
EPX_BODY void multiply_rows(const float *rows, const float *panel, uint32_t depth, uint32_t count,
                            float *sums)
{
    lanes acc[4][WIDE], weight[WIDE];

    for (uint32_t r = 0; r < count; r++)
        memcpy(acc[r], sums + r * EPX_GEMM_COLS, sizeof(acc[r]));
    for (uint32_t k = 0; k < depth; k++) {
        memcpy(weight, panel + k * EPX_GEMM_COLS, sizeof(weight));
        for (uint32_t r = 0; r < count; r++)
            for (uint32_t v = 0; v < WIDE; v++)
                acc[r][v] += weight[v] * rows[r * EPX_GEMM_DEPTH + k];
    }
    for (uint32_t r = 0; r < count; r++)
        memcpy(sums + r * EPX_GEMM_COLS, acc[r], sizeof(acc[r]));
}

static void multiply(const float *rows, const float *panel, uint32_t depth, uint32_t num_rows,
                     float *sums)
{
    uint32_t r;

    for (uint32_t c = 0; c < EPX_GEMM_COLS; c += LANES * WIDE) {
        for (r = 0; r + 4 <= num_rows; r += 4)
            multiply_rows(rows + r * EPX_GEMM_DEPTH, panel + c, depth, 4,
                          sums + r * EPX_GEMM_COLS + c);
        for (; r < num_rows; r++)
            multiply_rows(rows + r * EPX_GEMM_DEPTH, panel + c, depth, 1,
                          sums + r * EPX_GEMM_COLS + c);
    }
}

const epx_gemm_set epx_gemm_generic = {
    .grain = 1, .widen_bf16 = widen_bf16, .widen_f32 = widen_f32, .multiply = multiply};
