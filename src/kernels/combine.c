/* combine.c - a token's weighted sum of its experts' outputs on one rank: the exchange's tree with
 * one rank and one node. */
#include <string.h>

#include <epx/kernels.h>

#include "core/fail.h"
#include "core/size.h"
#include "kernels/reduce.h"

#define TILE 4096u /* elements, so that no scratch is needed */

static epx_status check_shape(epx_type type, uint32_t elems, uint64_t num_tokens, uint32_t topk)
{
    size_t bytes;

    if (epx_type_size(type) == 0)
        return epx_fail(EPX_ERR_INVALID, "combine: unknown type %d", (int)type);
    if (elems == 0)
        return epx_fail(EPX_ERR_INVALID, "combine: rows of 0 elements");
    if (topk < 1 || topk > EPX_MAX_TOPK)
        return epx_fail(EPX_ERR_INVALID, "combine: topk %u, 1..%d are possible", topk,
                        EPX_MAX_TOPK);
    if (!epx_mul_size(num_tokens, elems * epx_type_size(type), &bytes) ||
        !epx_mul_size(num_tokens, topk * sizeof(uint64_t), &bytes))
        return epx_fail(EPX_ERR_OVERFLOW, "combine: %llu tokens of %u elements do not fit",
                        (unsigned long long)num_tokens, elems);
    return EPX_OK;
}

epx_status epx_kernel_combine(const void *outputs, epx_type type, uint32_t elems,
                              const uint64_t *position, const float *weights, uint64_t num_tokens,
                              uint32_t topk, void *out)
{
    size_t row_bytes = elems * epx_type_size(type), count;
    const unsigned char *from = outputs;
    epx_term terms[EPX_MAX_TOPK] = {{NULL, 0, false}};
    float sums[TILE];
    epx_status st = check_shape(type, elems, num_tokens, topk);

    if (st != EPX_OK)
        return st;
    if (num_tokens > 0 && (outputs == NULL || position == NULL || weights == NULL || out == NULL))
        return epx_fail(EPX_ERR_INVALID, "combine: %s is NULL with %llu tokens",
                        outputs == NULL    ? "outputs"
                        : position == NULL ? "position"
                        : weights == NULL  ? "weights"
                                           : "out",
                        (unsigned long long)num_tokens);
    for (uint64_t t = 0; t < num_tokens; t++) {
        unsigned char *to = (unsigned char *)out + t * row_bytes;

        count = 0;
        for (uint64_t i = t * topk; i < (t + 1) * topk; i++)
            if (position[i] != UINT64_MAX)
                terms[count++] = (epx_term){from + position[i] * row_bytes, weights[i], false};
        for (uint32_t e = 0, now; e < elems; e += now) {
            now = elems - e < TILE ? elems - e : TILE;
            epx_reduce_terms(terms, count, type, e, now, sums);
            epx_round_row(sums, type, now, to + e * epx_type_size(type));
        }
    }
    return EPX_OK;
}
