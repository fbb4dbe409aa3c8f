/* layer_model.c - weights of a made-up layer: uniform, scaled so that activations keep their size.
 */
#include "common/layer_model.h"

#include <math.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/payload.h"

enum { STREAM_ROUTER = 1, STREAM_W13, STREAM_W2, STREAM_BIAS13, STREAM_BIAS2, STREAMS };

void layer_model_init(layer_model *m, bool random_router)
{
    uint64_t count = (uint64_t)m->num_experts * m->hidden;

    m->gate.struct_size = sizeof(m->gate);
    m->gate.num_experts = m->num_experts;
    m->gate.topk = m->topk;
    m->router = tool_alloc("router", count, sizeof(*m->router));
    if (random_router)
        payload_matrix(m->seed, STREAM_ROUTER, EPX_TYPE_F32, count, 2.0f / sqrtf((float)m->hidden),
                       m->router);
}

void layer_model_close(layer_model *m)
{
    free(m->router);
    m->router = NULL;
}

/* Rows of w13: gate and up, or up alone. */
static uint64_t w13_rows(const layer_model *m, bool shared)
{
    uint64_t ffn = shared ? m->shared_ffn : m->ffn;

    return m->activation == EPX_ACT_RELU ? ffn : 2 * ffn;
}

epx_ffn layer_ffn(const layer_model *m, const layer_weights *w, int32_t slots, bool shared)
{
    return (epx_ffn){.struct_size = sizeof(epx_ffn),
                     .type = (uint32_t)m->type,
                     .activation = m->activation,
                     .hidden = m->hidden,
                     .ffn = shared ? m->shared_ffn : m->ffn,
                     .num_slots = slots,
                     .w13 = w->w13,
                     .w2 = w->w2,
                     .bias13 = w->bias13,
                     .bias2 = w->bias2};
}

layer_weights layer_weights_alloc(const layer_model *m, int32_t slots, bool shared)
{
    size_t size = epx_type_size(m->type), count = (size_t)slots;
    size_t ffn = shared ? m->shared_ffn : m->ffn;
    layer_weights w = {0};

    w.w13 = tool_alloc("expert weights", count * w13_rows(m, shared), m->hidden * size);
    w.w2 = tool_alloc("expert weights", count * m->hidden, ffn * size);
    if (m->has_bias && !shared) {
        w.bias13 = tool_alloc("expert biases", count * 2 * ffn, sizeof(float));
        w.bias2 = tool_alloc("expert biases", count * m->hidden, sizeof(float));
    }
    return w;
}

void layer_weights_free(layer_weights *w)
{
    free(w->w13);
    free(w->w2);
    free(w->bias13);
    free(w->bias2);
    *w = (layer_weights){0};
}

void layer_weights_fill(const layer_model *m, layer_weights *w, int32_t slot, int32_t expert)
{
    bool shared = expert < 0;
    uint64_t ffn = shared ? m->shared_ffn : m->ffn, at = (uint64_t)slot;
    uint64_t count13 = w13_rows(m, shared) * m->hidden, count2 = ffn * m->hidden;
    uint64_t stream = (uint64_t)(expert + 1) * STREAMS;
    size_t size = epx_type_size(m->type);

    payload_matrix(m->seed, stream + STREAM_W13, m->type, count13, sqrtf(3.0f / (float)m->hidden),
                   (char *)w->w13 + at * count13 * size);
    payload_matrix(m->seed, stream + STREAM_W2, m->type, count2, sqrtf(3.0f / (float)ffn),
                   (char *)w->w2 + at * count2 * size);
    if (w->bias13 == NULL)
        return;
    payload_matrix(m->seed, stream + STREAM_BIAS13, EPX_TYPE_F32, 2 * ffn, 0.1f,
                   w->bias13 + at * 2 * ffn);
    payload_matrix(m->seed, stream + STREAM_BIAS2, EPX_TYPE_F32, m->hidden, 0.1f,
                   w->bias2 + at * m->hidden);
}
