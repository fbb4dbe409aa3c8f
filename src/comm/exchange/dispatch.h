/* dispatch.h - the dispatch's state machine. */
#ifndef EPX_COMM_EXCHANGE_DISPATCH_H
#define EPX_COMM_EXCHANGE_DISPATCH_H

#include "comm/exchange/exchange.h"

/* With the root's lock: the operation becomes active and takes its first step. Holds a reference of
 * h until it is concluded. */
void epx_dispatch_launch(epx_exchange *x, epx_handle *h, const epx_dispatch_in *in, bool again);

EPX_NODISCARD epx_status epx_dispatch_init(epx_exchange *x);
void epx_dispatch_close(epx_exchange *x);

#endif /* EPX_COMM_EXCHANGE_DISPATCH_H */
