/* One block of the product: exact on whole numbers, the same bits from every instruction set and
 * for every shape of block, and from a plain loop. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/gemm.h"
#include "support/data.h"

#define OUTPUTS 70u
#define ROWS 90u

typedef struct matrices {
    epx_gemm gemm;
    void *rows, *weights;
    epx_gemm_scratch *scratch;
    float *sums;
} matrices;

static void make(matrices *m, epx_type row_type, epx_type weight_type, uint32_t depth, bool whole,
                 uint64_t *seed)
{
    size_t rows = (size_t)ROWS * depth, weights = (size_t)OUTPUTS * depth;

    m->rows = whole ? data_integers(row_type, rows, 2, seed) : data_random(row_type, rows, 1, seed);
    m->weights = whole ? data_integers(weight_type, weights, 2, seed)
                       : data_random(weight_type, weights, 1, seed);
    m->scratch = data_guarded(sizeof(*m->scratch));
    m->sums = data_guarded(EPX_GEMM_ROWS * EPX_GEMM_COLS * sizeof(float));
    m->gemm = (epx_gemm){.rows = m->rows,
                         .row_type = row_type,
                         .weights = m->weights,
                         .weight_type = weight_type,
                         .depth = depth};
}

static void drop(matrices *m)
{
    size_t depth = m->gemm.depth;

    data_check_and_free(m->rows, ROWS * depth * epx_type_size(m->gemm.row_type));
    data_check_and_free(m->weights, OUTPUTS * depth * epx_type_size(m->gemm.weight_type));
    data_check_and_free(m->scratch, sizeof(*m->scratch));
    data_check_and_free(m->sums, EPX_GEMM_ROWS * EPX_GEMM_COLS * sizeof(float));
}

/* The sum that the header defines. */
static float chain(const epx_gemm *gemm, uint64_t row, uint64_t col)
{
    float sum = 0;

    for (size_t k = 0; k < gemm->depth; k++) {
        float product = data_get(gemm->weights, gemm->weight_type, col * gemm->depth + k) *
                        data_get(gemm->rows, gemm->row_type, row * gemm->depth + k);

        sum = sum + product;
    }
    return sum;
}

static void check_block(matrices *m, uint64_t first_row, uint32_t num_rows, uint64_t first_col,
                        uint32_t num_cols)
{
    for (int isa = 0; isa <= (int)epx_isa_best(); isa++) {
        m->gemm.isa = (epx_isa)isa;
        memset(m->scratch, 0xff, sizeof(*m->scratch));
        memset(m->sums, 0x3f, EPX_GEMM_ROWS * EPX_GEMM_COLS * sizeof(float)); /* about 0.75 */
        epx_gemm_block(&m->gemm, first_row, num_rows, first_col, num_cols, m->scratch, m->sums);
        for (uint32_t r = 0; r < num_rows; r++)
            for (uint32_t c = 0; c < num_cols; c++) {
                uint64_t row = m->gemm.row_of ? m->gemm.row_of[first_row + r] : first_row + r;
                float want = chain(&m->gemm, row, first_col + c);

                assert_int_equal(epx_bits_of_float(m->sums[r * EPX_GEMM_COLS + c]),
                                 epx_bits_of_float(want));
            }
        for (uint32_t i = num_rows * EPX_GEMM_COLS; i < EPX_GEMM_ROWS * EPX_GEMM_COLS; i++)
            assert_int_equal(epx_bits_of_float(m->sums[i]), 0x3f3f3f3fu); /* left alone */
    }
}

static void all_shapes_and_instruction_sets_give_the_bits_of_a_plain_loop(void **state)
{
    static const uint32_t depths[] = {1, 7, 16, 31, 32, 100, 127, 128, 129, 300, 512};
    static const uint32_t rows[] = {1, 2, 3, 7, 8, 9, 15, 33, 64};
    static const uint32_t cols[] = {1, 7, 8, 15, 16, 17, 31, 32};
    uint64_t seed = 1;

    (void)state;
    for (size_t d = 0; d < sizeof(depths) / sizeof(*depths); d++)
        for (int types = 0; types < 4; types++) {
            matrices m;

            make(&m, types & 1 ? EPX_TYPE_F32 : EPX_TYPE_BF16,
                 types & 2 ? EPX_TYPE_F32 : EPX_TYPE_BF16, depths[d], false, &seed);
            for (int n = 0; n < 6; n++) {
                uint32_t r = rows[epx_rng_below(&seed, sizeof(rows) / sizeof(*rows))];
                uint32_t c = cols[epx_rng_below(&seed, sizeof(cols) / sizeof(*cols))];

                check_block(&m, epx_rng_below(&seed, ROWS - r + 1), r,
                            epx_rng_below(&seed, OUTPUTS - c + 1), c);
            }
            drop(&m);
        }
}

static void whole_numbers_are_multiplied_exactly(void **state)
{
    uint64_t seed = 2;
    matrices m;

    (void)state;
    make(&m, EPX_TYPE_BF16, EPX_TYPE_BF16, 4096, true, &seed);
    for (int isa = 0; isa <= (int)epx_isa_best(); isa++) {
        m.gemm.isa = (epx_isa)isa;
        epx_gemm_block(&m.gemm, 3, 13, 5, 32, m.scratch, m.sums);
        for (uint32_t r = 0; r < 13; r++)
            for (uint32_t c = 0; c < 32; c++) {
                int64_t want = 0;

                for (size_t k = 0; k < 4096; k++)
                    want += (int64_t)data_get(m.rows, EPX_TYPE_BF16, (3 + r) * 4096 + k) *
                            (int64_t)data_get(m.weights, EPX_TYPE_BF16, (5 + c) * 4096 + k);
                assert_true(m.sums[r * EPX_GEMM_COLS + c] == (float)want);
            }
    }
    drop(&m);
}

static void rows_are_gathered_by_index(void **state)
{
    static uint32_t row_of[40];
    uint64_t seed = 3;
    matrices m;

    (void)state;
    make(&m, EPX_TYPE_BF16, EPX_TYPE_BF16, 100, false, &seed);
    for (size_t i = 0; i < 40; i++)
        row_of[i] = (uint32_t)epx_rng_below(&seed, ROWS);
    m.gemm.row_of = row_of;
    check_block(&m, 0, 40, 0, 32);
    check_block(&m, 11, 5, 38, 32);
    drop(&m);
}

static void half_precision_rows_are_widened(void **state)
{
    uint64_t seed = 4;
    matrices m;

    (void)state;
    make(&m, EPX_TYPE_F16, EPX_TYPE_F32, 65, false, &seed);
    check_block(&m, 0, 9, 0, 32);
    drop(&m);
}

static void a_nan_stays_in_its_row(void **state)
{
    uint64_t seed = 5;
    matrices m;

    (void)state;
    make(&m, EPX_TYPE_F32, EPX_TYPE_F32, 40, false, &seed);
    data_put(m.rows, EPX_TYPE_F32, 4 * 40 + 17, NAN);
    data_put(m.rows, EPX_TYPE_F32, 5 * 40 + 17, INFINITY);
    m.gemm.isa = epx_isa_best();
    epx_gemm_block(&m.gemm, 0, 10, 0, 32, m.scratch, m.sums);
    for (uint32_t r = 0; r < 10; r++)
        for (uint32_t c = 0; c < 32; c++)
            assert_int_equal(isfinite(m.sums[r * EPX_GEMM_COLS + c]) != 0, r != 4 && r != 5);
    drop(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_shapes_and_instruction_sets_give_the_bits_of_a_plain_loop),
        cmocka_unit_test(whole_numbers_are_multiplied_exactly),
        cmocka_unit_test(rows_are_gathered_by_index),
        cmocka_unit_test(half_precision_rows_are_widened),
        cmocka_unit_test(a_nan_stays_in_its_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
