/* sort.c - a stable counting sort of a token's choices by expert. The array of positions that the
 * caller gets is also the array of cursors while the order is written, so no scratch is needed. */
#include <string.h>

#include <epx/kernels.h>

#include "core/fail.h"
#include "core/size.h"

static epx_status check_shape(const int32_t *ids, uint64_t num_tokens, uint32_t topk,
                              int32_t num_experts, const uint64_t *begin, const uint64_t *order)
{
    size_t bytes;

    if (num_experts < 1 || num_experts > EPX_MAX_EXPERTS)
        return epx_fail(EPX_ERR_INVALID, "sort: %d experts, 1..%d are possible", num_experts,
                        EPX_MAX_EXPERTS);
    if (topk < 1 || topk > EPX_MAX_TOPK)
        return epx_fail(EPX_ERR_INVALID, "sort: topk %u, 1..%d are possible", topk, EPX_MAX_TOPK);
    if (!epx_mul_size(num_tokens, topk * sizeof(*order), &bytes))
        return epx_fail(EPX_ERR_OVERFLOW, "sort: %llu tokens x topk %u do not fit",
                        (unsigned long long)num_tokens, topk);
    if (begin == NULL || (num_tokens > 0 && (ids == NULL || order == NULL)))
        return epx_fail(EPX_ERR_INVALID, "sort: %s is NULL with %llu tokens",
                        begin == NULL ? "begin" : (ids == NULL ? "ids" : "order"),
                        (unsigned long long)num_tokens);
    return EPX_OK;
}

epx_status epx_kernel_sort(const int32_t *ids, uint64_t num_tokens, uint32_t topk,
                           int32_t num_experts, uint64_t *begin, uint64_t *order)
{
    uint64_t pairs = num_tokens * topk, next = 0;
    epx_status st = check_shape(ids, num_tokens, topk, num_experts, begin, order);

    if (st != EPX_OK)
        return st;
    for (uint64_t i = 0; i < pairs; i++)
        if (ids[i] < -1 || ids[i] >= num_experts)
            return epx_fail(
                EPX_ERR_BAD_ROUTING, "sort: choice %u of token %llu is expert %d, there are %d",
                (unsigned)(i % topk), (unsigned long long)(i / topk), ids[i], num_experts);
    memset(begin, 0, ((size_t)num_experts + 1) * sizeof(*begin));
    for (uint64_t i = 0; i < pairs; i++)
        if (ids[i] >= 0)
            begin[ids[i]]++;
    for (int32_t e = 0; e <= num_experts; e++) {
        uint64_t count = begin[e];

        begin[e] = next;
        next += count;
    }
    for (uint64_t i = 0; i < pairs; i++)
        if (ids[i] >= 0)
            order[begin[ids[i]]++] = i;
    /* each cursor now stands where the next expert begins */
    memmove(begin + 1, begin, (size_t)num_experts * sizeof(*begin));
    begin[0] = 0;
    return EPX_OK;
}
