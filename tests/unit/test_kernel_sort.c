/* The sort by expert against a naive stable sort, and its refusals. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <epx/kernels.h>

#include "support/data.h"

/* For each expert, the choices in their order. */
static void naive(const int32_t *ids, uint64_t pairs, int32_t experts, uint64_t *begin,
                  uint64_t *order)
{
    uint64_t next = 0;

    for (int32_t e = 0; e < experts; e++) {
        begin[e] = next;
        for (uint64_t i = 0; i < pairs; i++)
            if (ids[i] == e)
                order[next++] = i;
    }
    begin[experts] = next;
}

static void check(const int32_t *ids, uint64_t tokens, uint32_t topk, int32_t experts)
{
    uint64_t pairs = tokens * topk;
    size_t begin_bytes = ((size_t)experts + 1) * sizeof(uint64_t), used;
    uint64_t *begin = data_guarded(begin_bytes), *order = data_guarded(pairs * sizeof(uint64_t));
    uint64_t *want_begin = data_guarded(begin_bytes);
    uint64_t *want_order = data_guarded(pairs * sizeof(uint64_t));

    naive(ids, pairs, experts, want_begin, want_order);
    assert_int_equal(epx_kernel_sort(ids, tokens, topk, experts, begin, order), EPX_OK);
    assert_memory_equal(begin, want_begin, begin_bytes);
    used = want_begin[experts] * sizeof(uint64_t);
    assert_memory_equal(order, want_order, used);
    for (size_t i = used; i < pairs * sizeof(uint64_t); i++) /* the rest was left alone */
        assert_int_equal(((unsigned char *)order)[i], 0xff);
    data_check_and_free(begin, begin_bytes);
    data_check_and_free(order, pairs * sizeof(uint64_t));
    data_check_and_free(want_begin, begin_bytes);
    data_check_and_free(want_order, pairs * sizeof(uint64_t));
}

static void random_choices_are_sorted_stably(void **state)
{
    static const int32_t experts[] = {1, 2, 7, 60, 128, 160, 256, 384};
    static int32_t ids[300 * 8];
    uint64_t seed = 1;

    (void)state;
    for (size_t i = 0; i < sizeof(experts) / sizeof(*experts); i++)
        for (uint32_t topk = 1; topk <= 8; topk++)
            for (int round = 0; round < 3; round++) {
                uint64_t tokens = epx_rng_below(&seed, 301);

                for (size_t n = 0; n < tokens * topk; n++) /* -1 and repeats come up */
                    ids[n] = (int32_t)epx_rng_below(&seed, (uint64_t)experts[i] + 1) - 1;
                check(ids, tokens, topk, experts[i]);
            }
}

static void one_expert_may_take_all_and_none_may_be_chosen(void **state)
{
    static int32_t ids[100 * 2];

    (void)state;
    for (size_t n = 0; n < 200; n++)
        ids[n] = 6;
    check(ids, 100, 2, 7);
    for (size_t n = 0; n < 200; n++)
        ids[n] = -1;
    check(ids, 100, 2, 7);
    check(ids, 0, 2, 7);
    check(ids, 100, 2, EPX_MAX_EXPERTS);
}

static void an_unknown_expert_is_refused_with_its_place(void **state)
{
    static const int32_t bad[] = {8, -2, INT32_MAX, INT32_MIN};
    uint64_t begin[9], order[6], before[9];

    (void)state;
    memset(begin, 0x77, sizeof(begin));
    memcpy(before, begin, sizeof(begin));
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        int32_t ids[6] = {0, 7, -1, 3, 0, 0};
        char expected[64];

        ids[3] = bad[i];
        snprintf(expected, sizeof(expected), "choice 1 of token 1 is expert %d", bad[i]);
        assert_int_equal(epx_kernel_sort(ids, 3, 2, 8, begin, order), EPX_ERR_BAD_ROUTING);
        assert_non_null(strstr(epx_last_error(), expected));
        assert_memory_equal(begin, before, sizeof(begin));
    }
}

static void bad_shapes_are_refused(void **state)
{
    int32_t ids[2] = {0, 1};
    uint64_t begin[3], order[2];

    (void)state;
    assert_int_equal(epx_kernel_sort(ids, 1, 2, 0, begin, order), EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_sort(ids, 1, 2, 4097, begin, order), EPX_ERR_INVALID);
    assert_non_null(strstr(epx_last_error(), "4097"));
    assert_int_equal(epx_kernel_sort(ids, 1, 0, 2, begin, order), EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_sort(ids, 1, 33, 2, begin, order), EPX_ERR_INVALID);
    assert_non_null(strstr(epx_last_error(), "33"));
    assert_int_equal(epx_kernel_sort(ids, UINT64_MAX / 16, 2, 2, begin, order), EPX_ERR_OVERFLOW);
    assert_int_equal(epx_kernel_sort(NULL, 1, 2, 2, begin, order), EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_sort(ids, 1, 2, 2, NULL, order), EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_sort(ids, 1, 2, 2, begin, NULL), EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_sort(NULL, 0, 2, 2, begin, NULL), EPX_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_choices_are_sorted_stably),
        cmocka_unit_test(one_expert_may_take_all_and_none_may_be_chosen),
        cmocka_unit_test(an_unknown_expert_is_refused_with_its_place),
        cmocka_unit_test(bad_shapes_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
