/* gemm_set.h - the two inner loops of the product, once per instruction set. */
#ifndef EPX_KERNELS_GEMM_SET_H
#define EPX_KERNELS_GEMM_SET_H

#include "kernels/gemm.h"

typedef struct epx_gemm_set {
    /* panel[k][EPX_GEMM_COLS] of `depth` x `cols`, both multiples of `grain`, from weights[col][k]
     * with `stride` elements from one weight row to the next. */
    uint32_t grain;
    void (*widen_bf16)(const uint16_t *weights, size_t stride, uint32_t depth, uint32_t cols,
                       float *panel);
    void (*widen_f32)(const float *weights, size_t stride, uint32_t depth, uint32_t cols,
                      float *panel);
    /* sums[row][EPX_GEMM_COLS] += rows[row][EPX_GEMM_DEPTH] x panel, k ascending to depth. */
    void (*multiply)(const float *rows, const float *panel, uint32_t depth, uint32_t num_rows,
                     float *sums);
} epx_gemm_set;

extern const epx_gemm_set epx_gemm_generic;
#if EPX_ISA_X86
extern const epx_gemm_set epx_gemm_avx2;
extern const epx_gemm_set epx_gemm_avx512;
#endif

#endif /* EPX_KERNELS_GEMM_SET_H */
