/* Gates that make no sense are refused in one sentence with the number, outputs untouched. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <epx/kernels.h>

#include "support/data.h"

static const float infinite_bias[8] = {0, 0, INFINITY};

#define SIZE .struct_size = sizeof(epx_gate)
#define GROUPS SIZE, .kind = EPX_GATE_SIGMOID_GROUPS, .num_experts = 8

static const struct refusal {
    epx_gate gate;
    const char *part; /* of the sentence */
} refusals[] = {
    {{.struct_size = 3, .num_experts = 8, .topk = 4}, "struct_size 3"},
    {{SIZE, .kind = 4, .num_experts = 8, .topk = 4}, "kind 4"},
    {{SIZE, .num_experts = 0, .topk = 4}, "0 experts"},
    {{SIZE, .num_experts = -5, .topk = 4}, "-5 experts"},
    {{SIZE, .num_experts = 4097, .topk = 4}, "4097 experts"},
    {{SIZE, .num_experts = 8, .topk = 0}, "topk 0"},
    {{SIZE, .num_experts = 80, .topk = 33}, "topk 33"},
    {{SIZE, .num_experts = 8, .topk = 9}, "topk 9 of only 8"},
    {{SIZE, .num_experts = 8, .topk = 4, .scale = NAN}, "scale"},
    {{GROUPS, .topk = 4, .num_groups = 3}, "3 groups do not divide 8"},
    {{GROUPS, .topk = 4, .num_groups = 9}, "9 groups do not divide 8"},
    {{GROUPS, .topk = 4, .num_groups = 2, .top_groups = 3}, "3 groups wanted out of 2"},
    {{GROUPS, .topk = 4, .num_groups = 4, .top_groups = 1},
     "topk 4, but 1 groups of 2 experts have only 2"},
    {{GROUPS, .topk = 4, .bias = infinite_bias}, "bias of expert 2 is inf"},
    {{SIZE, .num_experts = 8, .topk = 4, .num_groups = 2}, "2 groups"},
    {{SIZE, .num_experts = 8, .topk = 4, .bias = infinite_bias}, "bias set"},
};

static void bad_shapes_are_refused_with_the_number(void **state)
{
    const float logits[EPX_MAX_EXPERTS + 1] = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
        int32_t id = 77;
        float weight = 88;

        assert_int_equal(epx_kernel_gate(&refusals[i].gate, logits, 1, &id, &weight),
                         EPX_ERR_INVALID);
        if (strstr(epx_last_error(), refusals[i].part) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", epx_last_error(), refusals[i].part);
        assert_true(id == 77 && weight == 88);
    }
}

static void null_buffers_and_counts_beyond_memory_are_refused(void **state)
{
    float logits[4] = {0}, weights[2];
    int32_t ids[2];
    epx_gate gate = {.struct_size = sizeof(gate), .num_experts = 4, .topk = 2};

    (void)state;
    assert_int_equal(epx_kernel_gate(NULL, logits, 1, ids, weights), EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_gate(&gate, NULL, 1, ids, weights), EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_gate(&gate, logits, 1, NULL, weights), EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_gate(&gate, logits, 1, ids, NULL), EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_gate(&gate, logits, UINT64_MAX / 8, ids, weights),
                     EPX_ERR_OVERFLOW);
    assert_int_equal(epx_kernel_gate(&gate, NULL, 0, NULL, NULL), EPX_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_shapes_are_refused_with_the_number),
        cmocka_unit_test(null_buffers_and_counts_beyond_memory_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
