/* kernels.h - what a MoE layer computes, as pure functions over the caller's buffers.
 *
 * No call allocates, waits or keeps state: any thread, as long as outputs do not overlap. Rows are
 * dense, row-major. Outputs are bit-identical for every batch size and thread count: each output
 * element is one sum in ascending k, FP32, without fused multiply-add. */
#ifndef EPX_KERNELS_H
#define EPX_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include <epx/exchange.h>

EPX_BEGIN_DECLS

/* ---- Gate: logits -> experts and weights ----------------------------------------------------- */

typedef enum epx_gate_kind {
    EPX_GATE_TOPK_SOFTMAX,   /* top-k of the logits, softmax over the chosen (Mixtral, GPT-OSS) */
    EPX_GATE_SOFTMAX_TOPK,   /* softmax over all, then top-k (Grok, DeepSeek-MoE, Switch) */
    EPX_GATE_SOFTMAX_RENORM, /* the same, the chosen renormalised to sum 1 (Qwen3) */
    EPX_GATE_SIGMOID_GROUPS  /* sigmoid + bias, best groups first, renormalised (DeepSeek-V3) */
} epx_gate_kind;

typedef struct epx_gate {
    size_t struct_size;
    uint32_t kind; /* epx_gate_kind */
    int32_t num_experts;
    uint32_t topk;
    uint32_t num_groups; /* SIGMOID_GROUPS: groups of experts, 0: 1; must divide num_experts */
    uint32_t top_groups; /* SIGMOID_GROUPS: groups a token may use, 0: all */
    float scale;         /* factor on the final weights, 0: 1 */
    const float *bias;   /* [num_experts] SIGMOID_GROUPS: for the choice only; NULL: zeros */
    uint64_t *nan_count; /* NULL, or is increased by the number of NaN logits */
} epx_gate;

/* logits [num_tokens][num_experts] -> ids, weights [num_tokens][topk], best first; equal scores:
 * lowest expert first. A NaN logit counts as -inf; when a token has nothing else, it gets experts
 * (token, token + 1, ...) mod num_experts with equal weights. Logits of +inf share the softmax
 * equally. Group score: sum of the two best. */
EPX_NODISCARD EPX_API epx_status epx_kernel_gate(const epx_gate *gate, const float *logits,
                                                 uint64_t num_tokens, int32_t *ids, float *weights);

/* logits[t][e] = sum_h x[t][h] * router[e][h]: the router's GEMM. */
EPX_NODISCARD EPX_API epx_status epx_kernel_logits(const void *x, epx_type type,
                                                   uint64_t num_tokens, uint32_t hidden,
                                                   const float *router, int32_t num_experts,
                                                   float *logits);

/* ---- Sort and pack --------------------------------------------------------------------------- */

/* Stable counting sort of ids [num_tokens][topk] by expert. begin[num_experts + 1] gets the first
 * position of each expert, order[begin[num_experts]] the index token * topk + j at each position.
 * -1 is skipped; another id out of range is EPX_ERR_BAD_ROUTING with its place. */
EPX_NODISCARD EPX_API epx_status epx_kernel_sort(const int32_t *ids, uint64_t num_tokens,
                                                 uint32_t topk, int32_t num_experts,
                                                 uint64_t *begin, uint64_t *order);

/* out[i] = rows[row_of[i]], row_bytes each. */
EPX_NODISCARD EPX_API epx_status epx_kernel_pack(const void *rows, uint64_t num_rows,
                                                 size_t row_bytes, const uint32_t *row_of,
                                                 uint64_t count, void *out);

/* ---- Expert FFN ------------------------------------------------------------------------------ */

typedef enum epx_activation {
    EPX_ACT_SWIGLU,       /* silu(gate) * up */
    EPX_ACT_SWIGLU_CLAMP, /* GPT-OSS: gate <= 7, |up| <= 7, gate*sigmoid(1.702 gate)*(up + 1) */
    EPX_ACT_GELU_GLU,     /* gelu_tanh(gate) * up (Grok) */
    EPX_ACT_RELU          /* relu(up), two matrices (Switch) */
} epx_activation;

/* Weights of the local experts: slot s uses w13 + s * (GLU ? 2 : 1) * ffn * hidden and
 * w2 + s * hidden * ffn. w13 holds the gate rows [ffn][hidden], then the up rows [ffn][hidden]
 * (RELU: the up rows only); w2 is [hidden][ffn]. Biases: gate then up, and [hidden]; they are
 * added to the finished sums. */
typedef struct epx_ffn {
    size_t struct_size;
    uint32_t type; /* epx_type of rows, weights and outputs: BF16 or F32 */
    uint32_t activation;
    uint32_t hidden;
    uint32_t ffn;
    int32_t num_slots;
    const void *w13;
    const void *w2;
    const float *bias13; /* [num_slots][2 * ffn] (RELU: [num_slots][ffn]), NULL: none */
    const float *bias2;  /* [num_slots][hidden], NULL: none */
} epx_ffn;

/* Bytes of scratch for one calling thread, at any alignment; 0 when ffn is not valid. */
EPX_API size_t epx_kernel_ffn_workspace(const epx_ffn *ffn);

/* outputs[p] = ffn of slot s applied to rows[row_of ? row_of[p] : p], for slot_begin[s] <= p <
 * slot_begin[s + 1]. The hidden activation is rounded to `type` between the two products. */
EPX_NODISCARD EPX_API epx_status epx_kernel_ffn(const epx_ffn *ffn, const void *rows,
                                                const uint32_t *row_of, const uint64_t *slot_begin,
                                                void *outputs, void *workspace);

/* ---- Combine --------------------------------------------------------------------------------- */

/* out[t] = round(sum_j weights[t][j] * outputs[position[t][j]]), FP32, ascending j: combine on one
 * rank. position UINT64_MAX skips. */
EPX_NODISCARD EPX_API epx_status epx_kernel_combine(const void *outputs, epx_type type,
                                                    uint32_t elems, const uint64_t *position,
                                                    const float *weights, uint64_t num_tokens,
                                                    uint32_t topk, void *out);

EPX_END_DECLS

#endif /* EPX_KERNELS_H */
