/* payload.c - test data by splitmix64: a stream per (seed, purpose, place). */
#include "common/payload.h"

#include <string.h>

#include "common/num.h"
#include "common/rng.h"

/* Two elements per draw: 32 bits are enough for either. */
static void fill(uint64_t rng, epx_type type, uint64_t count, float bound, void *out)
{
    uint64_t i, bits = 0;

    for (i = 0; i < count; i++) {
        uint32_t half;

        if (i % 2 == 0)
            bits = tool_rng_next(&rng);
        half = (uint32_t)(i % 2 == 0 ? bits : bits >> 32);
        num_put(type, out, i, ((float)(int32_t)(half >> 8) * 0x1p-23f - 1.0f) * bound);
    }
}

void payload_row(uint64_t seed, int32_t rank, uint64_t token, epx_type type, uint32_t elems,
                 void *row)
{
    fill(tool_rng_seed(seed ^ UINT64_C(0x726f77), (uint64_t)rank, token), type, elems, 1.0f, row);
}

void payload_matrix(uint64_t seed, uint64_t stream, epx_type type, uint64_t count, float bound,
                    void *out)
{
    fill(tool_rng_seed(seed ^ UINT64_C(0x6d6174), stream, count), type, count, bound, out);
}

void payload_block(uint64_t seed, int32_t from, int32_t to, uint64_t bytes, void *block)
{
    uint64_t rng = tool_rng_seed(seed ^ UINT64_C(0x626c6b), (uint64_t)from, (uint64_t)to), at, word;

    for (at = 0; at < bytes; at += sizeof(word)) {
        word = tool_rng_next(&rng);
        memcpy((unsigned char *)block + at, &word,
               bytes - at < sizeof(word) ? bytes - at : sizeof(word));
    }
}

uint64_t payload_block_wrong(uint64_t seed, int32_t from, int32_t to, uint64_t bytes,
                             const void *block)
{
    uint64_t rng = tool_rng_seed(seed ^ UINT64_C(0x626c6b), (uint64_t)from, (uint64_t)to), at, word;
    const unsigned char *have = block;
    uint64_t wrong = 0;
    unsigned i;

    for (at = 0; at < bytes; at += sizeof(word)) {
        unsigned char want[sizeof(word)];

        word = tool_rng_next(&rng);
        memcpy(want, &word, sizeof(word));
        for (i = 0; i < sizeof(word) && at + i < bytes; i++)
            wrong += have[at + i] != want[i];
    }
    return wrong;
}

uint64_t payload_differ(epx_type type, uint64_t elems, const void *a, const void *b)
{
    size_t size = epx_type_size(type);
    uint64_t i, differ = 0;

    if (memcmp(a, b, elems * size) == 0)
        return 0;
    for (i = 0; i < elems; i++)
        differ += memcmp((const char *)a + i * size, (const char *)b + i * size, size) != 0;
    return differ;
}
