/* gemm.c - one block of a product: the weights of a panel are transposed and the rows widened once,
 * then every row meets the panel while both stay in the cache. */
#include "kernels/gemm.h"

#include <string.h>

#include "kernels/gemm_set.h"
#include "kernels/num.h"
#include "kernels/reduce.h"

static const epx_gemm_set *set_of(epx_isa isa)
{
#if EPX_ISA_X86
    if (isa == EPX_ISA_AVX512)
        return &epx_gemm_avx512;
    if (isa == EPX_ISA_AVX2)
        return &epx_gemm_avx2;
#endif
    (void)isa;
    return &epx_gemm_generic;
}

static const void *at(const void *base, epx_type type, size_t elem)
{
    return (const unsigned char *)base + elem * epx_type_size(type);
}

/* The part of a panel that the instruction set's loop leaves over. */
static void widen_rest(const void *weights, epx_type type, size_t stride, uint32_t depth,
                       uint32_t cols, uint32_t done_depth, uint32_t done_cols, float *panel)
{
    const uint16_t *half = weights;
    const float *full = weights;

    for (uint32_t k = 0; k < depth; k++)
        for (uint32_t c = k < done_depth ? done_cols : 0; c < cols; c++)
            panel[k * EPX_GEMM_COLS + c] = type == EPX_TYPE_F32
                                               ? full[c * stride + k]
                                               : epx_float_of_bf16(half[c * stride + k]);
}

static void widen_panel(const epx_gemm_set *set, const void *weights, epx_type type, size_t stride,
                        uint32_t depth, uint32_t cols, float *panel)
{
    uint32_t done_depth = depth / set->grain * set->grain,
             done_cols = cols / set->grain * set->grain;

    if (cols < EPX_GEMM_COLS) /* keeps stale NaNs and subnormals out of the vectors */
        memset(panel, 0, depth * EPX_GEMM_COLS * sizeof(*panel));
    if (type == EPX_TYPE_F32)
        set->widen_f32(weights, stride, done_depth, done_cols, panel);
    else
        set->widen_bf16(weights, stride, done_depth, done_cols, panel);
    if (done_depth < depth || done_cols < cols)
        widen_rest(weights, type, stride, depth, cols, done_depth, done_cols, panel);
}

void epx_gemm_block(const epx_gemm *gemm, uint64_t first_row, uint32_t num_rows, uint64_t first_col,
                    uint32_t num_cols, epx_gemm_scratch *scratch, float *sums)
{
    const epx_gemm_set *set = set_of(gemm->isa);
    uint32_t depth = gemm->depth;

    memset(sums, 0, num_rows * EPX_GEMM_COLS * sizeof(*sums));
    for (uint32_t k = 0, now; k < depth; k += now) {
        now = depth - k < EPX_GEMM_DEPTH ? depth - k : EPX_GEMM_DEPTH;
        widen_panel(set, at(gemm->weights, gemm->weight_type, first_col * depth + k),
                    gemm->weight_type, depth, now, num_cols, scratch->panel);
        for (uint32_t r = 0; r < num_rows; r++) {
            uint64_t row = gemm->row_of == NULL ? first_row + r : gemm->row_of[first_row + r];

            epx_reduce_row(gemm->isa, at(gemm->rows, gemm->row_type, row * depth + k),
                           gemm->row_type, 1.0f, false, now, scratch->rows + r * EPX_GEMM_DEPTH);
        }
        set->multiply(scratch->rows, scratch->panel, now, num_rows, sums);
    }
}
