/* frame.c - writing and refusing frame heads. */
#include "comm/boot/frame.h"

#include "comm/boot/bytes.h"
#include "core/crc32c.h"

#define FRAME_FORMAT 1u

static const uint8_t magic[4] = {0x93, 'E', 'P', 'X'}; /* no text protocol starts with 0x93 */

static epx_boot_frame_result refuse(const char *what, uint32_t got, uint32_t expected)
{
    (void)epx_fail(EPX_ERR_CORRUPT, "frame with %s %u, expected %u", what, got, expected);
    return EPX_BOOT_FRAME_BAD;
}

epx_boot_frame_result epx_boot_frame_read(const uint8_t *bytes, size_t available,
                                          uint32_t max_length, uint32_t sequence,
                                          epx_boot_frame *frame_out)
{
    uint32_t format_type, length, number, payload_crc, head_crc, crc;
    size_t seen = available < sizeof(magic) ? available : sizeof(magic);
    const uint8_t *p = bytes + sizeof(magic);

    if (seen > 0 && memcmp(bytes, magic, seen) != 0)
        return refuse("first byte", bytes[0], magic[0]);
    if (available < EPX_BOOT_FRAME_HEAD)
        return EPX_BOOT_FRAME_MORE;
    p = epx_get_u32(p, &format_type);
    p = epx_get_u32(p, &length);
    p = epx_get_u32(p, &number);
    p = epx_get_u32(p, &payload_crc);
    epx_get_u32(p, &head_crc);
    crc = epx_crc32c(0, bytes, EPX_BOOT_FRAME_HEAD - 4);
    if (crc != head_crc)
        return refuse("head checksum", head_crc, crc);
    if (format_type >> 16 != FRAME_FORMAT)
        return refuse("format", format_type >> 16, FRAME_FORMAT);
    if (length > max_length || length > EPX_BOOT_FRAME_MAX)
        return refuse("length", length, max_length);
    if (number != sequence)
        return refuse("sequence", number, sequence);
    if (available - EPX_BOOT_FRAME_HEAD < length)
        return EPX_BOOT_FRAME_MORE;
    crc = epx_crc32c(0, bytes + EPX_BOOT_FRAME_HEAD, length);
    if (crc != payload_crc)
        return refuse("payload checksum", payload_crc, crc);
    *frame_out = (epx_boot_frame){.type = (uint16_t)format_type,
                                  .length = length,
                                  .sequence = number,
                                  .payload = bytes + EPX_BOOT_FRAME_HEAD};
    return EPX_BOOT_FRAME_READY;
}

void epx_boot_frame_seal(uint8_t *frame, uint16_t type, uint32_t sequence, uint32_t length)
{
    uint8_t *p = epx_put_raw(frame, magic, sizeof(magic));

    p = epx_put_u32(p, FRAME_FORMAT << 16 | type);
    p = epx_put_u32(p, length);
    p = epx_put_u32(p, sequence);
    p = epx_put_u32(p, epx_crc32c(0, frame + EPX_BOOT_FRAME_HEAD, length));
    epx_put_u32(p, epx_crc32c(0, frame, EPX_BOOT_FRAME_HEAD - 4));
}
