/* gemm.h - rows times the transpose of a weight matrix, block by block, in FP32.
 *
 * Each sum is one chain from 0 in ascending k, multiply then add: vectors run across outputs, never
 * along k. So its bits depend on one row and one weight row, not on the block, the number of rows
 * or the instruction set. */
#ifndef EPX_KERNELS_GEMM_H
#define EPX_KERNELS_GEMM_H

#include <stddef.h>
#include <stdint.h>

#include <epx/exchange.h>

#include "kernels/isa.h"

#define EPX_GEMM_ROWS 64u   /* rows of a block */
#define EPX_GEMM_COLS 32u   /* outputs of a block: the width of a panel */
#define EPX_GEMM_DEPTH 128u /* k of a panel: it fills half of a small first-level cache */

/* Where one block is worked on; contents mean nothing before or after a call. */
typedef struct epx_gemm_scratch {
    float panel[EPX_GEMM_DEPTH * EPX_GEMM_COLS]; /* weights, [k][output] */
    float rows[EPX_GEMM_ROWS * EPX_GEMM_DEPTH];  /* rows, [row][k] */
} epx_gemm_scratch;

typedef struct epx_gemm {
    epx_isa isa; /* must exist on this machine */
    const void *rows;
    epx_type row_type;
    const uint32_t *row_of; /* row r of the product is rows[row_of[r]]; NULL: rows[r] */
    const void *weights;    /* [outputs][depth] */
    epx_type weight_type;   /* BF16 or F32 */
    uint32_t depth;         /* elements of a row */
} epx_gemm;

/* sums[r][EPX_GEMM_COLS]: rows first_row.. (1..EPX_GEMM_ROWS of them) times weight rows first_col..
 * (1..EPX_GEMM_COLS of them); what is beyond num_cols in a row of sums is not meaningful, rows
 * beyond num_rows are left alone. */
void epx_gemm_block(const epx_gemm *gemm, uint64_t first_row, uint32_t num_rows, uint64_t first_col,
                    uint32_t num_cols, epx_gemm_scratch *scratch, float *sums);

#endif /* EPX_KERNELS_GEMM_H */
