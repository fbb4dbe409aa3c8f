/* combine.h - the combine's state machine. */
#ifndef EPX_COMM_EXCHANGE_COMBINE_H
#define EPX_COMM_EXCHANGE_COMBINE_H

#include "comm/exchange/exchange.h"

/* With the root's lock: publishes this rank's outputs and takes the first step. Holds a reference
 * of h until it is concluded. */
void epx_combine_launch(epx_exchange *x, epx_handle *h, const epx_combine_out *out);

EPX_NODISCARD epx_status epx_combine_init(epx_exchange *x);
void epx_combine_close(epx_exchange *x);

#endif /* EPX_COMM_EXCHANGE_COMBINE_H */
