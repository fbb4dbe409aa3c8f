/* gate.c - which experts a token goes to, and with which weights.
 *
 * A token is chosen for and weighted alone, from its own logits; sums run in ascending expert order
 * (over all) or in the order of choice (over the chosen), in double, and are rounded once. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include <epx/kernels.h>

#include "core/size.h"
#include "core/structs.h"
#include "kernels/choose.h"
#include "kernels/expf.h"

static epx_status check_groups(epx_gate *gate)
{
    uint32_t experts = (uint32_t)gate->num_experts, size;

    if (gate->kind != EPX_GATE_SIGMOID_GROUPS) {
        if (gate->num_groups > 1 || gate->top_groups > 1 || gate->bias != NULL)
            return epx_fail(EPX_ERR_INVALID,
                            "gate: %u groups, %u of them used, bias %s: only kind %d has these",
                            gate->num_groups, gate->top_groups, gate->bias ? "set" : "NULL",
                            EPX_GATE_SIGMOID_GROUPS);
        return EPX_OK;
    }
    gate->num_groups = gate->num_groups == 0 ? 1 : gate->num_groups;
    gate->top_groups = gate->top_groups == 0 ? gate->num_groups : gate->top_groups;
    if (experts % gate->num_groups != 0)
        return epx_fail(EPX_ERR_INVALID, "gate: %u groups do not divide %u experts",
                        gate->num_groups, experts);
    if (gate->top_groups > gate->num_groups)
        return epx_fail(EPX_ERR_INVALID, "gate: %u groups wanted out of %u", gate->top_groups,
                        gate->num_groups);
    size = experts / gate->num_groups;
    if (gate->topk > gate->top_groups * size)
        return epx_fail(EPX_ERR_INVALID, "gate: topk %u, but %u groups of %u experts have only %u",
                        gate->topk, gate->top_groups, size, gate->top_groups * size);
    for (uint32_t e = 0; gate->bias != NULL && e < experts; e++)
        if (!isfinite(gate->bias[e]))
            return epx_fail(EPX_ERR_INVALID, "gate: the bias of expert %u is %g", e,
                            (double)gate->bias[e]);
    return EPX_OK;
}

static epx_status read_gate(const epx_gate *theirs, epx_gate *gate)
{
    epx_status st = epx_struct_read("gate", theirs, gate, sizeof(*gate));

    if (st != EPX_OK)
        return st;
    if (gate->kind > EPX_GATE_SIGMOID_GROUPS)
        return epx_fail(EPX_ERR_INVALID, "gate: kind %u is none of 0..%d", gate->kind,
                        EPX_GATE_SIGMOID_GROUPS);
    if (gate->num_experts < 1 || gate->num_experts > EPX_MAX_EXPERTS)
        return epx_fail(EPX_ERR_INVALID, "gate: %d experts, 1..%d are possible", gate->num_experts,
                        EPX_MAX_EXPERTS);
    if (gate->topk < 1 || gate->topk > EPX_MAX_TOPK)
        return epx_fail(EPX_ERR_INVALID, "gate: topk %u, 1..%d are possible", gate->topk,
                        EPX_MAX_TOPK);
    if (gate->topk > (uint32_t)gate->num_experts)
        return epx_fail(EPX_ERR_INVALID, "gate: topk %u of only %d experts", gate->topk,
                        gate->num_experts);
    if (!isfinite(gate->scale))
        return epx_fail(EPX_ERR_INVALID, "gate: scale is %g", (double)gate->scale);
    gate->scale = gate->scale == 0 ? 1.0f : gate->scale;
    return check_groups(gate);
}

/* Copies a token's logits with NaN as -inf. Returns how many were NaN; *empty tells that nothing
 * above -inf is left. */
static uint32_t clean_logits(const float *logits, int32_t num_experts, float *clean, bool *empty)
{
    uint32_t nans = 0, dead = 0;

    for (int32_t e = 0; e < num_experts; e++) {
        bool nan = isnan(logits[e]) != 0;

        clean[e] = nan ? -INFINITY : logits[e];
        nans += nan;
        dead += clean[e] == -INFINITY;
    }
    *empty = dead == (uint32_t)num_experts;
    return nans;
}

/* e^(x - max), also where both are infinite. */
static float exp_below(float x, float max)
{
    return x == max ? 1.0f : epx_expf(x - max);
}

/* The softmax over all experts or, with `chosen`, over the chosen alone. Choosing by logit is
 * choosing by probability, without the ties that rounding makes; and renormalised probabilities
 * are the softmax over the chosen, because the sum over all cancels. */
static void softmax(const epx_gate *gate, const float *logits, bool chosen, epx_best *best,
                    float *weights)
{
    double sum = 0;

    for (int32_t e = 0; e < gate->num_experts; e++)
        epx_best_offer(best, logits[e], e);
    for (uint32_t j = 0; j < gate->topk; j++) {
        weights[j] = exp_below(best->score[j], best->score[0]);
        sum += (double)weights[j];
    }
    if (!chosen) {
        sum = 0;
        for (int32_t e = 0; e < gate->num_experts; e++)
            sum += (double)exp_below(logits[e], best->score[0]);
    }
    for (uint32_t j = 0; j < gate->topk; j++)
        weights[j] = (float)((double)weights[j] / sum * (double)gate->scale);
}

/* The sum of the two best scores (all of them finite) of each group. */
static void score_groups(const epx_gate *gate, const float *scores, float *sums)
{
    int32_t size = gate->num_experts / (int32_t)gate->num_groups, seen = 0;
    float best = -INFINITY, second = -INFINITY;

    for (int32_t e = 0; e < gate->num_experts; e++) {
        if (scores[e] > best) {
            second = best;
            best = scores[e];
        } else if (scores[e] > second) {
            second = scores[e];
        }
        if (++seen == size) {
            *sums++ = best + (size < 2 ? 0.0f : second);
            best = second = -INFINITY;
            seen = 0;
        }
    }
}

/* Takes the experts of all but the best groups out of the choice. */
static void keep_best_groups(const epx_gate *gate, float *scores)
{
    uint32_t size = (uint32_t)gate->num_experts / gate->num_groups;
    float sums[EPX_MAX_EXPERTS] = {0};
    bool kept[EPX_MAX_EXPERTS] = {false};

    score_groups(gate, scores, sums);
    for (uint32_t i = 0; i < gate->top_groups; i++) {
        uint32_t winner = gate->num_groups;

        for (uint32_t g = 0; g < gate->num_groups; g++)
            if (!kept[g] && (winner == gate->num_groups || sums[g] > sums[winner]))
                winner = g;
        kept[winner] = true;
    }
    for (uint32_t g = 0; g < gate->num_groups; g++)
        for (uint32_t e = g * size; !kept[g] && e < (g + 1) * size; e++)
            scores[e] = -INFINITY;
}

static void sigmoid_groups(const epx_gate *gate, const float *logits, epx_best *best,
                           float *weights)
{
    float sigmoids[EPX_MAX_EXPERTS], scores[EPX_MAX_EXPERTS];
    double sum = 0;

    for (int32_t e = 0; e < gate->num_experts; e++) {
        sigmoids[e] = epx_sigmoidf(logits[e]);
        scores[e] = sigmoids[e] + (gate->bias == NULL ? 0.0f : gate->bias[e]);
    }
    if (gate->top_groups < gate->num_groups)
        keep_best_groups(gate, scores);
    for (int32_t e = 0; e < gate->num_experts; e++)
        epx_best_offer(best, scores[e], e);
    for (uint32_t j = 0; j < gate->topk; j++)
        sum += (double)sigmoids[best->id[j]];
    for (uint32_t j = 0; j < gate->topk; j++)
        weights[j] = (float)((sum > 0 ? (double)sigmoids[best->id[j]] / sum : 1.0 / gate->topk) *
                             (double)gate->scale);
}

/* For a token without a usable logit: neighbours of its own number, so that many such tokens
 * spread over all experts. */
static void choose_any(const epx_gate *gate, uint64_t token, int32_t *ids, float *weights)
{
    for (uint32_t j = 0; j < gate->topk; j++) {
        ids[j] = (int32_t)((token % (uint32_t)gate->num_experts + j) % (uint32_t)gate->num_experts);
        weights[j] = (float)(1.0 / gate->topk * (double)gate->scale);
    }
}

static uint32_t gate_token(const epx_gate *gate, const float *logits, uint64_t token, int32_t *ids,
                           float *weights)
{
    epx_best best = {.wanted = gate->topk};
    float clean[EPX_MAX_EXPERTS];
    bool empty;
    uint32_t nans = clean_logits(logits, gate->num_experts, clean, &empty);

    if (empty) {
        choose_any(gate, token, ids, weights);
        return nans;
    }
    if (gate->kind == EPX_GATE_SIGMOID_GROUPS)
        sigmoid_groups(gate, clean, &best, weights);
    else
        softmax(gate, clean, gate->kind != EPX_GATE_SOFTMAX_TOPK, &best, weights);
    memcpy(ids, best.id, gate->topk * sizeof(*ids));
    return nans;
}

epx_status epx_kernel_gate(const epx_gate *theirs, const float *logits, uint64_t num_tokens,
                           int32_t *ids, float *weights)
{
    epx_gate gate;
    size_t bytes, experts;
    uint64_t nans = 0;
    epx_status st = read_gate(theirs, &gate);

    if (st != EPX_OK)
        return st;
    experts = (size_t)gate.num_experts;
    if (!epx_mul_size(num_tokens, experts * sizeof(*logits), &bytes))
        return epx_fail(EPX_ERR_OVERFLOW, "gate: %llu tokens x %zu experts do not fit",
                        (unsigned long long)num_tokens, experts);
    if (num_tokens > 0 && (logits == NULL || ids == NULL || weights == NULL))
        return epx_fail(EPX_ERR_INVALID, "gate: %s is NULL with %llu tokens",
                        logits == NULL ? "logits" : (ids == NULL ? "ids" : "weights"),
                        (unsigned long long)num_tokens);
    for (uint64_t t = 0; t < num_tokens; t++)
        nans += gate_token(&gate, logits + t * experts, t, ids + t * gate.topk,
                           weights + t * gate.topk);
    if (gate.nan_count != NULL)
        *gate.nan_count += nans;
    return EPX_OK;
}
