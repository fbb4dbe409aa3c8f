/* payload.h - rows and weights that any rank can make for any other: seeded, equal everywhere. */
#ifndef TOOLS_COMMON_PAYLOAD_H
#define TOOLS_COMMON_PAYLOAD_H

#include <stdint.h>

#include <epx/exchange.h>

/* One token's row: `elems` elements, uniform in [-1, 1). */
void payload_row(uint64_t seed, int32_t rank, uint64_t token, epx_type type, uint32_t elems,
                 void *row);

/* count elements, uniform in [-bound, bound): stream `stream` of the seed. */
void payload_matrix(uint64_t seed, uint64_t stream, epx_type type, uint64_t count, float bound,
                    void *out);

/* Bytes of the block that goes from one rank to another. */
void payload_block(uint64_t seed, int32_t from, int32_t to, uint64_t bytes, void *block);
/* How many bytes of such a block differ. */
uint64_t payload_block_wrong(uint64_t seed, int32_t from, int32_t to, uint64_t bytes,
                             const void *block);

/* How many elements differ in any bit. */
uint64_t payload_differ(epx_type type, uint64_t elems, const void *a, const void *b);

#endif /* TOOLS_COMMON_PAYLOAD_H */
