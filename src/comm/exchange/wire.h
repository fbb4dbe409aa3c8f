/* wire.h - the metadata of one row in a dispatch chunk.
 *
 *   u32 token | u8 pairs | u8 alone | u16 0
 *   u16 slot[pairs]     node-local slot index, ascending; padded to 4 bytes
 *   f32 weight[pairs]
 *   f32 side[pairs]     with a side channel
 *   u32 index[pairs]    intra-first: the pair's number among those of (source, slot)
 *   u32 row[ranks]      intra-first: the row's number among those of (source, rank), for each of
 *                       its ranks ascending
 * Only the experts of the destination node travel. The other plans pass all of a source's rows of a
 * rank in order through one relay, which counts along instead. */
#ifndef EPX_COMM_EXCHANGE_WIRE_H
#define EPX_COMM_EXCHANGE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct epx_wire_head {
    uint32_t token;
    uint8_t pairs;
    uint8_t alone; /* flat: no other rank of the node gets this token */
    uint16_t zero;
} epx_wire_head;

/* Views into one row's metadata. */
typedef struct epx_wire_meta {
    epx_wire_head head;
    const uint16_t *slot;
    const float *weight;
    const float *side;     /* NULL without */
    const uint32_t *index; /* NULL unless intra-first */
    const uint32_t *row;   /* likewise */
} epx_wire_meta;

/* ranks: destination ranks of the row when positions travel (intra-first), else 0. */
static inline size_t epx_wire_meta_bytes(uint32_t pairs, bool side, uint32_t ranks)
{
    size_t bytes = sizeof(epx_wire_head) + (((size_t)pairs * sizeof(uint16_t) + 3) & ~(size_t)3) +
                   (size_t)pairs * sizeof(float);

    if (side)
        bytes += (size_t)pairs * sizeof(float);
    if (ranks != 0)
        bytes += ((size_t)pairs + ranks) * sizeof(uint32_t);
    return bytes;
}

/* Reads the metadata at `at`, which ends before `end`. slot_local[slots] tells the member of each
 * slot (to count ranks). Returns its bytes, or 0 when it is malformed: nothing is trusted. */
size_t epx_wire_read(const unsigned char *at, const unsigned char *end, bool side, bool positions,
                     const uint16_t *slot_local, int32_t slots, epx_wire_meta *meta_out);

#endif /* EPX_COMM_EXCHANGE_WIRE_H */
