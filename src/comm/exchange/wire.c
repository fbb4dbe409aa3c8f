/* wire.c - parsing a row's metadata: a pure function over hostile bytes. */
#include "comm/exchange/wire.h"

#include <string.h>

static uint32_t count_ranks(const epx_wire_meta *meta, const uint16_t *slot_local)
{
    uint32_t ranks = 0, i;

    for (i = 0; i < meta->head.pairs; i++)
        if (i == 0 || slot_local[meta->slot[i]] != slot_local[meta->slot[i - 1]])
            ranks++;
    return ranks;
}

static bool slots_are_sane(const epx_wire_meta *meta, int32_t slots)
{
    uint32_t i;

    for (i = 0; i < meta->head.pairs; i++)
        if (meta->slot[i] >= slots || (i > 0 && meta->slot[i] < meta->slot[i - 1]))
            return false;
    return true;
}

size_t epx_wire_read(const unsigned char *at, const unsigned char *end, bool side, bool positions,
                     const uint16_t *slot_local, int32_t slots, epx_wire_meta *meta_out)
{
    size_t room = (size_t)(end - at), bytes, offset = sizeof(epx_wire_head);
    epx_wire_meta meta = {.side = NULL};

    if (room < sizeof(meta.head))
        return 0;
    memcpy(&meta.head, at, sizeof(meta.head));
    bytes = epx_wire_meta_bytes(meta.head.pairs, side, 0);
    if (meta.head.pairs == 0 || room < bytes)
        return 0;
    meta.slot = (const uint16_t *)(const void *)(at + offset);
    if (!slots_are_sane(&meta, slots))
        return 0;
    offset += ((size_t)meta.head.pairs * sizeof(uint16_t) + 3) & ~(size_t)3;
    meta.weight = (const float *)(const void *)(at + offset);
    offset += meta.head.pairs * sizeof(float);
    if (side) {
        meta.side = (const float *)(const void *)(at + offset);
        offset += meta.head.pairs * sizeof(float);
    }
    if (positions) {
        uint32_t ranks = count_ranks(&meta, slot_local);

        bytes = epx_wire_meta_bytes(meta.head.pairs, side, ranks);
        if (room < bytes)
            return 0;
        meta.index = (const uint32_t *)(const void *)(at + offset);
        meta.row = meta.index + meta.head.pairs;
    }
    *meta_out = meta;
    return bytes;
}
