/* inbox.h - the chunk that an operation expects next from a peer, checked. */
#ifndef EPX_COMM_EXCHANGE_INBOX_H
#define EPX_COMM_EXCHANGE_INBOX_H

#include "comm/exchange/exchange.h"
#include "comm/exchange/frame.h"

/* The oldest chunk of peer (an index into the port) if it belongs to operation `sequence`; NULL
 * when there is none or it belongs to a later one, whose start this rank has not reached. A damaged
 * or older chunk breaks the exchange. from: the peer's rank, for errors. */
const epx_frame *epx_inbox_peek(epx_exchange *x, epx_port *port, int32_t peer, uint16_t kind,
                                uint64_t sequence, int32_t from);

/* Checks the payload as well; once per chunk, before it is used. False: broken. */
bool epx_inbox_verify(epx_exchange *x, const epx_frame *frame, int32_t from);

#endif /* EPX_COMM_EXCHANGE_INBOX_H */
