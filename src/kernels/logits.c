/* logits.c - the router's product, in FP32 from rows of any type. */
#include <string.h>

#include <epx/kernels.h>

#include "core/fail.h"
#include "core/size.h"
#include "kernels/gemm.h"

static epx_status check_shape(epx_type type, uint64_t num_tokens, uint32_t hidden,
                              int32_t num_experts)
{
    size_t bytes;

    if (epx_type_size(type) == 0)
        return epx_fail(EPX_ERR_INVALID, "logits: unknown type %d", (int)type);
    if (hidden == 0)
        return epx_fail(EPX_ERR_INVALID, "logits: rows of 0 elements");
    if (num_experts < 1 || num_experts > EPX_MAX_EXPERTS)
        return epx_fail(EPX_ERR_INVALID, "logits: %d experts, 1..%d are possible", num_experts,
                        EPX_MAX_EXPERTS);
    if (!epx_mul_size(num_tokens, hidden * epx_type_size(type), &bytes) ||
        !epx_mul_size(num_tokens, (size_t)num_experts * sizeof(float), &bytes))
        return epx_fail(EPX_ERR_OVERFLOW, "logits: %llu tokens of %u elements do not fit",
                        (unsigned long long)num_tokens, hidden);
    return EPX_OK;
}

/* One block of rows against all experts. */
static void compute_rows(const epx_gemm *gemm, uint64_t first, uint32_t num_rows,
                         uint32_t num_experts, float *logits)
{
    _Alignas(64) epx_gemm_scratch scratch;
    _Alignas(64) float sums[EPX_GEMM_ROWS * EPX_GEMM_COLS];

    for (uint32_t e = 0, cols; e < num_experts; e += cols) {
        cols = num_experts - e < EPX_GEMM_COLS ? num_experts - e : EPX_GEMM_COLS;
        epx_gemm_block(gemm, first, num_rows, e, cols, &scratch, sums);
        for (uint32_t r = 0; r < num_rows; r++)
            memcpy(logits + (first + r) * num_experts + e, sums + r * EPX_GEMM_COLS,
                   cols * sizeof(*sums));
    }
}

epx_status epx_kernel_logits(const void *x, epx_type type, uint64_t num_tokens, uint32_t hidden,
                             const float *router, int32_t num_experts, float *logits)
{
    epx_gemm gemm = {.isa = epx_isa_best(),
                     .rows = x,
                     .row_type = type,
                     .weights = router,
                     .weight_type = EPX_TYPE_F32,
                     .depth = hidden};
    epx_status st = check_shape(type, num_tokens, hidden, num_experts);

    if (st != EPX_OK)
        return st;
    if (num_tokens > 0 && (x == NULL || router == NULL || logits == NULL))
        return epx_fail(EPX_ERR_INVALID, "logits: %s is NULL with %llu tokens",
                        x == NULL ? "x" : (router == NULL ? "router" : "logits"),
                        (unsigned long long)num_tokens);
    for (uint64_t first = 0, now; first < num_tokens; first += now) {
        now = num_tokens - first < EPX_GEMM_ROWS ? num_tokens - first : EPX_GEMM_ROWS;
        compute_rows(&gemm, first, (uint32_t)now, (uint32_t)num_experts, logits);
    }
    return EPX_OK;
}
