/* frame.h - what every boot connection speaks: frames with a fixed head, checked before use.
 *
 * head: magic, format and type, length, sequence, CRC32C of the payload, CRC32C of the head; 24
 * bytes, little endian. A frame's length is bounded before anything is done with it, its sequence
 * must be the next one, so what is truncated, repeated, reordered or flipped does not pass. Pure
 * functions over bytes: no I/O, no allocation. */
#ifndef EPX_COMM_BOOT_FRAME_H
#define EPX_COMM_BOOT_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "core/fail.h"

#define EPX_BOOT_FRAME_HEAD 24
#define EPX_BOOT_FRAME_MAX ((uint32_t)1 << 20) /* payload bytes that no frame exceeds */

typedef struct epx_boot_frame {
    uint16_t type;
    uint32_t length;
    uint32_t sequence;
    const uint8_t *payload; /* into the bytes that were read */
} epx_boot_frame;

typedef enum epx_boot_frame_result {
    EPX_BOOT_FRAME_MORE,  /* a good beginning, or nothing */
    EPX_BOOT_FRAME_READY, /* *frame_out is whole; it took EPX_BOOT_FRAME_HEAD + length bytes */
    EPX_BOOT_FRAME_BAD    /* never will be a frame: epx_last_error() says why */
} epx_boot_frame_result;

/* Reads the frame at the start of bytes[available]. Payloads above max_length are refused. */
epx_boot_frame_result epx_boot_frame_read(const uint8_t *bytes, size_t available,
                                          uint32_t max_length, uint32_t sequence,
                                          epx_boot_frame *frame_out);

/* Writes the head in front of a payload that already lies at frame + EPX_BOOT_FRAME_HEAD. */
void epx_boot_frame_seal(uint8_t *frame, uint16_t type, uint32_t sequence, uint32_t length);

#endif /* EPX_COMM_BOOT_FRAME_H */
