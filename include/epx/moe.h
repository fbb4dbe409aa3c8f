/* moe.h - the MoE layer: gate, dispatch, experts, combine, overlapped by micro-batches. */
#ifndef EPX_MOE_H
#define EPX_MOE_H

#include <epx/exchange.h>
#include <epx/kernels.h>

EPX_BEGIN_DECLS

/* The shape of one MoE layer of a published model. */
typedef struct epx_moe_preset {
    const char *name; /* "mixtral-8x7b" */
    uint32_t hidden;
    uint32_t ffn;
    int32_t num_experts;
    uint32_t topk;
    uint32_t shared_ffn; /* FFN width of the shared experts together, 0: none */
    uint32_t activation; /* epx_activation */
    uint32_t gate;       /* epx_gate_kind */
    uint32_t num_groups;
    uint32_t top_groups;
    float scale;
    uint32_t has_bias; /* experts carry biases */
} epx_moe_preset;

/* By name, or by index 0..; NULL past the last, or when unknown. Static storage. */
EPX_API const epx_moe_preset *epx_moe_preset_find(const char *name);
EPX_API const epx_moe_preset *epx_moe_preset_at(size_t index);

typedef struct epx_moe_config {
    size_t struct_size;
    uint64_t max_tokens; /* per rank and forward */
    uint32_t type;       /* epx_type of activations and weights: BF16 or F32 */
    uint32_t hidden, ffn;
    int32_t num_experts;
    uint32_t topk;
    uint32_t activation;          /* epx_activation */
    epx_gate gate;                /* its num_experts and topk are filled in from here */
    uint32_t shared_ffn;          /* width of the shared expert, 0: none */
    uint32_t micro_batches;       /* 0: 2; 1: no overlap */
    uint32_t plan;                /* epx_plan */
    uint32_t layout;              /* epx_layout */
    uint64_t max_recv_rows;       /* as in the exchange, per micro-batch */
    uint64_t max_recv_rows_limit; /* growing stops here; 0: what memory allows */
    double model_us_per_row;      /* > 0: a timed wait per (token, expert) pair in place of
                                   * arithmetic: an accelerator as a CPU sees it; y = x */
} epx_moe_config;

/* Borrowed; must outlive the layer. Slots as in the route. */
typedef struct epx_moe_weights {
    size_t struct_size;
    const float *router; /* [num_experts][hidden] */
    const void *w13;     /* local slots, as in epx_ffn */
    const void *w2;
    const float *bias13;
    const float *bias2;
    const void *shared_w13; /* the shared expert, as one slot of width shared_ffn */
    const void *shared_w2;
} epx_moe_weights;

typedef struct epx_moe epx_moe;

/* Collective. Copies cfg, borrows weights. */
EPX_NODISCARD EPX_API epx_status epx_moe_create(epx_comm *comm, const epx_moe_config *cfg,
                                                const epx_moe_weights *weights,
                                                const epx_route *route, epx_moe **moe_out);
EPX_API void epx_moe_destroy(epx_moe *moe);

/* Collective. x, y: [num_tokens][hidden] of type, not overlapping. While micro-batch i computes,
 * i + 1 is dispatched and i - 1 combined. A window that is too small grows by itself. */
EPX_NODISCARD EPX_API epx_status epx_moe_forward(epx_moe *moe, const void *x, uint64_t num_tokens,
                                                 void *y);

typedef struct epx_moe_stats {
    size_t struct_size;
    double gate_us, dispatch_us, compute_us, combine_us, total_us; /* of the last forward */
    double imbalance; /* busiest / mean rank, in pairs, of the last forward */
    uint64_t pairs;   /* on this rank */
    uint64_t nan_logits;
    uint64_t grown; /* windows grown since create */
    epx_plan plan;  /* of the last micro-batch */
} epx_moe_stats;

EPX_NODISCARD EPX_API epx_status epx_moe_stats_read(const epx_moe *moe, epx_moe_stats *out);

EPX_END_DECLS

#endif /* EPX_MOE_H */
