/* 16-bit floating point: every value survives, every tie goes to even, against definitions in
 * double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/rng.h"
#include "kernels/num.h"

typedef struct format {
    float (*widen)(uint16_t value);
    uint16_t (*narrow)(float value);
    uint16_t infinity; /* the pattern after the largest finite one */
    double beyond;     /* the finite value that would come next */
} format;

static const format formats[] = {
    {epx_float_of_bf16, epx_bf16_of_float, 0x7f80, 0x1p128},
    {epx_float_of_f16, epx_f16_of_float, 0x7c00, 65536.0},
};

static double value_of(const format *f, uint16_t bits)
{
    return bits == f->infinity ? f->beyond : (double)f->widen(bits);
}

static void widened_values_are_what_the_formats_define(void **state)
{
    (void)state;
    assert_true(epx_float_of_bf16(0x3f80) == 1.0f && epx_float_of_bf16(0xc049) == -3.140625f);
    assert_true(epx_float_of_bf16(0x0001) == 0x1p-133f);
    for (uint32_t bits = 0; bits < 0x7c00; bits++) { /* sign, 5 bits exponent, 10 bits fraction */
        int exponent = (int)(bits >> 10), fraction = (int)(bits & 1023);
        double want = exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);

        assert_true((double)epx_float_of_f16((uint16_t)bits) == want);
        assert_true((double)epx_float_of_f16((uint16_t)(bits | 0x8000u)) == -want);
    }
    assert_true(epx_float_of_f16(0x7c00) == INFINITY && epx_float_of_f16(0xfc00) == -INFINITY);
    assert_true(signbit(epx_float_of_f16(0x8000)) && signbit(epx_float_of_bf16(0x8000)));
}

static void every_value_survives_widening_and_narrowing(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++)
        for (uint32_t bits = 0; bits < 0x10000; bits++) {
            float wide = formats[i].widen((uint16_t)bits);
            uint16_t back = formats[i].narrow(wide);

            if ((bits & 0x7fffu) <= formats[i].infinity) {
                assert_int_equal(back, bits);
            } else { /* a NaN keeps its sign and payload, and becomes quiet */
                assert_true(isnan(wide));
                assert_int_equal(back, bits | (i == 0 ? 0x40u : 0x200u));
            }
        }
}

static void ties_go_to_even_and_all_else_to_the_nearest(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++)
        for (uint32_t low = 0; low < formats[i].infinity; low++) {
            const format *f = &formats[i];
            double a = value_of(f, (uint16_t)low), b = value_of(f, (uint16_t)(low + 1));
            float middle = (float)((a + b) / 2); /* exact: it needs one bit more */
            uint32_t even = low % 2 == 0 ? low : low + 1;

            assert_true((double)middle == (a + b) / 2);
            assert_int_equal(f->narrow(middle), even);
            assert_int_equal(f->narrow(-middle), even | 0x8000u);
            assert_int_equal(f->narrow(nextafterf(middle, 0.0f)), low);
            assert_int_equal(f->narrow(nextafterf(middle, INFINITY)), low + 1);
        }
}

static void random_floats_go_to_the_nearest(void **state)
{
    uint64_t seed = 1;

    (void)state;
    for (size_t i = 0; i < 2; i++)
        for (int n = 0; n < 2000000; n++) {
            const format *f = &formats[i];
            float x = epx_float_of_bits((uint32_t)epx_rng_next(&seed) & 0x7fffffffu);
            uint16_t got = f->narrow(x);
            double here, error;

            if (isnan(x)) {
                assert_true(isnan(f->widen(got)));
                continue;
            }
            if (isinf(x) || (double)x >= f->beyond) {
                assert_int_equal(got, f->infinity);
                continue;
            }
            here = value_of(f, got);
            error = fabs((double)x - here);
            if (got > 0)
                assert_true(error <= fabs((double)x - value_of(f, (uint16_t)(got - 1))));
            if (got < f->infinity)
                assert_true(error <= fabs((double)x - value_of(f, (uint16_t)(got + 1))));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widened_values_are_what_the_formats_define),
        cmocka_unit_test(every_value_survives_widening_and_narrowing),
        cmocka_unit_test(ties_go_to_even_and_all_else_to_the_nearest),
        cmocka_unit_test(random_floats_go_to_the_nearest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
