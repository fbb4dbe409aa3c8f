/* bytes.h - integers and byte strings in little-endian order; each call returns the next position.
 *
 * The caller has checked that the bytes are there. */
#ifndef EPX_COMM_BOOT_BYTES_H
#define EPX_COMM_BOOT_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint8_t *epx_put_u32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
    return p + 4;
}

static inline uint8_t *epx_put_u64(uint8_t *p, uint64_t v)
{
    return epx_put_u32(epx_put_u32(p, (uint32_t)v), (uint32_t)(v >> 32));
}

static inline uint8_t *epx_put_raw(uint8_t *p, const void *bytes, size_t n)
{
    memcpy(p, bytes, n);
    return p + n;
}

static inline const uint8_t *epx_get_u32(const uint8_t *p, uint32_t *v_out)
{
    *v_out = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    return p + 4;
}

static inline const uint8_t *epx_get_i32(const uint8_t *p, int32_t *v_out)
{
    uint32_t bits;

    p = epx_get_u32(p, &bits);
    memcpy(v_out, &bits, sizeof(bits));
    return p;
}

static inline const uint8_t *epx_get_u64(const uint8_t *p, uint64_t *v_out)
{
    uint32_t low, high;

    p = epx_get_u32(epx_get_u32(p, &low), &high);
    *v_out = (uint64_t)high << 32 | low;
    return p;
}

static inline const uint8_t *epx_get_raw(const uint8_t *p, void *bytes_out, size_t n)
{
    memcpy(bytes_out, p, n);
    return p + n;
}

#endif /* EPX_COMM_BOOT_BYTES_H */
