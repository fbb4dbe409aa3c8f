/* The four gates against their definitions in double, with ties, NaN, infinities and bad shapes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <epx/kernels.h>

#include "support/data.h"

#define TOKENS 9

static const int32_t expert_counts[] = {1, 2, 7, 60, 128, 160, 256, 384, EPX_MAX_EXPERTS};

/* Repeated search for the best not yet taken; equal scores: lowest first. */
static void pick(const double *scores, const bool *allowed, int32_t experts, uint32_t topk,
                 int32_t *ids)
{
    bool taken[EPX_MAX_EXPERTS] = {false};

    for (uint32_t j = 0; j < topk; j++) {
        int32_t best = -1;

        for (int32_t e = 0; e < experts; e++)
            if (!taken[e] && allowed[e] && (best < 0 || scores[e] > scores[best]))
                best = e;
        assert_true(best >= 0);
        taken[best] = true;
        ids[j] = best;
    }
}

static void allow_groups(const epx_gate *gate, const double *scores, bool *allowed)
{
    uint32_t groups = gate->num_groups ? gate->num_groups : 1;
    uint32_t top = gate->top_groups ? gate->top_groups : groups;
    uint32_t size = (uint32_t)gate->num_experts / groups;
    static double sums[EPX_MAX_EXPERTS];
    static bool every[EPX_MAX_EXPERTS];
    int32_t best[EPX_MAX_EXPERTS];

    memset(every, 1, sizeof(every));
    for (uint32_t g = 0; g < groups; g++) {
        int32_t two[2];

        pick(scores + g * size, every, (int32_t)size, size < 2 ? 1 : 2, two);
        sums[g] = scores[g * size + (uint32_t)two[0]] +
                  (size < 2 ? 0 : scores[g * size + (uint32_t)two[1]]);
    }
    pick(sums, every, (int32_t)groups, top, best);
    memset(allowed, 0, EPX_MAX_EXPERTS);
    for (uint32_t i = 0; i < top; i++)
        memset(allowed + (uint32_t)best[i] * size, 1, size);
}

/* What the header promises for one token whose logits are numbers and not all -inf. */
static void reference(const epx_gate *gate, const float *logits, int32_t *ids, double *weights)
{
    static double scores[EPX_MAX_EXPERTS], values[EPX_MAX_EXPERTS];
    static bool allowed[EPX_MAX_EXPERTS];
    double all = 0, chosen = 0, max = -INFINITY, scale = gate->scale == 0 ? 1 : (double)gate->scale;

    memset(allowed, 1, sizeof(allowed));
    for (int32_t e = 0; e < gate->num_experts; e++)
        max = fmax(max, (double)logits[e]);
    for (int32_t e = 0; e < gate->num_experts; e++) {
        if (gate->kind == EPX_GATE_SIGMOID_GROUPS) {
            values[e] = 1 / (1 + exp(-(double)logits[e]));
            scores[e] = values[e] + (gate->bias ? (double)gate->bias[e] : 0);
        } else {
            values[e] = (double)logits[e] == max ? 1 : exp((double)logits[e] - max);
            scores[e] = (double)logits[e];
        }
        all += values[e];
    }
    if (gate->kind == EPX_GATE_SIGMOID_GROUPS)
        allow_groups(gate, scores, allowed);
    pick(scores, allowed, gate->num_experts, gate->topk, ids);
    for (uint32_t j = 0; j < gate->topk; j++)
        chosen += values[ids[j]];
    for (uint32_t j = 0; j < gate->topk; j++)
        weights[j] = scale * values[ids[j]] / (gate->kind == EPX_GATE_SOFTMAX_TOPK ? all : chosen);
}

static void run(const epx_gate *gate, const float *logits, uint64_t tokens, int32_t *ids,
                float *weights)
{
    size_t count = tokens * gate->topk;
    int32_t *ids_out = data_guarded(count * sizeof(*ids_out));
    float *weights_out = data_guarded(count * sizeof(*weights_out));

    assert_int_equal(epx_kernel_gate(gate, logits, tokens, ids_out, weights_out), EPX_OK);
    memcpy(ids, ids_out, count * sizeof(*ids));
    memcpy(weights, weights_out, count * sizeof(*weights));
    data_check_and_free(ids_out, count * sizeof(*ids_out));
    data_check_and_free(weights_out, count * sizeof(*weights_out));
}

static void check(const epx_gate *gate, const float *logits, uint64_t tokens)
{
    int32_t ids[TOKENS * EPX_MAX_TOPK], want_ids[EPX_MAX_TOPK];
    float weights[TOKENS * EPX_MAX_TOPK];
    double want[EPX_MAX_TOPK];

    run(gate, logits, tokens, ids, weights);
    for (uint64_t t = 0; t < tokens; t++) {
        reference(gate, logits + t * (size_t)gate->num_experts, want_ids, want);
        for (uint32_t j = 0; j < gate->topk; j++) {
            assert_int_equal(ids[t * gate->topk + j], want_ids[j]);
            assert_true(fabs((double)weights[t * gate->topk + j] - want[j]) <= 1e-6);
        }
    }
}

static void every_gate_matches_its_definition(void **state)
{
    static float logits[TOKENS * EPX_MAX_EXPERTS], bias[EPX_MAX_EXPERTS];
    static const uint32_t topks[] = {1, 2, 4, 6, 8, 10, 16, 32};
    uint64_t seed = 1;

    (void)state;
    for (size_t i = 0; i < sizeof(expert_counts) / sizeof(*expert_counts); i++)
        for (size_t k = 0; k < sizeof(topks) / sizeof(*topks); k++)
            for (uint32_t kind = 0; kind <= EPX_GATE_SIGMOID_GROUPS; kind++) {
                epx_gate gate = {.struct_size = sizeof(gate),
                                 .kind = kind,
                                 .num_experts = expert_counts[i],
                                 .topk = topks[k]};
                uint32_t experts = (uint32_t)gate.num_experts;

                gate.topk = topks[k] > experts ? experts : topks[k]; /* E = k comes up */
                for (size_t n = 0; n < TOKENS * experts; n++)
                    logits[n] = (float)data_normal(&seed) * 2.0f;
                for (size_t n = 0; n < experts; n++)
                    bias[n] = (float)data_normal(&seed) * 0.1f;
                check(&gate, logits, TOKENS);
                gate.scale = 2.5f;
                check(&gate, logits, TOKENS);
                if (kind != EPX_GATE_SIGMOID_GROUPS)
                    continue;
                gate.bias = bias;
                check(&gate, logits, TOKENS);
                for (gate.num_groups = 2; gate.num_groups <= 8; gate.num_groups *= 2)
                    for (gate.top_groups = 1; gate.top_groups <= gate.num_groups; gate.top_groups++)
                        if (experts % gate.num_groups == 0 &&
                            gate.topk <= experts / gate.num_groups * gate.top_groups)
                            check(&gate, logits, TOKENS);
            }
}

static void a_group_may_be_a_single_expert(void **state)
{
    float logits[8] = {0, 3, 1, 2, -1, 5, 4, -2};
    epx_gate gate = {.struct_size = sizeof(gate),
                     .kind = EPX_GATE_SIGMOID_GROUPS,
                     .num_experts = 8,
                     .topk = 3,
                     .num_groups = 8,
                     .top_groups = 3};

    (void)state;
    check(&gate, logits, 1);
}

static void equal_logits_go_to_the_lowest_experts(void **state)
{
    static float logits[EPX_MAX_EXPERTS];
    int32_t ids[EPX_MAX_TOPK];
    float weights[EPX_MAX_TOPK];

    (void)state;
    for (uint32_t kind = 0; kind <= EPX_GATE_SIGMOID_GROUPS; kind++)
        for (size_t i = 0; i < sizeof(expert_counts) / sizeof(*expert_counts); i++) {
            epx_gate gate = {.struct_size = sizeof(gate),
                             .kind = kind,
                             .num_experts = expert_counts[i],
                             .topk = 2};

            gate.topk = gate.num_experts < 2 ? 1 : 2;
            for (int32_t e = 0; e < gate.num_experts; e++)
                logits[e] = 0.75f;
            run(&gate, logits, 1, ids, weights);
            for (uint32_t j = 0; j < gate.topk; j++) {
                uint32_t share =
                    kind == EPX_GATE_SOFTMAX_TOPK ? (uint32_t)gate.num_experts : gate.topk;

                assert_int_equal(ids[j], j);
                assert_true(fabs((double)weights[j] - 1.0 / share) < 1e-7);
            }
        }
}

static void ties_between_some_are_broken_by_number(void **state)
{
    static float logits[TOKENS * 60];
    uint64_t seed = 2;

    (void)state;
    for (int round = 0; round < 50; round++)
        for (uint32_t kind = 0; kind <= EPX_GATE_SIGMOID_GROUPS; kind++) {
            epx_gate gate = {
                .struct_size = sizeof(gate), .kind = kind, .num_experts = 60, .topk = 8};

            for (size_t n = 0; n < TOKENS * 60; n++)
                logits[n] = (float)epx_rng_below(&seed, 6) - 3.0f;
            if (kind == EPX_GATE_SIGMOID_GROUPS && round % 2 == 1) {
                gate.num_groups = 6;
                gate.top_groups = 3;
            }
            check(&gate, logits, TOKENS);
        }
}

static void a_nan_logit_counts_as_minus_infinity_and_is_counted(void **state)
{
    uint64_t nans = 100;

    (void)state;
    for (uint32_t kind = 0; kind <= EPX_GATE_SIGMOID_GROUPS; kind++) {
        float dirty[6] = {NAN, 1, NAN, 2, -INFINITY, 0.5f}, clean[6];
        int32_t ids[2][4];
        float weights[2][4];
        epx_gate gate = {.struct_size = sizeof(gate),
                         .kind = kind,
                         .num_experts = 6,
                         .topk = 4,
                         .nan_count = &nans};

        for (int e = 0; e < 6; e++)
            clean[e] = isnan(dirty[e]) ? -INFINITY : dirty[e];
        run(&gate, dirty, 1, ids[0], weights[0]);
        gate.nan_count = NULL;
        run(&gate, clean, 1, ids[1], weights[1]);
        assert_memory_equal(ids[0], ids[1], sizeof(ids[0]));
        assert_memory_equal(weights[0], weights[1], sizeof(weights[0]));
        assert_int_equal(ids[0][0], 3);
        assert_int_equal(ids[0][3], 0); /* the lowest of those with nothing */
        assert_true(weights[0][3] == 0.0f);
        assert_int_equal(nans, 100 + 2 * (kind + 1));
    }
}

static void a_token_without_a_logit_gets_neighbours_of_its_own_number(void **state)
{
    static float logits[TOKENS * 5];

    (void)state;
    for (uint32_t kind = 0; kind <= EPX_GATE_SIGMOID_GROUPS; kind++) {
        uint64_t nans = 0;
        int32_t ids[TOKENS * 3];
        float weights[TOKENS * 3];
        epx_gate gate = {.struct_size = sizeof(gate),
                         .kind = kind,
                         .num_experts = 5,
                         .topk = 3,
                         .scale = 2.0f,
                         .nan_count = &nans};

        for (size_t i = 0; i < TOKENS * 5; i++)
            logits[i] = i % 2 == 0 ? NAN : -INFINITY;
        run(&gate, logits, TOKENS, ids, weights);
        for (int32_t t = 0; t < TOKENS; t++)
            for (int32_t j = 0; j < 3; j++) {
                assert_int_equal(ids[t * 3 + j], (t + j) % 5);
                assert_true(weights[t * 3 + j] == 2.0f / 3.0f);
            }
        assert_int_equal(nans, (TOKENS * 5 + 1) / 2);
    }
}

static void huge_and_infinite_logits_give_finite_weights(void **state)
{
    static const float rows[][4] = {{INFINITY, 1, INFINITY, 2},
                                    {1e30f, -1e30f, 1e30f, 0},
                                    {-1e30f, -1e30f, -1e30f, -1e30f},
                                    {3.4e38f, -3.4e38f, 0, NAN},
                                    {-INFINITY, -200, -INFINITY, -201}};

    (void)state;
    for (uint32_t kind = 0; kind <= EPX_GATE_SIGMOID_GROUPS; kind++)
        for (size_t r = 0; r < sizeof(rows) / sizeof(*rows); r++) {
            int32_t ids[3];
            float weights[3], sum = 0;
            epx_gate gate = {
                .struct_size = sizeof(gate), .kind = kind, .num_experts = 4, .topk = 3};

            run(&gate, rows[r], 1, ids, weights);
            for (int j = 0; j < 3; j++) {
                assert_true(isfinite(weights[j]) && weights[j] >= 0);
                assert_true(ids[j] >= 0 && ids[j] < 4);
                sum += weights[j];
            }
            assert_true(sum > 0.74f && sum < 1.0001f);
            if (kind != EPX_GATE_SIGMOID_GROUPS && r < 2) {
                assert_int_equal(ids[0], 0);
                assert_int_equal(ids[1], 2);
                assert_true(weights[0] == 0.5f && weights[1] == 0.5f);
            }
        }
}

static void the_bias_moves_the_choice_but_not_the_weight(void **state)
{
    float logits[4] = {0, 0, 0, 0}, bias[4] = {0, 0, 1, 2}, weights[2];
    int32_t ids[2];
    epx_gate gate = {.struct_size = sizeof(gate),
                     .kind = EPX_GATE_SIGMOID_GROUPS,
                     .num_experts = 4,
                     .topk = 2,
                     .bias = bias};

    (void)state;
    run(&gate, logits, 1, ids, weights);
    assert_int_equal(ids[0], 3);
    assert_int_equal(ids[1], 2);
    assert_true(weights[0] == 0.5f && weights[1] == 0.5f);
}

static void sigmoids_that_sum_to_zero_share_equally(void **state)
{
    float logits[4] = {-INFINITY, -500, -INFINITY, -500}, weights[2];
    int32_t ids[2];
    epx_gate gate = {.struct_size = sizeof(gate),
                     .kind = EPX_GATE_SIGMOID_GROUPS,
                     .num_experts = 4,
                     .topk = 2,
                     .scale = 3.0f};

    (void)state;
    run(&gate, logits, 1, ids, weights);
    assert_true(weights[0] == 1.5f && weights[1] == 1.5f);
}

static void a_token_is_gated_alone(void **state)
{
    static float logits[128 * 160];
    static int32_t all_ids[128 * 8];
    static float all_weights[128 * 8];
    uint64_t seed = 3;

    (void)state;
    for (size_t i = 0; i < 128 * 160; i++)
        logits[i] = (float)data_normal(&seed);
    for (uint32_t kind = 0; kind <= EPX_GATE_SIGMOID_GROUPS; kind++) {
        epx_gate gate = {.struct_size = sizeof(gate), .kind = kind, .num_experts = 160, .topk = 8};

        run(&gate, logits, 128, all_ids, all_weights);
        for (size_t t = 0; t < 128; t++) {
            int32_t ids[8];
            float weights[8];

            run(&gate, logits + t * 160, 1, ids, weights);
            assert_memory_equal(ids, all_ids + t * 8, sizeof(ids));
            assert_memory_equal(weights, all_weights + t * 8, sizeof(weights));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_gate_matches_its_definition),
        cmocka_unit_test(a_group_may_be_a_single_expert),
        cmocka_unit_test(equal_logits_go_to_the_lowest_experts),
        cmocka_unit_test(ties_between_some_are_broken_by_number),
        cmocka_unit_test(a_nan_logit_counts_as_minus_infinity_and_is_counted),
        cmocka_unit_test(a_token_without_a_logit_gets_neighbours_of_its_own_number),
        cmocka_unit_test(huge_and_infinite_logits_give_finite_weights),
        cmocka_unit_test(the_bias_moves_the_choice_but_not_the_weight),
        cmocka_unit_test(sigmoids_that_sum_to_zero_share_equally),
        cmocka_unit_test(a_token_is_gated_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
