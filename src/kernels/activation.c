/* activation.c - x sigmoid(x) and its relatives. gelu_tanh is one of them:
 * (1 + tanh u) / 2 = sigmoid(2u). */
#include "kernels/activation.h"

#include "kernels/expf.h"

#define CLAMP 7.0f                    /* GPT-OSS */
#define CLAMP_ALPHA 1.702f            /* GPT-OSS */
#define GELU_TWICE_ROOT 1.5957691216f /* 2 sqrt(2 / pi) */
#define GELU_CUBIC 0.044715f

EPX_BODY float silu(float x)
{
    return x / (1.0f + epx_expf(-x));
}

EPX_BODY float gelu(float x)
{
    return x / (1.0f + epx_expf(-GELU_TWICE_ROOT * (x + GELU_CUBIC * x * x * x)));
}

EPX_BODY float clamped(float gate, float up)
{
    gate = gate > CLAMP ? CLAMP : gate;
    up = up > CLAMP ? CLAMP : up;
    up = up < -CLAMP ? -CLAMP : up;
    return gate / (1.0f + epx_expf(-CLAMP_ALPHA * gate)) * (up + 1.0f);
}

EPX_BODY void body(epx_activation activation, const float *restrict gate, float *restrict up,
                   size_t count)
{
    if (activation == EPX_ACT_SWIGLU)
        for (size_t i = 0; i < count; i++)
            up[i] = silu(gate[i]) * up[i];
    else if (activation == EPX_ACT_SWIGLU_CLAMP)
        for (size_t i = 0; i < count; i++)
            up[i] = clamped(gate[i], up[i]);
    else if (activation == EPX_ACT_GELU_GLU)
        for (size_t i = 0; i < count; i++)
            up[i] = gelu(gate[i]) * up[i];
    else
        for (size_t i = 0; i < count; i++)
            up[i] = up[i] < 0.0f ? 0.0f : up[i];
}

static void activate_generic(epx_activation activation, const float *gate, float *up, size_t count)
{
    body(activation, gate, up, count);
}

EPX_TARGET_AVX2 static void activate_avx2(epx_activation activation, const float *gate, float *up,
                                          size_t count)
{
    body(activation, gate, up, count);
}

EPX_TARGET_AVX512 static void activate_avx512(epx_activation activation, const float *gate,
                                              float *up, size_t count)
{
    body(activation, gate, up, count);
}

void epx_activate(epx_isa isa, epx_activation activation, const float *gate, float *up,
                  size_t count)
{
    if (isa == EPX_ISA_AVX512)
        activate_avx512(activation, gate, up, count);
    else if (isa == EPX_ISA_AVX2)
        activate_avx2(activation, gate, up, count);
    else
        activate_generic(activation, gate, up, count);
}
