/* e^x and the sigmoid against double, over a sample of all floats, and fixed bits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/expf.h"

#define STEP 4093u /* a prime: all exponents and all low bits come up */

/* Distance in units of the last place of `want`, a normal number. */
static double ulps(float got, double want)
{
    int exponent;

    frexp(want, &exponent);
    return fabs((double)got - want) / ldexp(1, exponent - 24);
}

static void the_exponential_is_within_one_ulp(void **state)
{
    (void)state;
    for (uint64_t bits = 0; bits < UINT64_C(1) << 32; bits += STEP) {
        float x = epx_float_of_bits((uint32_t)bits), y = epx_expf(x);
        double want = exp((double)x);

        if (isnan(x))
            assert_true(isnan(y));
        else if (want > 0x1.fffffefp127) /* rounds to infinity */
            assert_true(isinf(y) && y > 0);
        else if (want >= 0x1p-126)
            assert_true(ulps(y, want) < 1.0);
        else
            assert_true(fabs((double)y - want) <= 0x1p-149);
    }
}

static void the_sigmoid_is_within_three_ulp(void **state)
{
    (void)state;
    for (uint64_t bits = 0; bits < UINT64_C(1) << 32; bits += STEP) {
        float x = epx_float_of_bits((uint32_t)bits), y = epx_sigmoidf(x);
        double want = 1 / (1 + exp(-(double)x));

        if (isnan(x))
            assert_true(isnan(y));
        else if (want >= 0x1p-126)
            assert_true(ulps(y, want) < 3.0);
        else
            assert_true((double)y < 0x1p-126);
    }
}

static void special_values_are_exact(void **state)
{
    (void)state;
    assert_true(epx_expf(0.0f) == 1.0f && epx_expf(-0.0f) == 1.0f);
    assert_true(epx_expf(INFINITY) == INFINITY && epx_expf(-INFINITY) == 0.0f);
    assert_true(epx_sigmoidf(INFINITY) == 1.0f && epx_sigmoidf(-INFINITY) == 0.0f);
    assert_true(epx_sigmoidf(0.0f) == 0.5f);
}

/* Bits that must never change: outputs of earlier versions depend on them. */
static void the_bits_are_the_same_on_every_machine(void **state)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    (void)state;
    for (uint64_t bits = 0; bits < UINT64_C(1) << 32; bits += 65537) {
        float x = epx_float_of_bits((uint32_t)bits);

        if (!isnan(x))
            hash = (hash ^ epx_bits_of_float(epx_expf(x))) * UINT64_C(0x100000001b3);
    }
    assert_int_equal(hash, UINT64_C(0x3f399e1cb72058d5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_exponential_is_within_one_ulp),
        cmocka_unit_test(the_sigmoid_is_within_three_ulp),
        cmocka_unit_test(special_values_are_exact),
        cmocka_unit_test(the_bits_are_the_same_on_every_machine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
