/* sum.h - the source's half of a combine: tokens in ascending order, each the sum of its nodes'
 * values. Step 4 of the tree in epx/exchange.h (and steps 2 and 3 for flat, whose ranks' sums
 * arrive one by one).
 *
 * Streams hold their rows in token order, so the next row of each stream belongs to the next token
 * that uses it: the chunks needed for the lowest unfinished token are at the heads of their rings,
 * and no order of arrivals can block it. */
#ifndef EPX_COMM_EXCHANGE_SUM_H
#define EPX_COMM_EXCHANGE_SUM_H

#include "comm/exchange/exchange.h"

/* Finishes the next token if all its parts are here. False: not yet, or the exchange broke. */
bool epx_sum_token(epx_combine_op *op);

/* Root rank of a relay whose chunk the next token waits for, or -1; describes the channel. */
int32_t epx_sum_waits_for(const epx_combine_op *op, uint32_t *chunk_out);

#endif /* EPX_COMM_EXCHANGE_SUM_H */
