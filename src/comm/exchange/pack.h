/* pack.h - a source's rows -> a dispatch chunk: payload rows, scales, metadata. */
#ifndef EPX_COMM_EXCHANGE_PACK_H
#define EPX_COMM_EXCHANGE_PACK_H

#include "comm/exchange/exchange.h"

/* Writes chunk number `chunk` of a stream, frame included, at `slot`. Returns its bytes. */
size_t epx_pack_chunk(const epx_dispatch_op *op, const epx_stream *stream, uint32_t chunk,
                      void *slot);

#endif /* EPX_COMM_EXCHANGE_PACK_H */
