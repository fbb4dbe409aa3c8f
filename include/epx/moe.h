/* moe.h - the shapes of the MoE layers of published models. */
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

EPX_END_DECLS

#endif /* EPX_MOE_H */
