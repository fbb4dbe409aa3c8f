/* partial.h - the relay's half of a combine: one sum per (token, node), inside the node that holds
 * the experts, before it crosses. Steps 1 to 3 of the tree in epx/exchange.h. */
#ifndef EPX_COMM_EXCHANGE_PARTIAL_H
#define EPX_COMM_EXCHANGE_PARTIAL_H

#include "comm/exchange/exchange.h"

/* FP32 sum of a relay row's terms (steps 1 and 2), into acc[combine_elems]. */
void epx_partial_sum(const epx_combine_op *op, const epx_relay_row *row, float *acc);

/* Bytes of one row on its way back. whole: rounded to combine_type; else FP32 (flat, when other
 * ranks of the node add to it). */
size_t epx_partial_row_bytes(const epx_shape *shape, bool whole, uint32_t pairs);

/* Writes chunk `chunk` of in-stream `in`, frame included, at `slot`. Returns its bytes. */
size_t epx_partial_chunk(const epx_combine_op *op, const epx_in_stream *in, uint32_t chunk,
                         void *slot);

#endif /* EPX_COMM_EXCHANGE_PARTIAL_H */
