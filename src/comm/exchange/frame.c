/* frame.c - sealing and checking chunk heads. */
#include "comm/exchange/frame.h"

#include <string.h>

#include "core/crc32c.h"

#define MAGIC UINT32_C(0x31787065) /* "epx1" */

static uint32_t head_crc(const epx_frame *frame)
{
    return epx_crc32c(0, frame, offsetof(epx_frame, head_crc));
}

void epx_frame_seal(epx_frame *frame, bool verify)
{
    frame->magic = MAGIC;
    frame->verified = verify;
    memset(frame->reserved, 0, sizeof(frame->reserved));
    frame->payload_crc = verify ? epx_crc32c(0, frame + 1, frame->bytes) : 0;
    frame->head_crc = head_crc(frame);
}

epx_status epx_frame_check_head(const epx_frame *frame, size_t bytes, int32_t from)
{
    if (bytes < sizeof(*frame) || frame->magic != MAGIC || frame->head_crc != head_crc(frame))
        return epx_fail(EPX_ERR_CORRUPT, "chunk of %zu bytes from rank %d has a damaged head",
                        bytes, from);
    if (frame->bytes != bytes - sizeof(*frame))
        return epx_fail(EPX_ERR_CORRUPT, "chunk %u from rank %d says %llu bytes, %zu came",
                        frame->chunk, from, (unsigned long long)frame->bytes,
                        bytes - sizeof(*frame));
    return EPX_OK;
}

epx_status epx_frame_check_payload(const epx_frame *frame, int32_t from)
{
    if (frame->verified != 0 && epx_crc32c(0, frame + 1, frame->bytes) != frame->payload_crc)
        return epx_fail(EPX_ERR_CORRUPT, "chunk %u of operation %llu from rank %d: wrong checksum",
                        frame->chunk, (unsigned long long)frame->sequence, from);
    return EPX_OK;
}
