/* Combine on one rank: the exact chain of additions, skipped positions, every type. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <epx/kernels.h>

#include "support/data.h"

static const epx_type all_types[] = {EPX_TYPE_BF16, EPX_TYPE_F32, EPX_TYPE_F16};

/* One element by the header's words. */
static float chain(const void *outputs, epx_type type, size_t elems, const uint64_t *position,
                   const float *weights, uint32_t topk, size_t elem)
{
    bool started = false;
    float sum = 0;

    for (uint32_t j = 0; j < topk; j++) {
        float product;

        if (position[j] == UINT64_MAX)
            continue;
        product = weights[j] * data_get(outputs, type, position[j] * elems + elem);
        sum = started ? sum + product : product;
        started = true;
    }
    return sum;
}

static void check(epx_type type, uint32_t elems, uint64_t tokens, uint32_t topk, uint64_t *seed)
{
    const size_t rows = 17, pairs = tokens * topk;
    size_t bytes = tokens * elems * epx_type_size(type);
    void *outputs = data_random(type, rows * elems, 1.0, seed), *out = data_guarded(bytes);
    float *weights = data_random(EPX_TYPE_F32, pairs, 1.0, seed);
    uint64_t *position = data_guarded(pairs * sizeof(*position));

    for (size_t i = 0; i < pairs; i++)
        position[i] = epx_rng_below(seed, 4) == 0 ? UINT64_MAX : epx_rng_below(seed, rows);
    assert_int_equal(epx_kernel_combine(outputs, type, elems, position, weights, tokens, topk, out),
                     EPX_OK);
    for (uint64_t t = 0; t < tokens; t++)
        for (uint32_t e = 0; e < elems; e++) {
            unsigned char want[4];

            data_put(want, type, 0,
                     chain(outputs, type, elems, position + t * topk, weights + t * topk, topk, e));
            assert_memory_equal((unsigned char *)out + (t * elems + e) * epx_type_size(type), want,
                                epx_type_size(type));
        }
    data_check_and_free(outputs, rows * elems * epx_type_size(type));
    data_check_and_free(out, bytes);
    data_check_and_free(weights, pairs * sizeof(*weights));
    data_check_and_free(position, pairs * sizeof(*position));
}

static void the_sum_is_one_chain_in_ascending_order(void **state)
{
    static const uint32_t elems[] = {1, 7, 100, 4096, 4097, 9000};
    static const uint32_t topks[] = {1, 2, 8, 32};
    uint64_t seed = 1;

    (void)state;
    for (size_t t = 0; t < 3; t++)
        for (size_t e = 0; e < sizeof(elems) / sizeof(*elems); e++)
            for (size_t k = 0; k < sizeof(topks) / sizeof(*topks); k++)
                check(all_types[t], elems[e], elems[e] > 100 ? 2 : 9, topks[k], &seed);
}

static void a_row_of_nan_reaches_only_its_tokens(void **state)
{
    float rows[3][2] = {{1, 2}, {NAN, NAN}, {3, 4}}, out[3][2];
    const uint64_t position[3][2] = {{0, 2}, {1, 0}, {UINT64_MAX, UINT64_MAX}};
    const float weights[3][2] = {{1, 1}, {0, 1}, {NAN, NAN}};

    (void)state;
    assert_int_equal(
        epx_kernel_combine(rows, EPX_TYPE_F32, 2, &position[0][0], &weights[0][0], 3, 2, out),
        EPX_OK);
    assert_true(out[0][0] == 4 && out[0][1] == 6);
    assert_true(isnan(out[1][0]) && isnan(out[1][1]));
    assert_true(out[2][0] == 0 && out[2][1] == 0); /* nothing to sum */
}

static void bad_shapes_are_refused(void **state)
{
    float row[2] = {0}, weight = 1, out[2] = {5, 5};
    uint64_t position = 0, many = UINT64_MAX / 4;
    const epx_type f32 = EPX_TYPE_F32;

    (void)state;
    assert_int_equal(epx_kernel_combine(row, (epx_type)9, 2, &position, &weight, 1, 1, out),
                     EPX_ERR_INVALID);
    assert_non_null(strstr(epx_last_error(), "type 9"));
    assert_int_equal(epx_kernel_combine(row, f32, 0, &position, &weight, 1, 1, out),
                     EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_combine(row, f32, 2, &position, &weight, 1, 0, out),
                     EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_combine(row, f32, 2, &position, &weight, 1, 33, out),
                     EPX_ERR_INVALID);
    assert_non_null(strstr(epx_last_error(), "33"));
    assert_int_equal(epx_kernel_combine(row, f32, 2, &position, &weight, many, 1, out),
                     EPX_ERR_OVERFLOW);
    assert_int_equal(epx_kernel_combine(NULL, f32, 2, &position, &weight, 1, 1, out),
                     EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_combine(row, f32, 2, NULL, &weight, 1, 1, out), EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_combine(row, f32, 2, &position, NULL, 1, 1, out), EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_combine(row, f32, 2, &position, &weight, 1, 1, NULL),
                     EPX_ERR_INVALID);
    assert_true(out[0] == 5 && out[1] == 5);
    assert_int_equal(epx_kernel_combine(NULL, f32, 2, NULL, NULL, 0, 1, NULL), EPX_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sum_is_one_chain_in_ascending_order),
        cmocka_unit_test(a_row_of_nan_reaches_only_its_tokens),
        cmocka_unit_test(bad_shapes_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
