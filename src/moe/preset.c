/* preset.c - the MoE layers of published models, from their configuration files: mistralai/Mixtral,
 * deepseek-ai/deepseek-moe-16b and DeepSeek-V3, Qwen/Qwen3, xai-org/grok-1, google/switch-base-128,
 * openai/gpt-oss-120b. */
#include <string.h>

#include <epx/moe.h>

static const epx_moe_preset presets[] = {
    {.name = "mixtral-8x7b",
     .hidden = 4096,
     .ffn = 14336,
     .num_experts = 8,
     .topk = 2,
     .activation = EPX_ACT_SWIGLU,
     .gate = EPX_GATE_TOPK_SOFTMAX,
     .scale = 1.0f},
    {.name = "mixtral-8x22b",
     .hidden = 6144,
     .ffn = 16384,
     .num_experts = 8,
     .topk = 2,
     .activation = EPX_ACT_SWIGLU,
     .gate = EPX_GATE_TOPK_SOFTMAX,
     .scale = 1.0f},
    {.name = "deepseek-moe-16b",
     .hidden = 2048,
     .ffn = 1408,
     .num_experts = 64,
     .topk = 6,
     .shared_ffn = 2 * 1408,
     .activation = EPX_ACT_SWIGLU,
     .gate = EPX_GATE_SOFTMAX_TOPK,
     .scale = 1.0f},
    {.name = "deepseek-v3",
     .hidden = 7168,
     .ffn = 2048,
     .num_experts = 256,
     .topk = 8,
     .shared_ffn = 2048,
     .activation = EPX_ACT_SWIGLU,
     .gate = EPX_GATE_SIGMOID_GROUPS,
     .num_groups = 8,
     .top_groups = 4,
     .scale = 2.5f},
    {.name = "qwen3-30b",
     .hidden = 2048,
     .ffn = 768,
     .num_experts = 128,
     .topk = 8,
     .activation = EPX_ACT_SWIGLU,
     .gate = EPX_GATE_SOFTMAX_RENORM,
     .scale = 1.0f},
    {.name = "qwen3-235b",
     .hidden = 4096,
     .ffn = 1536,
     .num_experts = 128,
     .topk = 8,
     .activation = EPX_ACT_SWIGLU,
     .gate = EPX_GATE_SOFTMAX_RENORM,
     .scale = 1.0f},
    {.name = "grok-1",
     .hidden = 6144,
     .ffn = 32768,
     .num_experts = 8,
     .topk = 2,
     .activation = EPX_ACT_GELU_GLU,
     .gate = EPX_GATE_SOFTMAX_TOPK,
     .scale = 1.0f},
    {.name = "switch-base-128",
     .hidden = 768,
     .ffn = 3072,
     .num_experts = 128,
     .topk = 1,
     .activation = EPX_ACT_RELU,
     .gate = EPX_GATE_SOFTMAX_TOPK,
     .scale = 1.0f},
    {.name = "gpt-oss-120b",
     .hidden = 2880,
     .ffn = 2880,
     .num_experts = 128,
     .topk = 4,
     .activation = EPX_ACT_SWIGLU_CLAMP,
     .gate = EPX_GATE_TOPK_SOFTMAX,
     .scale = 1.0f,
     .has_bias = 1},
};

const epx_moe_preset *epx_moe_preset_at(size_t index)
{
    return index < sizeof(presets) / sizeof(*presets) ? &presets[index] : NULL;
}

const epx_moe_preset *epx_moe_preset_find(const char *name)
{
    const epx_moe_preset *preset;

    if (name == NULL)
        return NULL;
    for (size_t i = 0; (preset = epx_moe_preset_at(i)) != NULL; i++)
        if (strcmp(preset->name, name) == 0)
            return preset;
    return NULL;
}
