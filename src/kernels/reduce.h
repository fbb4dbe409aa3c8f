/* reduce.h - the arithmetic of combine's fixed tree: weighted rows to FP32 sums, and one rounding.
 *
 * Every element is one chain of FP32 multiplies and adds in the order of the terms, never fused,
 * so its bits depend on the terms alone: not on the tile it was computed in, nor on the machine.
 * Buffers do not overlap and need no alignment beyond that of their elements. Any thread. */
#ifndef EPX_KERNELS_REDUCE_H
#define EPX_KERNELS_REDUCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <epx/exchange.h>

#include "kernels/isa.h"

/* One expert's output row and its weight. Terms of one rank are consecutive, in ascending expert
 * order; ranks ascend. */
typedef struct epx_term {
    const void *row;
    float weight;
    bool first_of_rank; /* starts the partial sum of the next rank */
} epx_term;

/* Elements first_elem..first_elem + elems of a node's partial sum, into acc[elems]: the sum over
 * ranks of the sum over the rank's terms of weight * row. The first term of a rank starts its sum,
 * the first rank starts the node's (nothing is added to zero). No terms give zeros. */
void epx_reduce_terms(const epx_term *terms, size_t count, epx_type type, uint32_t first_elem,
                      uint32_t elems, float *acc);

void epx_round_row(const float *acc, epx_type type, uint32_t elems, void *out); /* FP32 -> type */
void epx_widen_row(const void *row, epx_type type, uint32_t elems, float *acc); /* type -> FP32 */
void epx_add_row(const void *row, epx_type type, uint32_t elems, float *acc);   /* acc += row */
void epx_add_floats(const float *row, uint32_t elems, float *acc);              /* acc += row */

/* The two loops behind all of these, for one instruction set, which the machine must have:
 * acc = weight * row or, with add, acc += weight * row; and the rounding of acc. */
void epx_reduce_row(epx_isa isa, const void *row, epx_type type, float weight, bool add,
                    uint32_t elems, float *acc);
void epx_reduce_round(epx_isa isa, const float *acc, epx_type type, uint32_t elems, void *out);

#endif /* EPX_KERNELS_REDUCE_H */
