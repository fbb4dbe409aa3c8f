/* The tree's arithmetic: exact bits against a plain scalar loop, for every type and instruction
 * set, at sizes around the tile, and nothing written outside. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/reduce.h"
#include "support/data.h"

#define MAX_ELEMS 9000u
#define MAX_TERMS 12u

static const epx_type all_types[] = {EPX_TYPE_BF16, EPX_TYPE_F32, EPX_TYPE_F16};
static const uint32_t all_elems[] = {0, 1, 7, 31, 100, 4095, 4096, 4097, MAX_ELEMS};

/* The tree as the header of exchange.h words it, one element at a time. */
static float tree(const epx_term *terms, size_t count, epx_type type, size_t elem)
{
    float node = 0, rank = 0;
    bool node_started = false, rank_started = false;

    for (size_t i = 0; i < count; i++) {
        float product = terms[i].weight * data_get(terms[i].row, type, elem);

        if (terms[i].first_of_rank && rank_started) {
            node = node_started ? node + rank : rank;
            node_started = true;
            rank_started = false;
        }
        rank = rank_started ? rank + product : product;
        rank_started = true;
    }
    if (rank_started)
        node = node_started ? node + rank : rank;
    return node;
}

static void compare_bits(float a, float b)
{
    assert_int_equal(epx_bits_of_float(a), epx_bits_of_float(b));
}

static void check_terms(const epx_term *terms, size_t count, epx_type type, uint32_t first,
                        uint32_t elems)
{
    float *acc = data_guarded(elems * sizeof(*acc));

    epx_reduce_terms(terms, count, type, first, elems, acc);
    for (uint32_t i = 0; i < elems; i++)
        compare_bits(acc[i], tree(terms, count, type, (size_t)first + i));
    data_check_and_free(acc, elems * sizeof(*acc));
}

static void terms_are_summed_in_the_order_of_the_tree(void **state)
{
    static float rows[MAX_TERMS][MAX_ELEMS + 64];
    epx_term terms[MAX_TERMS];
    uint64_t seed = 1;

    (void)state;
    for (size_t t = 0; t < 3; t++) {
        for (size_t r = 0; r < MAX_TERMS; r++)
            for (size_t i = 0; i < MAX_ELEMS + 64; i++)
                data_put(rows[r], all_types[t], i, (float)data_normal(&seed));
        for (size_t round = 0; round < 40; round++) {
            size_t count = epx_rng_below(&seed, MAX_TERMS + 1);

            for (size_t r = 0; r < count; r++)
                terms[r] = (epx_term){.row = rows[epx_rng_below(&seed, MAX_TERMS)],
                                      .weight = (float)data_normal(&seed),
                                      .first_of_rank = epx_rng_below(&seed, 2) == 0};
            check_terms(terms, count, all_types[t], (uint32_t)epx_rng_below(&seed, 64),
                        all_elems[round % (sizeof(all_elems) / sizeof(*all_elems))]);
        }
    }
}

static void grouping_by_rank_changes_the_bits(void **state)
{
    float one = 1.0f, tiny = 0x1p-24f, acc_a, acc_b;
    epx_term terms[3] = {{&one, 1.0f, true}, {&tiny, 1.0f, true}, {&tiny, 1.0f, false}};

    (void)state;
    epx_reduce_terms(terms, 3, EPX_TYPE_F32, 0, 1, &acc_a); /* 1 + (tiny + tiny) */
    terms[2].first_of_rank = true;
    epx_reduce_terms(terms, 3, EPX_TYPE_F32, 0, 1, &acc_b); /* (1 + tiny) + tiny */
    assert_true(acc_a == 1.0f + 0x1p-23f);
    assert_true(acc_b == 1.0f);
}

static void a_product_is_rounded_before_it_is_added(void **state)
{
    float y = 1.0f + 0x1p-12f, minus = -(1.0f + 0x1p-11f), acc;
    epx_term terms[2] = {{&minus, 1.0f, true}, {&y, 1.0f + 0x1p-12f, false}};

    (void)state;
    epx_reduce_terms(terms, 2, EPX_TYPE_F32, 0, 1, &acc);
    assert_true(acc == 0.0f); /* a fused multiply-add would leave 2^-24 */
}

static void one_negative_zero_stays_negative(void **state)
{
    float zero = -0.0f, acc = 1;
    epx_term term = {&zero, 1.0f, true};

    (void)state;
    epx_reduce_terms(&term, 1, EPX_TYPE_F32, 0, 1, &acc);
    assert_true(acc == 0.0f && signbit(acc));
    epx_reduce_terms(&term, 0, EPX_TYPE_F32, 0, 1, &acc);
    assert_true(acc == 0.0f && !signbit(acc));
}

static void rows_widen_add_and_round_exactly(void **state)
{
    static float source[MAX_ELEMS], row[MAX_ELEMS], back[MAX_ELEMS];
    uint64_t seed = 2;

    (void)state;
    for (size_t t = 0; t < 3; t++)
        for (size_t s = 0; s < sizeof(all_elems) / sizeof(*all_elems); s++) {
            uint32_t elems = all_elems[s];
            float *acc = data_guarded(elems * sizeof(*acc));

            for (uint32_t i = 0; i < elems; i++) {
                source[i] = (float)data_normal(&seed);
                data_put(row, all_types[t], i, source[i]);
            }
            epx_round_row(source, all_types[t], elems, back);
            assert_memory_equal(back, row, elems * epx_type_size(all_types[t]));
            epx_widen_row(row, all_types[t], elems, acc);
            for (uint32_t i = 0; i < elems; i++)
                compare_bits(acc[i], data_get(row, all_types[t], i));
            epx_add_row(row, all_types[t], elems, acc);
            epx_add_floats(source, elems, acc);
            for (uint32_t i = 0; i < elems; i++)
                compare_bits(acc[i], data_get(row, all_types[t], i) * 2.0f + source[i]);
            data_check_and_free(acc, elems * sizeof(*acc));
        }
}

static void every_instruction_set_gives_the_same_bits(void **state)
{
    static uint32_t bits[1u << 16];
    static float wide[2][1u << 16];
    static uint16_t narrow[2][1u << 16];
    uint64_t seed = 3;

    (void)state;
    for (uint32_t i = 0; i < 1u << 16; i++) { /* any pattern but NaN, whose payload is free */
        bits[i] = (uint32_t)epx_rng_next(&seed);
        if ((bits[i] & 0x7f800000u) == 0x7f800000u)
            bits[i] &= ~0x007fffffu;
    }
    for (int isa = EPX_ISA_AVX2; isa <= (int)epx_isa_best(); isa++)
        for (size_t t = 0; t < 3; t++) {
            uint32_t elems = (1u << 16) - 5u;

            epx_reduce_round(EPX_ISA_GENERIC, (const float *)bits, all_types[t], elems / 2,
                             narrow[0]);
            epx_reduce_round((epx_isa)isa, (const float *)bits, all_types[t], elems / 2, narrow[1]);
            assert_memory_equal(narrow[0], narrow[1], elems / 2 * epx_type_size(all_types[t]));
            for (int add = 0; add < 2; add++)
                for (int which = 0; which < 2; which++)
                    epx_reduce_row(which ? (epx_isa)isa : EPX_ISA_GENERIC, narrow[0], all_types[t],
                                   0.3f, add, elems / 2, wide[which]);
            for (uint32_t i = 0; i < elems / 2; i++)
                if (!isnan(wide[0][i]) || !isnan(wide[1][i]))
                    compare_bits(wide[0][i], wide[1][i]);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terms_are_summed_in_the_order_of_the_tree),
        cmocka_unit_test(grouping_by_rank_changes_the_bits),
        cmocka_unit_test(a_product_is_rounded_before_it_is_added),
        cmocka_unit_test(one_negative_zero_stays_negative),
        cmocka_unit_test(rows_widen_add_and_round_exactly),
        cmocka_unit_test(every_instruction_set_gives_the_same_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
