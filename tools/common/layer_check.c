/* layer_check.c - the answer of a MoE layer, computed twice more: in bits and in float64. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/layer_model.h"
#include "common/num.h"
#include "common/payload.h"

/* ---- float64 --------------------------------------------------------------------------------- */

static double activate(uint32_t activation, double gate, double up)
{
    switch (activation) {
    case EPX_ACT_SWIGLU_CLAMP:
        gate = fmin(gate, 7.0);
        up = fmax(fmin(up, 7.0), -7.0);
        return gate / (1.0 + exp(-1.702 * gate)) * (up + 1.0);
    case EPX_ACT_GELU_GLU:
        return 0.5 * gate *
               (1.0 + tanh(sqrt(2.0 / M_PI) * (gate + 0.044715 * gate * gate * gate))) * up;
    case EPX_ACT_RELU:
        return fmax(up, 0.0);
    default:
        return gate / (1.0 + exp(-gate)) * up;
    }
}

static double product(epx_type type, const void *matrix, uint64_t row, uint32_t length,
                      const double *x)
{
    double sum = 0;
    uint32_t i;

    for (i = 0; i < length; i++)
        sum += num_get(type, matrix, row * length + i) * x[i];
    return sum;
}

/* sum[h] += weight * ffn(x)[h] */
static void add_exact(const epx_ffn *ffn, const void *x, double weight, double *sum)
{
    epx_type type = (epx_type)ffn->type;
    double *in = tool_alloc("float64", ffn->hidden, sizeof(*in));
    double *middle = tool_alloc("float64", ffn->ffn, sizeof(*middle));
    uint32_t i;

    for (i = 0; i < ffn->hidden; i++)
        in[i] = num_get(type, x, i);
    for (i = 0; i < ffn->ffn; i++) {
        bool glu = ffn->activation != EPX_ACT_RELU;
        double gate = glu ? product(type, ffn->w13, i, ffn->hidden, in) : 0.0;
        double up = product(type, ffn->w13, i + (glu ? ffn->ffn : 0), ffn->hidden, in);

        if (ffn->bias13 != NULL) {
            gate += ffn->bias13[i];
            up += ffn->bias13[ffn->ffn + i];
        }
        middle[i] = activate(ffn->activation, gate, up);
    }
    for (i = 0; i < ffn->hidden; i++)
        sum[i] += weight * (product(type, ffn->w2, i, ffn->ffn, middle) +
                            (ffn->bias2 != NULL ? ffn->bias2[i] : 0.0));
    free(middle);
    free(in);
}

/* ---- Expert by expert ------------------------------------------------------------------------ */

typedef struct truth {
    const layer_model *m;
    const layer_job *job;
    const char *x;
    uint64_t num_tokens;
    size_t row_bytes;
    int32_t *ids;     /* [num_tokens][topk]; owns, as below */
    float *weights;   /* [num_tokens][topk] */
    char *answers;    /* [num_tokens][topk] rows: what each expert says */
    char *shared;     /* [num_tokens] rows of the shared expert, NULL without */
    char *want;       /* [num_tokens] rows */
    double *exact;    /* [samples][hidden] */
    uint64_t samples; /* sample s is token s * stride */
    uint64_t stride;
    void *workspace;
} truth;

static bool is_sample(const truth *t, uint64_t token, uint64_t *sample_out)
{
    *sample_out = token / t->stride;
    return token % t->stride == 0 && *sample_out < t->samples;
}

/* One expert on one token. */
static epx_status answer(truth *t, const epx_ffn *ffn, uint64_t token, double weight, char *row_out)
{
    static const uint64_t one_row[] = {0, 1};
    const char *x = t->x + token * t->row_bytes;
    epx_status st = epx_kernel_ffn(ffn, x, NULL, one_row, row_out, t->workspace);
    uint64_t sample;

    if (st == EPX_OK && is_sample(t, token, &sample))
        add_exact(ffn, x, weight, t->exact + sample * t->m->hidden);
    return st;
}

static epx_status answer_identity(truth *t)
{
    uint64_t pair, sample, count = t->num_tokens * t->m->topk;
    uint32_t i;

    for (pair = 0; pair < count; pair++) {
        const char *x = t->x + pair / t->m->topk * t->row_bytes;

        memcpy(t->answers + pair * t->row_bytes, x, t->row_bytes);
        if (!is_sample(t, pair / t->m->topk, &sample))
            continue;
        for (i = 0; i < t->m->hidden; i++)
            t->exact[sample * t->m->hidden + i] +=
                (double)t->weights[pair] * num_get(t->m->type, x, i);
    }
    return EPX_OK;
}

static epx_status answer_experts(truth *t)
{
    layer_weights w = layer_weights_alloc(t->m, 1, false);
    epx_ffn ffn = layer_ffn(t->m, &w, 1, false);
    uint64_t pair, count = t->num_tokens * t->m->topk;
    epx_status st = EPX_OK;
    int32_t expert;

    for (expert = 0; expert < t->m->num_experts && st == EPX_OK; expert++) {
        bool made = false;

        for (pair = 0; pair < count && st == EPX_OK; pair++) {
            if (t->ids[pair] != expert)
                continue;
            if (!made)
                layer_weights_fill(t->m, &w, 0, expert);
            made = true;
            st = answer(t, &ffn, pair / t->m->topk, (double)t->weights[pair],
                        t->answers + pair * t->row_bytes);
        }
    }
    layer_weights_free(&w);
    return st;
}

static epx_status answer_shared(truth *t)
{
    layer_weights w = layer_weights_alloc(t->m, 1, true);
    epx_ffn ffn = layer_ffn(t->m, &w, 1, true);
    epx_status st = EPX_OK;
    uint64_t token;

    layer_weights_fill(t->m, &w, 0, -1);
    for (token = 0; token < t->num_tokens && st == EPX_OK; token++)
        st = answer(t, &ffn, token, 1.0, t->shared + token * t->row_bytes);
    layer_weights_free(&w);
    return st;
}

/* ---- Summing up ------------------------------------------------------------------------------ */

static void recall_answer(void *arg, const oracle_pair *pair, void *y)
{
    const truth *t = arg;

    memcpy(y, t->answers + ((uint64_t)pair->token * t->m->topk + pair->index) * t->row_bytes,
           t->row_bytes);
}

static void sum_up(truth *t)
{
    size_t ranks = (size_t)t->job->num_ranks;
    uint64_t *num_tokens = tool_alloc("oracle", ranks, sizeof(*num_tokens)), i;
    const int32_t **ids = tool_alloc("oracle", ranks, sizeof(*ids));
    const float **weights = tool_alloc("oracle", ranks, sizeof(*weights));
    oracle_job job = {.num_ranks = t->job->num_ranks,
                      .node_of = t->job->node_of,
                      .topk = t->m->topk,
                      .num_tokens = num_tokens,
                      .ids = ids,
                      .weights = weights,
                      .combine_type = (uint32_t)t->m->type,
                      .combine_elems = t->m->hidden,
                      .places = oracle_table_places,
                      .places_arg = t->job->table,
                      .expert = recall_answer,
                      .expert_arg = t};

    num_tokens[t->job->rank] = t->num_tokens;
    ids[t->job->rank] = t->ids;
    weights[t->job->rank] = t->weights;
    oracle_combine(&job, t->job->rank, t->want);
    for (i = 0; t->shared != NULL && i < t->num_tokens * t->m->hidden; i++)
        num_put(t->m->type, t->want, i,
                num_get(t->m->type, t->want, i) + num_get(t->m->type, t->shared, i));
    free(weights);
    free(ids);
    free(num_tokens);
}

static double error_of(const truth *t, const void *y)
{
    double worst = 0;
    uint64_t s;
    uint32_t i;

    for (s = 0; s < t->samples; s++) {
        const double *exact = t->exact + s * t->m->hidden;
        double largest = 0, error = 0;

        for (i = 0; i < t->m->hidden; i++) {
            double have = num_get(t->m->type, y, s * t->stride * t->m->hidden + i);

            largest = fmax(largest, fabs(exact[i]));
            error = isfinite(have) ? fmax(error, fabs(have - exact[i])) : (double)INFINITY;
        }
        if (error > 0)
            worst = fmax(worst, error / largest);
    }
    return worst;
}

/* ---- The whole ------------------------------------------------------------------------------- */

static void truth_open(truth *t, const layer_model *m, const layer_job *job, const void *x,
                       uint64_t num_tokens)
{
    uint64_t pairs = num_tokens * m->topk;
    layer_weights none = {0};
    epx_ffn ffn = layer_ffn(m, &none, 1, false), shared = layer_ffn(m, &none, 1, true);
    size_t room = epx_kernel_ffn_workspace(&ffn);

    if (m->shared_ffn > 0 && epx_kernel_ffn_workspace(&shared) > room)
        room = epx_kernel_ffn_workspace(&shared);
    *t = (truth){.m = m, .job = job, .x = x, .num_tokens = num_tokens};
    t->row_bytes = m->hidden * epx_type_size(m->type);
    t->ids = tool_alloc("check", pairs, sizeof(*t->ids));
    t->weights = tool_alloc("check", pairs, sizeof(*t->weights));
    t->answers = tool_alloc("check", pairs, t->row_bytes);
    t->want = tool_alloc("check", num_tokens, t->row_bytes);
    if (m->shared_ffn > 0)
        t->shared = tool_alloc("check", num_tokens, t->row_bytes);
    t->samples = num_tokens < LAYER_SAMPLES ? num_tokens : LAYER_SAMPLES;
    t->stride = t->samples > 0 ? num_tokens / t->samples : 1;
    t->exact = tool_alloc("check", t->samples * m->hidden, sizeof(*t->exact));
    t->workspace = tool_alloc("check", room, 1);
}

static void truth_close(truth *t)
{
    free(t->workspace);
    free(t->exact);
    free(t->shared);
    free(t->want);
    free(t->answers);
    free(t->weights);
    free(t->ids);
}

static epx_status choose_experts(truth *t)
{
    const layer_model *m = t->m;
    float *logits = tool_alloc("check", t->num_tokens * (uint64_t)m->num_experts, sizeof(*logits));
    epx_status st = epx_kernel_logits(t->x, m->type, t->num_tokens, m->hidden, m->router,
                                      m->num_experts, logits);

    if (st == EPX_OK)
        st = epx_kernel_gate(&m->gate, logits, t->num_tokens, t->ids, t->weights);
    free(logits);
    return st;
}

epx_status layer_check(const layer_model *m, const layer_job *job, const void *x,
                       uint64_t num_tokens, const void *y, layer_verdict *verdict_out)
{
    truth t;
    epx_status st;

    truth_open(&t, m, job, x, num_tokens);
    st = choose_experts(&t);
    if (st == EPX_OK)
        st = m->identity ? answer_identity(&t) : answer_experts(&t);
    if (st == EPX_OK && t.shared != NULL)
        st = answer_shared(&t);
    if (st == EPX_OK) {
        sum_up(&t);
        verdict_out->wrong = payload_differ(m->type, num_tokens * m->hidden, t.want, y);
        verdict_out->max_rel_err = error_of(&t, y);
        verdict_out->limit = m->type == EPX_TYPE_F32 ? 0x1p-13 : 0x1p-6;
    }
    truth_close(&t);
    return st;
}
