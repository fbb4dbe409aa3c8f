/* inbox.c - see inbox.h. */
#include "comm/exchange/inbox.h"

const epx_frame *epx_inbox_peek(epx_exchange *x, epx_port *port, int32_t peer, uint16_t kind,
                                uint64_t sequence, int32_t from)
{
    size_t bytes;
    const epx_frame *frame = port->link->ops->peek(port, peer, &bytes);

    if (frame == NULL)
        return NULL;
    if (epx_exchange_broken(x, epx_frame_check_head(frame, bytes, from), from))
        return NULL;
    if (frame->sequence > sequence && frame->kind == kind)
        return NULL;
    if (frame->sequence != sequence || frame->kind != kind) {
        epx_exchange_broken(x,
                            epx_fail(EPX_ERR_MISMATCH,
                                     "rank %d sent a chunk of operation %llu (kind %u), this rank "
                                     "is at %llu (kind %u): calls in another order",
                                     from, (unsigned long long)frame->sequence, frame->kind,
                                     (unsigned long long)sequence, kind),
                            from);
        return NULL;
    }
    return frame;
}

bool epx_inbox_verify(epx_exchange *x, const epx_frame *frame, int32_t from)
{
    return !epx_exchange_broken(x, epx_frame_check_payload(frame, from), from);
}
