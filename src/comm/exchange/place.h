/* place.h - the relay's half of a dispatch: rows into the receive windows of its node.
 *
 * The first dispatch of a handle decides the place of every pair by the counters of slots.h and
 * writes it down; later ones, and combine, use what is written. */
#ifndef EPX_COMM_EXCHANGE_PLACE_H
#define EPX_COMM_EXCHANGE_PLACE_H

#include "comm/exchange/exchange.h"
#include "comm/exchange/frame.h"

/* Places all rows of a chunk of in-stream `in`. False: malformed, the exchange is broken. */
bool epx_place_chunk(epx_dispatch_op *op, int32_t in, const epx_frame *frame, int32_t from);

/* Places one token of this rank at its own node; nothing when no expert of it is there. */
void epx_place_own(epx_dispatch_op *op, uint64_t token);

#endif /* EPX_COMM_EXCHANGE_PLACE_H */
