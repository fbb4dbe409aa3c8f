/* count.h - the first stage: ids and weights -> pairs, and how many of everything. */
#ifndef EPX_COMM_EXCHANGE_COUNT_H
#define EPX_COMM_EXCHANGE_COUNT_H

#include "comm/exchange/exchange.h"

/* Fills h->pair_begin and h->pairs and the counts of x. Bad input leaves the counts at zero and the
 * verdict in x->verdict, which travels to all ranks; it is returned as well. Touches nothing else.
 */
EPX_NODISCARD epx_status epx_count_pairs(epx_exchange *x, epx_handle *h, const epx_dispatch_in *in,
                                         epx_status before);

#endif /* EPX_COMM_EXCHANGE_COUNT_H */
