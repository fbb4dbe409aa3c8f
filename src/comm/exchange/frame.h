/* frame.h - the head of every chunk: its key, its size, its checksums.
 *
 * The key (kind, sequence, source, relay, chunk) must be the one that the receiver expects next;
 * stale or foreign data is an error that names both. Host byte order; all ranks of a job share
 * it (the hello compares it). */
#ifndef EPX_COMM_EXCHANGE_FRAME_H
#define EPX_COMM_EXCHANGE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/fail.h"

typedef enum epx_frame_kind { EPX_FRAME_DISPATCH = 1, EPX_FRAME_COMBINE } epx_frame_kind;

typedef struct epx_frame {
    uint32_t magic;
    uint16_t kind; /* epx_frame_kind */
    uint16_t rows;
    uint64_t sequence;    /* of the operation */
    int32_t source;       /* rank whose tokens these are */
    int32_t relay;        /* rho: with source, the stream */
    uint32_t chunk;       /* index in the stream */
    uint32_t tag;         /* the chunk's number among all of its source */
    uint64_t bytes;       /* after the frame */
    uint32_t payload_crc; /* 0 when not verified */
    uint32_t verified;
    uint32_t reserved[3];
    uint32_t head_crc; /* of all before */
} epx_frame;

_Static_assert(sizeof(epx_frame) == 64, "payload starts on a cache line");

/* Completes magic and checksums. payload follows the frame. */
void epx_frame_seal(epx_frame *frame, bool verify);

/* Magic, head checksum, and that the head's size is that of the chunk. EPX_ERR_CORRUPT names
 * `from`. */
EPX_NODISCARD epx_status epx_frame_check_head(const epx_frame *frame, size_t bytes, int32_t from);
/* The payload's checksum, if the sender made one. */
EPX_NODISCARD epx_status epx_frame_check_payload(const epx_frame *frame, int32_t from);

#endif /* EPX_COMM_EXCHANGE_FRAME_H */
