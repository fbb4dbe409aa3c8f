/* The router's product: a plain chain bit by bit, any batch, any number of experts, refusals. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <epx/kernels.h>

#include "support/data.h"

static void check(epx_type type, uint64_t tokens, uint32_t hidden, int32_t experts, uint64_t *seed)
{
    size_t e = (size_t)experts, bytes = tokens * e * sizeof(float);
    void *x = data_random(type, tokens * hidden, 1.0, seed);
    float *router = data_random(EPX_TYPE_F32, e * hidden, 1.0, seed), *logits = data_guarded(bytes);

    assert_int_equal(epx_kernel_logits(x, type, tokens, hidden, router, experts, logits), EPX_OK);
    for (uint64_t t = 0; t < tokens; t++)
        for (size_t i = 0; i < e; i++) {
            float sum = 0;

            for (size_t h = 0; h < hidden; h++) {
                float product = router[i * hidden + h] * data_get(x, type, t * hidden + h);

                sum = sum + product;
            }
            assert_int_equal(epx_bits_of_float(logits[t * e + i]), epx_bits_of_float(sum));
        }
    data_check_and_free(x, tokens * hidden * epx_type_size(type));
    data_check_and_free(router, e * hidden * sizeof(float));
    data_check_and_free(logits, bytes);
}

static void logits_are_plain_sums_for_any_shape(void **state)
{
    static const int32_t experts[] = {1, 2, 7, 60, 128, 160, 256, 384};
    static const uint64_t tokens[] = {0, 1, 7, 16, 33, 65, 1, 3};
    static const epx_type types[] = {EPX_TYPE_BF16, EPX_TYPE_F32, EPX_TYPE_F16};
    uint64_t seed = 1;

    (void)state;
    for (size_t i = 0; i < sizeof(experts) / sizeof(*experts); i++)
        for (size_t t = 0; t < 3; t++)
            check(types[t], tokens[i], i % 2 ? 100 : 257, experts[i], &seed);
}

static void a_token_does_not_see_its_batch(void **state)
{
    const size_t tokens = 128, hidden = 200, experts = 60;
    uint64_t seed = 2;
    uint16_t *x = data_random(EPX_TYPE_BF16, tokens * hidden, 1.0, &seed);
    float *router = data_random(EPX_TYPE_F32, experts * hidden, 1.0, &seed);
    float *all = data_guarded(tokens * experts * sizeof(float)), one[60];

    (void)state;
    assert_int_equal(epx_kernel_logits(x, EPX_TYPE_BF16, tokens, 200, router, 60, all), EPX_OK);
    for (size_t t = 0; t < tokens; t++) {
        assert_int_equal(epx_kernel_logits(x + t * hidden, EPX_TYPE_BF16, 1, 200, router, 60, one),
                         EPX_OK);
        assert_memory_equal(one, all + t * experts, sizeof(one));
    }
    data_check_and_free(x, tokens * hidden * sizeof(*x));
    data_check_and_free(router, experts * hidden * sizeof(float));
    data_check_and_free(all, tokens * experts * sizeof(float));
}

static void bad_shapes_are_refused(void **state)
{
    float x[2] = {0}, router[2] = {0}, logits[1] = {7};
    const epx_type f32 = EPX_TYPE_F32;

    (void)state;
    assert_int_equal(epx_kernel_logits(x, (epx_type)8, 1, 2, router, 1, logits), EPX_ERR_INVALID);
    assert_non_null(strstr(epx_last_error(), "type 8"));
    assert_int_equal(epx_kernel_logits(x, f32, 1, 0, router, 1, logits), EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_logits(x, f32, 1, 2, router, 0, logits), EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_logits(x, f32, 1, 2, router, 4097, logits), EPX_ERR_INVALID);
    assert_non_null(strstr(epx_last_error(), "4097"));
    assert_int_equal(epx_kernel_logits(x, f32, UINT64_MAX / 4, 2, router, 1, logits),
                     EPX_ERR_OVERFLOW);
    assert_int_equal(epx_kernel_logits(NULL, f32, 1, 2, router, 1, logits), EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_logits(x, f32, 1, 2, NULL, 1, logits), EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_logits(x, f32, 1, 2, router, 1, NULL), EPX_ERR_INVALID);
    assert_true(logits[0] == 7);
    assert_int_equal(epx_kernel_logits(NULL, f32, 0, 2, NULL, 1, NULL), EPX_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_plain_sums_for_any_shape),
        cmocka_unit_test(a_token_does_not_see_its_batch),
        cmocka_unit_test(bad_shapes_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
