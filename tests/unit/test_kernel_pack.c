/* The gather of rows: any size of row, repeats, and an index outside written nowhere. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <epx/kernels.h>

#include "support/data.h"

static void rows_of_any_size_are_gathered_in_order(void **state)
{
    static const size_t sizes[] = {1, 2, 3, 7, 64, 200, 4096, 65536};
    uint64_t seed = 1;

    (void)state;
    for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
        const size_t bytes = sizes[s], rows = 5, count = 13;
        unsigned char *from = data_guarded(rows * bytes), *out = data_guarded(count * bytes);
        uint32_t row_of[13];

        for (size_t i = 0; i < rows * bytes; i++)
            from[i] = (unsigned char)epx_rng_next(&seed);
        for (size_t i = 0; i < count; i++)
            row_of[i] = (uint32_t)epx_rng_below(&seed, rows);
        assert_int_equal(epx_kernel_pack(from, rows, bytes, row_of, count, out), EPX_OK);
        for (size_t i = 0; i < count; i++)
            assert_memory_equal(out + i * bytes, from + row_of[i] * bytes, bytes);
        data_check_and_free(from, rows * bytes);
        data_check_and_free(out, count * bytes);
    }
}

static void bad_rows_and_shapes_are_refused(void **state)
{
    unsigned char from[8] = {1}, out[8] = {0}, before[8] = {0};
    uint32_t row_of[3] = {0, 2, 1};

    (void)state;
    assert_int_equal(epx_kernel_pack(from, 2, 2, row_of, 3, out), EPX_ERR_INVALID);
    assert_non_null(strstr(epx_last_error(), "row_of[1] is 2, there are 2"));
    assert_memory_equal(out, before, sizeof(out));
    assert_int_equal(epx_kernel_pack(from, 3, 0, row_of, 3, out), EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_pack(NULL, 3, 2, row_of, 3, out), EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_pack(from, 3, 2, NULL, 3, out), EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_pack(from, 3, 2, row_of, 3, NULL), EPX_ERR_INVALID);
    assert_int_equal(epx_kernel_pack(from, 3, 16, row_of, UINT64_MAX / 8, out), EPX_ERR_OVERFLOW);
    assert_int_equal(epx_kernel_pack(from, UINT64_MAX / 8, 16, row_of, 3, out), EPX_ERR_OVERFLOW);
    assert_int_equal(epx_kernel_pack(NULL, 0, 2, NULL, 0, NULL), EPX_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_any_size_are_gathered_in_order),
        cmocka_unit_test(bad_rows_and_shapes_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
