/* crc32c.h - CRC-32C (Castagnoli), the checksum of headers and, on request, of payloads. */
#ifndef EPX_CORE_CRC32C_H
#define EPX_CORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues crc (0 at the start) over bytes. SSE4.2 where the processor has it. Any thread. */
uint32_t epx_crc32c(uint32_t crc, const void *data, size_t bytes);

#endif /* EPX_CORE_CRC32C_H */
