/* test_oracle.c - the oracle against sums done by hand: everything else is compared with it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/num.h"
#include "common/oracle.h"

/* Experts 0, 1 on rank 0, 2, 3 on rank 1, ...: local slot e % 2. */
static uint32_t two_per_rank(void *arg, const oracle_pair *pair, oracle_place out[EPX_MAX_SHARDS])
{
    (void)arg;
    out[0] = (oracle_place){.rank = pair->expert / 2, .slot = pair->expert % 2};
    return 1;
}

/* answers[expert] in one element. */
static void table_expert(void *arg, const oracle_pair *pair, void *y)
{
    *(float *)y = ((const float *)arg)[pair->expert];
}

static void bf16_table_expert(void *arg, const oracle_pair *pair, void *y)
{
    *(uint16_t *)y = num_bf16(((const float *)arg)[pair->expert]);
}

typedef struct job {
    oracle_job job;
    int32_t node_of[4];
    uint64_t num_tokens[4];
    const int32_t *ids[4];
    const float *weights[4];
} job;

/* Four ranks on two nodes {0, 1} and {2, 3}; rank 0 has the tokens. */
static void make_job(job *j, const int32_t *ids, const float *weights, uint64_t tokens,
                     uint32_t topk, float *answers)
{
    static const int32_t nodes[] = {7, 7, 3, 3}; /* the numbers mean nothing */

    memset(j, 0, sizeof(*j));
    memcpy(j->node_of, nodes, sizeof(nodes));
    j->num_tokens[0] = tokens;
    j->ids[0] = ids;
    j->weights[0] = weights;
    j->job = (oracle_job){.num_ranks = 4,
                          .node_of = j->node_of,
                          .topk = topk,
                          .num_tokens = j->num_tokens,
                          .ids = j->ids,
                          .weights = j->weights,
                          .combine_type = EPX_TYPE_F32,
                          .combine_elems = 1,
                          .places = two_per_rank,
                          .expert = table_expert,
                          .expert_arg = answers};
}

static void nodes_are_numbered_by_their_lowest_rank(void **state)
{
    static const int32_t node_of[] = {9, 4, 9, 0, 4};
    static const int32_t want[] = {0, 1, 0, 2, 1};
    int32_t got[5];

    (void)state;
    assert_int_equal(oracle_nodes(5, node_of, got), 3);
    assert_memory_equal(got, want, sizeof(want));
}

static void one_expert_gives_weight_times_answer(void **state)
{
    static const int32_t ids[] = {5};
    static const float weights[] = {0.25f};
    float answers[8] = {0, 0, 0, 0, 0, 3.0f, 0, 0}, y = -1;
    job j;

    (void)state;
    make_job(&j, ids, weights, 1, 1, answers);
    oracle_combine(&j.job, 0, &y);
    assert_float_equal(y, 0.75f, 0);
}

static void without_weights_every_weight_is_one(void **state)
{
    static const int32_t ids[] = {0, 6};
    float answers[8] = {1.5f, 0, 0, 0, 0, 0, 2.0f, 0}, y = -1;
    job j;

    (void)state;
    make_job(&j, ids, NULL, 1, 2, answers);
    oracle_combine(&j.job, 0, &y);
    assert_float_equal(y, 3.5f, 0);
    j.job.weights = NULL;
    y = -1;
    oracle_combine(&j.job, 0, &y);
    assert_float_equal(y, 3.5f, 0);
}

static void a_token_without_experts_gives_zero(void **state)
{
    static const int32_t ids[] = {-1, -1, -1, 2};
    float answers[8] = {9, 9, 7.0f, 9, 9, 9, 9, 9}, y[2] = {-1, -1};
    job j;

    (void)state;
    make_job(&j, ids, NULL, 2, 2, answers);
    oracle_combine(&j.job, 0, y);
    assert_int_equal(num_bits(y[0]), 0);
    assert_float_equal(y[1], 7.0f, 0);
}

/* 2^24 + 1 is 2^24 in float, so the order shows. */
static void experts_of_a_rank_are_added_in_ascending_order(void **state)
{
    static const int32_t ids[] = {1, 1, 0};
    static const float weights[] = {1.0f, -1.0f, 1.0f};
    float answers[8] = {1.0f, 0x1p24f}, y = -1;
    job j;

    (void)state;
    make_job(&j, ids, weights, 1, 3, answers);
    oracle_combine(&j.job, 0, &y);
    assert_float_equal(y, 0.0f, 0); /* (1 + 2^24) - 2^24; in the list's order it would be 1 */
}

static void an_expert_listed_twice_counts_twice(void **state)
{
    static const int32_t ids[] = {4, 4};
    static const float weights[] = {0.5f, 2.0f};
    float answers[8] = {0, 0, 0, 0, 3.0f}, y = -1;
    job j;

    (void)state;
    make_job(&j, ids, weights, 1, 2, answers);
    oracle_combine(&j.job, 0, &y);
    assert_float_equal(y, 7.5f, 0);
}

/* Node {0,1}: rank 0 gives 2^24, rank 1 gives 1: lost. Node {2,3}: 1. Sum 2^24 + 1: lost again.
 * As one chain over ranks in another grouping, 1 + 1 would have survived as 2^24 + 2. */
static void the_tree_goes_by_rank_then_node(void **state)
{
    static const int32_t ids[] = {0, 2, 4, 6};
    float answers[8] = {0x1p24f, 0, 1.0f, 0, 1.0f, 0, 1.0f, 0}, y = -1;
    job j;

    (void)state;
    make_job(&j, ids, NULL, 1, 4, answers);
    oracle_combine(&j.job, 0, &y);
    assert_float_equal(y, 0x1p24f + 2.0f, 0); /* (2^24 + 1 = 2^24) + (1 + 1) */
    j.node_of[3] = 7;                         /* node {0, 1, 3} first, then {2} */
    oracle_combine(&j.job, 0, &y);
    assert_float_equal(y, 0x1p24f, 0);
}

/* bf16 has 8 significant bits: 256 + 1 rounds to 256, ties to even. */
static void every_node_rounds_once_and_so_does_the_source(void **state)
{
    static const int32_t ids[] = {0, 2, 4, -1};
    float answers[8] = {256.0f, 0, 1.0f, 0, 1.0f, 0, 0, 0};
    uint16_t y = 0;
    job j;

    (void)state;
    make_job(&j, ids, NULL, 1, 4, answers);
    j.job.combine_type = EPX_TYPE_BF16;
    j.job.expert = bf16_table_expert;
    oracle_combine(&j.job, 0, &y);
    assert_int_equal(y, num_bf16(256.0f)); /* round(257) = 256; round(256 + 1) = 256 */
    j.node_of[2] = 7;                      /* all on one node: 256 + 1 + 1, rounded once */
    oracle_combine(&j.job, 0, &y);
    assert_int_equal(y, num_bf16(258.0f));
}

static void dispatch_orders_pairs_by_slot_node_rank_and_token(void **state)
{
    /* Ranks 1 and 3 are node 1, ranks 0 and 2 node 0: sources come in the order 0, 2, 1, 3. */
    static const int32_t nodes[] = {0, 1, 0, 1};
    static const int32_t ids[4][4] = {{1, 0, 0, -1}, {0, 0, 3, 1}, {1, 2, 1, 0}, {0, 1, -1, -1}};
    static const int32_t want[][4] = {/* slot, source, token, index */
                                      {0, 0, 0, 1}, {0, 0, 1, 0}, {0, 2, 1, 1}, {0, 1, 0, 0},
                                      {0, 1, 0, 1}, {0, 3, 0, 0}, {1, 0, 0, 0}, {1, 2, 0, 0},
                                      {1, 2, 1, 0}, {1, 1, 1, 1}, {1, 3, 0, 1}};
    oracle_pair *pairs;
    uint64_t count, i;
    job j;
    int r;

    (void)state;
    make_job(&j, ids[0], NULL, 2, 2, NULL);
    memcpy(j.node_of, nodes, sizeof(nodes));
    for (r = 0; r < 4; r++) {
        j.num_tokens[r] = 2;
        j.ids[r] = ids[r];
    }
    count = oracle_pairs(&j.job, 0, &pairs);
    assert_int_equal(count, sizeof(want) / sizeof(want[0]));
    for (i = 0; i < count; i++) {
        assert_int_equal(pairs[i].at.slot, want[i][0]);
        assert_int_equal(pairs[i].source, want[i][1]);
        assert_int_equal(pairs[i].token, want[i][2]);
        assert_int_equal(pairs[i].index, want[i][3]);
    }
    free(pairs);
}

static void counts_are_the_minimum_of_each_way(void **state)
{
    /* Token 0: ranks 0, 2, 2, 3: one remote node, two remote ranks, three remote pairs. Token 1:
     * rank 1 twice, nothing remote. Token 2: nothing. */
    static const int32_t ids[] = {0, 4, 5, 6, 2, 3, -1, -1, -1, -1, -1, -1};
    static const uint64_t want[] = {1, 2, 2, 1};
    oracle_counts counts;
    uint64_t rank_pairs[4];
    job j;

    (void)state;
    make_job(&j, ids, NULL, 3, 4, NULL);
    oracle_count(&j.job, &counts, rank_pairs);
    assert_int_equal(counts.pairs, 6);
    assert_int_equal(counts.far_pairs, 3);
    assert_int_equal(counts.rank_rows, 4);
    assert_int_equal(counts.far_rank_rows, 2);
    assert_int_equal(counts.node_rows, 1);
    assert_int_equal(counts.max_pairs, 2);
    assert_memory_equal(rank_pairs, want, sizeof(want));
    assert_true(fabs(counts.imbalance - 2 * 4.0 / 6) < 1e-12);
}

/* Every expert in two shards: on rank 1 and on rank 2. */
static uint32_t two_shards(void *arg, const oracle_pair *pair, oracle_place out[EPX_MAX_SHARDS])
{
    (void)arg;
    out[0] = (oracle_place){.rank = 1, .slot = pair->expert};
    out[1] = (oracle_place){.rank = 2, .slot = pair->expert};
    return 2;
}

static float shard_side(void *arg, const oracle_pair *pair)
{
    (void)arg;
    return pair->shard == 0 ? 0x1p24f : (float)pair->index;
}

static void the_side_channel_adds_shards_and_leaves_zero_for_none(void **state)
{
    static const int32_t ids[] = {3, -1, 0, 1};
    float side[4] = {-1, -1, -1, -1};
    job j;

    (void)state;
    make_job(&j, ids, NULL, 1, 4, NULL);
    j.job.places = two_shards;
    oracle_combine_side(&j.job, 0, shard_side, NULL, side);
    assert_float_equal(side[0], 0x1p24f, 0);
    assert_float_equal(side[1], 0.0f, 0);
    assert_float_equal(side[2], 0x1p24f + 2.0f, 0);
    assert_float_equal(side[3], 0x1p24f + 4.0f, 0); /* 2^24 + 3, ties to even */
}

static void sixteen_bit_types_round_to_nearest_even(void **state)
{
    static const struct {
        float value;
        uint16_t bf16, f16;
    } cases[] = {
        {0.0f, 0x0000, 0x0000},           {-0.0f, 0x8000, 0x8000},
        {1.0f, 0x3f80, 0x3c00},           {-2.5f, 0xc020, 0xc100},
        {1.00390625f, 0x3f80, 0x3c04},    /* 1 + 2^-8: a tie in bf16 */
        {1.01171875f, 0x3f82, 0x3c0c},    /* 1 + 3 * 2^-8: a tie, up to even */
        {1.00048828125f, 0x3f80, 0x3c00}, /* 1 + 2^-11: a tie in f16 */
        {65519.0f, 0x4780, 0x7bff},       {65520.0f, 0x4780, 0x7c00},
        {0x1p-24f, 0x3380, 0x0001},       {0x1p-25f, 0x3300, 0x0000}, /* a tie to zero in f16 */
        {0x1.8p-24f, 0x33c0, 0x0002},     {0x1p-14f, 0x3880, 0x0400},
        {0x1.ffcp-15f, 0x3880, 0x0400}, /* rounds up into the normals in both */
        {3.4028235e38f, 0x7f80, 0x7c00},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(num_bf16(cases[i].value), cases[i].bf16);
        assert_int_equal(num_f16(cases[i].value), cases[i].f16);
    }
    for (i = 0; i < 0x7c00; i++)
        assert_int_equal(num_f16(num_of_f16((uint16_t)i)), i);
    assert_true(isnan(num_of_f16(num_f16(NAN))) && isinf(num_of_f16(0xfc00)));
    assert_int_equal(num_bf16(num_float(0x7f800001)), 0x7fc0); /* a NaN stays one */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_are_numbered_by_their_lowest_rank),
        cmocka_unit_test(one_expert_gives_weight_times_answer),
        cmocka_unit_test(without_weights_every_weight_is_one),
        cmocka_unit_test(a_token_without_experts_gives_zero),
        cmocka_unit_test(experts_of_a_rank_are_added_in_ascending_order),
        cmocka_unit_test(an_expert_listed_twice_counts_twice),
        cmocka_unit_test(the_tree_goes_by_rank_then_node),
        cmocka_unit_test(every_node_rounds_once_and_so_does_the_source),
        cmocka_unit_test(dispatch_orders_pairs_by_slot_node_rank_and_token),
        cmocka_unit_test(counts_are_the_minimum_of_each_way),
        cmocka_unit_test(the_side_channel_adds_shards_and_leaves_zero_for_none),
        cmocka_unit_test(sixteen_bit_types_round_to_nearest_even),
    };

    return cmocka_run_group_tests_name("oracle", tests, NULL, NULL);
}
