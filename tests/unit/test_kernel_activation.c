/* The activations against double, at their corners, and over instruction sets. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/activation.h"
#include "support/data.h"

#define COUNT 10007u

static double reference(epx_activation activation, double gate, double up)
{
    const double root = sqrt(2 / 3.14159265358979323846);

    switch (activation) {
    case EPX_ACT_SWIGLU:
        return gate / (1 + exp(-gate)) * up;
    case EPX_ACT_SWIGLU_CLAMP:
        gate = fmin(gate, 7);
        return gate / (1 + exp(-1.702 * gate)) * (fmax(fmin(up, 7), -7) + 1);
    case EPX_ACT_GELU_GLU:
        return 0.5 * gate * (1 + tanh(root * (gate + 0.044715 * gate * gate * gate))) * up;
    case EPX_ACT_RELU:
        return fmax(up, 0);
    }
    return NAN;
}

static void values_match_the_definitions(void **state)
{
    static float gate[COUNT], up[COUNT], out[COUNT];
    uint64_t seed = 1;

    (void)state;
    for (int activation = 0; activation <= EPX_ACT_RELU; activation++)
        for (int scale = 1; scale <= 100; scale *= 10) { /* 100: far into the tails */
            for (size_t i = 0; i < COUNT; i++) {
                gate[i] = (float)(data_normal(&seed) * scale);
                out[i] = up[i] = (float)(data_normal(&seed) * scale);
            }
            epx_activate(epx_isa_best(), (epx_activation)activation, gate, out, COUNT);
            for (size_t i = 0; i < COUNT; i++) {
                double want = reference((epx_activation)activation, (double)gate[i], (double)up[i]);
                double scale_of_error = fabs(want) + 1e-3 * fabs((double)gate[i] * (double)up[i]);

                assert_true(fabs((double)out[i] - want) <= 2e-6 * scale_of_error + 1e-30);
            }
        }
}

static void clamps_hold_exactly(void **state)
{
    float gate[4] = {7, 1e30f, 8, 7}, up[4] = {7, 9, 1e30f, 7.5f};

    (void)state;
    epx_activate(epx_isa_best(), EPX_ACT_SWIGLU_CLAMP, gate, up, 4);
    for (int i = 1; i < 4; i++)
        assert_true(up[i] == up[0]);
    gate[0] = gate[1] = 3;
    up[0] = -7;
    up[1] = -1e30f;
    epx_activate(epx_isa_best(), EPX_ACT_SWIGLU_CLAMP, gate, up, 2);
    assert_true(up[0] == up[1] && up[0] < -17);
}

static void tails_are_finite_and_nan_stays_nan(void **state)
{
    (void)state;
    for (int activation = 0; activation <= EPX_ACT_RELU; activation++) {
        float gate[5] = {-1000, -88.8f, 1000, NAN, 1}, up[5] = {2, 2, 2, 2, NAN};
        float out[5];

        memcpy(out, up, sizeof(out));
        epx_activate(epx_isa_best(), (epx_activation)activation, gate, out, 5);
        for (int i = 0; i < 3; i++)
            assert_true(isfinite(out[i]));
        assert_int_equal(isnan(out[3]) != 0, epx_activation_gated((epx_activation)activation));
        assert_true(isnan(out[4]));
    }
}

static void every_instruction_set_gives_the_same_bits(void **state)
{
    static float gate[COUNT], up[COUNT], out[2][COUNT];
    uint64_t seed = 2;

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        gate[i] = (float)(data_normal(&seed) * (i % 7 == 0 ? 50 : 2));
        up[i] = (float)(data_normal(&seed) * (i % 5 == 0 ? 50 : 2));
    }
    for (int activation = 0; activation <= EPX_ACT_RELU; activation++) {
        memcpy(out[0], up, sizeof(up));
        epx_activate(EPX_ISA_GENERIC, (epx_activation)activation, gate, out[0], COUNT);
        for (int isa = EPX_ISA_AVX2; isa <= (int)epx_isa_best(); isa++) {
            memcpy(out[1], up, sizeof(up));
            epx_activate((epx_isa)isa, (epx_activation)activation, gate, out[1], COUNT);
            assert_memory_equal(out[0], out[1], sizeof(up));
        }
        for (size_t i = 0; i < COUNT; i += 97) { /* alone as in company */
            float one = up[i];

            epx_activate(epx_isa_best(), (epx_activation)activation, gate + i, &one, 1);
            assert_int_equal(epx_bits_of_float(one), epx_bits_of_float(out[0][i]));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_match_the_definitions),
        cmocka_unit_test(clamps_hold_exactly),
        cmocka_unit_test(tails_are_finite_and_nan_stays_nan),
        cmocka_unit_test(every_instruction_set_gives_the_same_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
