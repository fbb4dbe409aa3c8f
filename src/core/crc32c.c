/* crc32c.c - CRC-32C by the processor's instruction, or by a table of half a byte. */
#include "core/crc32c.h"

#include <string.h>

/* Polynomial 0x1edc6f41 reflected, four bits at a time: the table fits one cache line and needs no
 * start-up. */
static uint32_t crc_generic(uint32_t crc, const unsigned char *p, size_t bytes)
{
    static const uint32_t nibble[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };

    while (bytes-- != 0) {
        crc ^= *p++;
        crc = (crc >> 4) ^ nibble[crc & 15];
        crc = (crc >> 4) ^ nibble[crc & 15];
    }
    return crc;
}

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t crc, const unsigned char *p,
                                                            size_t bytes)
{
    uint64_t wide = crc, word;

    for (; bytes >= 8; bytes -= 8, p += 8) {
        memcpy(&word, p, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    while (bytes-- != 0)
        crc = _mm_crc32_u8(crc, *p++);
    return crc;
}

uint32_t epx_crc32c(uint32_t crc, const void *data, size_t bytes)
{
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc_sse42(~crc, data, bytes);
    return ~crc_generic(~crc, data, bytes);
}
#else
uint32_t epx_crc32c(uint32_t crc, const void *data, size_t bytes)
{
    return ~crc_generic(~crc, data, bytes);
}
#endif
