/* Layers and calls that make no sense are refused in one sentence, outputs untouched. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <epx/kernels.h>

#include "support/data.h"

#define SIZE .struct_size = sizeof(epx_ffn)

static const struct refusal {
    epx_ffn ffn;
    epx_status status;
    const char *part; /* of the sentence */
} refusals[] = {
    {{.struct_size = 5, .hidden = 4, .ffn = 4}, EPX_ERR_INVALID, "struct_size 5"},
    {{SIZE, .type = EPX_TYPE_F16, .hidden = 4, .ffn = 4}, EPX_ERR_INVALID, "type 2"},
    {{SIZE, .type = 99, .hidden = 4, .ffn = 4}, EPX_ERR_INVALID, "type 99"},
    {{SIZE, .activation = 4, .hidden = 4, .ffn = 4}, EPX_ERR_INVALID, "activation 4"},
    {{SIZE, .hidden = 0, .ffn = 4}, EPX_ERR_INVALID, "hidden 0"},
    {{SIZE, .hidden = 4, .ffn = 0}, EPX_ERR_INVALID, "ffn 0"},
    {{SIZE, .hidden = 4, .ffn = 4, .num_slots = -1}, EPX_ERR_INVALID, "-1 slots"},
    {{SIZE, .hidden = UINT32_MAX, .ffn = UINT32_MAX, .num_slots = 1}, EPX_ERR_OVERFLOW, "fit"},
};

static void bad_layers_are_refused_with_the_number(void **state)
{
    const uint64_t begin[2] = {0, 0};

    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
        const epx_ffn *ffn = &refusals[i].ffn;

        assert_int_equal(epx_kernel_ffn(ffn, NULL, NULL, begin, NULL, NULL), refusals[i].status);
        if (strstr(epx_last_error(), refusals[i].part) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", epx_last_error(), refusals[i].part);
        assert_int_equal(epx_kernel_ffn_workspace(ffn), 0);
    }
    assert_int_equal(epx_kernel_ffn(NULL, NULL, NULL, begin, NULL, NULL), EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_ffn_workspace(NULL), 0);
}

static void bad_calls_are_refused_and_write_nothing(void **state)
{
    static unsigned char workspace[1 << 20];
    const uint64_t good[3] = {0, 1, 2}, descending[3] = {0, 2, 1}, endless[3] = {0, 1, UINT64_MAX};
    float w[64] = {0}, x[8] = {0}, y[8] = {9};
    epx_ffn ffn = {.struct_size = sizeof(ffn),
                   .type = EPX_TYPE_F32,
                   .hidden = 4,
                   .ffn = 4,
                   .num_slots = 2,
                   .w13 = w,
                   .w2 = w},
            bare = ffn;

    (void)state;
    assert_true(epx_kernel_ffn_workspace(&ffn) <= sizeof(workspace));
    assert_int_equal(epx_kernel_ffn(&ffn, x, NULL, NULL, y, workspace), EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_ffn(&ffn, x, NULL, descending, y, workspace), EPX_ERR_INVALID);
    assert_non_null(strstr(epx_last_error(), "slot 1 begins at 2 and ends at 1"));
    assert_int_equal(epx_kernel_ffn(&ffn, x, NULL, endless, y, workspace), EPX_ERR_OVERFLOW);
    assert_int_equal(epx_kernel_ffn(&ffn, NULL, NULL, good, y, workspace), EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_ffn(&ffn, x, NULL, good, NULL, workspace), EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_ffn(&ffn, x, NULL, good, y, NULL), EPX_ERR_INVALID);
    bare.w13 = NULL;
    assert_int_equal(epx_kernel_ffn(&bare, x, NULL, good, y, workspace), EPX_ERR_INVALID);
    bare = ffn;
    bare.w2 = NULL;
    assert_int_equal(epx_kernel_ffn(&bare, x, NULL, good, y, workspace), EPX_ERR_INVALID);
    assert_non_null(strstr(epx_last_error(), "w2 is NULL with 2 rows"));
    assert_true(y[0] == 9 && y[1] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_layers_are_refused_with_the_number),
        cmocka_unit_test(bad_calls_are_refused_and_write_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
