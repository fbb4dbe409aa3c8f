/* setup.h - the memory and the connections of an exchange. */
#ifndef EPX_COMM_EXCHANGE_SETUP_H
#define EPX_COMM_EXCHANGE_SETUP_H

#include "comm/exchange/exchange.h"

/* Local tables, by x->shape. */
EPX_NODISCARD epx_status epx_exchange_tables(epx_exchange *x);
/* Collective: ports and the window, after the configuration has been compared. */
EPX_NODISCARD epx_status epx_exchange_connect(epx_exchange *x);
void epx_exchange_disconnect(epx_exchange *x);
/* Collective: a new window for a resized shape. */
EPX_NODISCARD epx_status epx_exchange_remap(epx_exchange *x);
/* Everything local, ports and window included if still there. Accepts NULL. */
void epx_exchange_free(epx_exchange *x);

#endif /* EPX_COMM_EXCHANGE_SETUP_H */
