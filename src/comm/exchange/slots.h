/* slots.h - from tallies to places: who sends how much to whom, and where each row will lie.
 *
 * Exclusive prefix sums, never atomics: rows of a slot are ordered by (source node, source rank,
 * token) on every run and under every plan. */
#ifndef EPX_COMM_EXCHANGE_SLOTS_H
#define EPX_COMM_EXCHANGE_SLOTS_H

#include "comm/exchange/exchange.h"

/* After agree: fills the counts, streams and plan of h, and the place counters of x. A call-level
 * verdict, the same on all ranks, is left in h->status: bad input of some rank, or CAPACITY. A
 * disagreement between ranks breaks the exchange. */
void epx_slots_assign(epx_exchange *x, epx_handle *h);

#endif /* EPX_COMM_EXCHANGE_SLOTS_H */
