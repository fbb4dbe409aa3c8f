/* The expert FFN against float64 within the limits that its types allow, exact on whole numbers,
 * the same for every batch, and untouched by everything around it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <epx/kernels.h>

#include "support/data.h"

#define LIMIT_BF16 4.5e-3 /* hidden activation and output rounded to bf16 */
#define LIMIT_F32 1e-5

typedef struct layer {
    epx_ffn ffn;
    void *w13, *w2;
    float *bias13, *bias2;
    size_t parts;
} layer;

static size_t matrix(const layer *l)
{
    return (size_t)l->ffn.num_slots * l->ffn.hidden * l->ffn.ffn;
}

static size_t size_of(const layer *l)
{
    return epx_type_size((epx_type)l->ffn.type);
}

static layer make_layer(epx_type type, epx_activation activation, uint32_t hidden, uint32_t ffn,
                        int32_t slots, bool biased, uint64_t *seed)
{
    layer l = {.parts = activation == EPX_ACT_RELU ? 1 : 2};
    size_t s = (size_t)slots;

    l.ffn = (epx_ffn){.struct_size = sizeof(l.ffn),
                      .type = type,
                      .activation = activation,
                      .hidden = hidden,
                      .ffn = ffn,
                      .num_slots = slots};
    l.ffn.w13 = l.w13 = data_random(type, l.parts * matrix(&l), 1 / sqrt(hidden), seed);
    l.ffn.w2 = l.w2 = data_random(type, matrix(&l), 1 / sqrt(ffn), seed);
    if (biased) {
        l.ffn.bias13 = l.bias13 = data_random(EPX_TYPE_F32, l.parts * s * ffn, 0.5, seed);
        l.ffn.bias2 = l.bias2 = data_random(EPX_TYPE_F32, s * hidden, 0.5, seed);
    }
    return l;
}

static void drop_layer(layer *l)
{
    size_t s = (size_t)l->ffn.num_slots;

    data_check_and_free(l->w13, l->parts * matrix(l) * size_of(l));
    data_check_and_free(l->w2, matrix(l) * size_of(l));
    if (l->bias13 != NULL) {
        data_check_and_free(l->bias13, l->parts * s * l->ffn.ffn * sizeof(float));
        data_check_and_free(l->bias2, s * l->ffn.hidden * sizeof(float));
    }
}

static double activate(uint32_t activation, double gate, double up)
{
    switch (activation) {
    case EPX_ACT_SWIGLU:
        return gate / (1 + exp(-gate)) * up;
    case EPX_ACT_SWIGLU_CLAMP:
        gate = fmin(gate, 7);
        return gate / (1 + exp(-1.702 * gate)) * (fmax(fmin(up, 7), -7) + 1);
    case EPX_ACT_GELU_GLU:
        return 0.5 * gate * (1 + tanh(sqrt(2 / M_PI) * (gate + 0.044715 * gate * gate * gate))) *
               up;
    default:
        return fmax(up, 0);
    }
}

static double dot(const void *a, size_t a0, const void *b, size_t b0, epx_type type, size_t count)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += (double)data_get(a, type, a0 + i) * (double)data_get(b, type, b0 + i);
    return sum;
}

/* One row through one slot, in double, unrounded. */
static void reference(const layer *l, size_t slot, const void *rows, size_t row, double *out)
{
    size_t hidden = l->ffn.hidden, ffn = l->ffn.ffn, up_part = l->parts - 1;
    epx_type type = (epx_type)l->ffn.type;
    double *mid = calloc(ffn, sizeof(*mid));

    assert_non_null(mid);
    for (size_t f = 0; f < ffn; f++) {
        size_t gate_row = slot * l->parts * ffn + f, up_row = gate_row + up_part * ffn;
        double gate = dot(rows, row * hidden, l->w13, gate_row * hidden, type, hidden);
        double up = dot(rows, row * hidden, l->w13, up_row * hidden, type, hidden);

        gate += l->bias13 ? (double)l->bias13[gate_row] : 0;
        up += l->bias13 ? (double)l->bias13[up_row] : 0;
        mid[f] = activate(l->ffn.activation, gate, up);
    }
    for (size_t h = 0; h < hidden; h++) {
        out[h] = l->bias2 ? (double)l->bias2[slot * hidden + h] : 0;
        for (size_t f = 0; f < ffn; f++)
            out[h] += mid[f] * (double)data_get(l->w2, type, (slot * hidden + h) * ffn + f);
    }
    free(mid);
}

/* Runs with a poisoned workspace of exactly the promised size, at an odd address. */
static void run(const layer *l, const void *rows, const uint32_t *row_of, const uint64_t *begin,
                void *outputs)
{
    size_t bytes = epx_kernel_ffn_workspace(&l->ffn);
    unsigned char *workspace = data_guarded(bytes + 3);

    assert_true(bytes > 0);
    memset(workspace, 0xa5, 3);
    assert_int_equal(epx_kernel_ffn(&l->ffn, rows, row_of, begin, outputs, workspace + 3), EPX_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(workspace[i], 0xa5);
    data_check_and_free(workspace, bytes + 3);
}

static void check_rows(const layer *l, const void *rows, const uint32_t *row_of,
                       const uint64_t *begin, const unsigned char *outputs)
{
    const double limit = l->ffn.type == EPX_TYPE_F32 ? LIMIT_F32 : LIMIT_BF16;
    size_t hidden = l->ffn.hidden, slots = (size_t)l->ffn.num_slots;
    size_t count = (begin[slots] - begin[0]) * hidden;
    double *want = calloc(count + 1, sizeof(*want));

    assert_non_null(want);
    for (size_t s = 0; s < slots; s++)
        for (uint64_t p = begin[s]; p < begin[s + 1]; p++) {
            double *one = want + (p - begin[0]) * hidden;
            const unsigned char *got = outputs + p * hidden * size_of(l);

            reference(l, s, rows, row_of ? row_of[p] : p, one);
            assert_true(data_error(got, (epx_type)l->ffn.type, one, hidden) <= 4 * limit);
        }
    assert_true(data_error(outputs + begin[0] * hidden * size_of(l), (epx_type)l->ffn.type, want,
                           count) <= limit);
    free(want);
}

/* Slots with counts[] rows; three rows before the first and after the last must stay as they are,
 * rows that no pair names are NaN. */
static void check_layer(const layer *l, const uint64_t *counts, bool gathered, uint64_t *seed)
{
    size_t slots = (size_t)l->ffn.num_slots, row_bytes = l->ffn.hidden * size_of(l), total;
    uint64_t *begin = data_guarded((slots + 1) * sizeof(*begin));
    unsigned char *rows, *outputs;
    uint32_t *row_of;

    begin[0] = 3;
    for (size_t s = 0; s < slots; s++)
        begin[s + 1] = begin[s] + counts[s];
    total = begin[slots] + 3;
    rows = data_random((epx_type)l->ffn.type, total * l->ffn.hidden, 1.0, seed);
    outputs = data_guarded(total * row_bytes);
    row_of = data_guarded(total * sizeof(*row_of));
    for (size_t p = 0; p < total; p++)
        row_of[p] = 1 + (uint32_t)epx_rng_below(seed, total - 1); /* row 0 is never named */
    memset(rows, 0xff, row_bytes);
    run(l, rows, gathered ? row_of : NULL, begin, outputs);
    check_rows(l, rows, gathered ? row_of : NULL, begin, outputs);
    for (size_t i = 0; i < 3 * row_bytes; i++) {
        assert_int_equal(outputs[i], 0xff);
        assert_int_equal(outputs[begin[slots] * row_bytes + i], 0xff);
    }
    data_check_and_free(begin, (slots + 1) * sizeof(*begin));
    data_check_and_free(rows, total * row_bytes);
    data_check_and_free(outputs, total * row_bytes);
    data_check_and_free(row_of, total * sizeof(*row_of));
}

static void every_activation_and_type_is_within_its_limit_of_float64(void **state)
{
    static const uint32_t shapes[][2] = {{100, 7}, {7, 100}, {64, 32}, {130, 65}, {33, 1}};
    static const uint64_t counts[5] = {0, 9, 0, 5, 0}; /* nothing at start, middle and end */
    uint64_t seed = 1;

    (void)state;
    for (int activation = 0; activation <= EPX_ACT_RELU; activation++)
        for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
            for (int variant = 0; variant < 8; variant++) {
                layer l = make_layer(variant & 1 ? EPX_TYPE_F32 : EPX_TYPE_BF16,
                                     (epx_activation)activation, shapes[i][0], shapes[i][1], 5,
                                     variant & 2, &seed);

                check_layer(&l, counts, variant & 4, &seed);
                drop_layer(&l);
            }
}

static void a_layer_of_usual_width_is_within_its_limit(void **state)
{
    static const uint64_t counts[3] = {20, 0, 70};
    uint64_t seed = 2;

    (void)state;
    for (int activation = 0; activation <= EPX_ACT_RELU; activation++) {
        layer l = make_layer(activation % 2 ? EPX_TYPE_F32 : EPX_TYPE_BF16,
                             (epx_activation)activation, 320, 160, 3, true, &seed);

        check_layer(&l, counts, true, &seed);
        drop_layer(&l);
    }
}

static void any_number_of_rows_is_computed(void **state)
{
    static const uint64_t numbers[] = {1, 7, 8, 63, 64, 65, 127, 128, 129, 255, 257};
    uint64_t seed = 3;

    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        layer l = make_layer(EPX_TYPE_BF16, EPX_ACT_SWIGLU, 40, 24, 1, false, &seed);

        check_layer(&l, &numbers[i], false, &seed);
        drop_layer(&l);
    }
}

static void no_rows_need_no_buffers(void **state)
{
    const uint64_t begin[4] = {5, 5, 5, 5};
    epx_ffn ffn = {
        .struct_size = sizeof(ffn), .type = EPX_TYPE_F32, .hidden = 4, .ffn = 4, .num_slots = 3};

    (void)state;
    assert_int_equal(epx_kernel_ffn(&ffn, NULL, NULL, begin, NULL, NULL), EPX_OK);
    ffn.num_slots = 0;
    assert_int_equal(epx_kernel_ffn(&ffn, NULL, NULL, begin, NULL, NULL), EPX_OK);
}

static void check_whole_numbers(epx_type type, uint32_t hidden, uint32_t ffn, uint64_t *seed)
{
    const uint64_t begin[2] = {0, 21};
    layer l = {.parts = 1};
    size_t bytes = 21 * hidden * epx_type_size(type);
    void *rows = data_integers(type, 21 * hidden, 2, seed);
    unsigned char *outputs = data_guarded(bytes), rounded[4];
    double want[60];

    l.ffn = (epx_ffn){.struct_size = sizeof(l.ffn),
                      .type = type,
                      .activation = EPX_ACT_RELU,
                      .hidden = hidden,
                      .ffn = ffn,
                      .num_slots = 1};
    l.ffn.w13 = l.w13 = data_integers(type, matrix(&l), 2, seed);
    l.ffn.w2 = l.w2 = data_integers(type, matrix(&l), 2, seed);
    run(&l, rows, NULL, begin, outputs);
    for (size_t p = 0; p < 21; p++) {
        reference(&l, 0, rows, p, want);
        for (size_t h = 0; h < hidden; h++) {
            data_put(rounded, type, 0, (float)want[h]);
            assert_memory_equal(outputs + (p * hidden + h) * epx_type_size(type), rounded,
                                epx_type_size(type));
        }
    }
    data_check_and_free(rows, bytes);
    data_check_and_free(outputs, bytes);
    drop_layer(&l);
}

/* At these widths the hidden activation stays below 256, which bf16 holds exactly. */
static void whole_numbers_come_out_exactly(void **state)
{
    static const uint32_t shapes[][2] = {{60, 44}, {1, 1}, {1, 33}, {33, 1}, {32, 64}};
    uint64_t seed = 4;

    (void)state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
        check_whole_numbers(EPX_TYPE_BF16, shapes[i][0], shapes[i][1], &seed);
        check_whole_numbers(EPX_TYPE_F32, shapes[i][0], shapes[i][1], &seed);
    }
}

static void a_row_does_not_see_its_batch(void **state)
{
    static const uint64_t batches[] = {1, 7, 16, 33, 128};
    uint64_t seed = 5;

    (void)state;
    for (int variant = 0; variant < 8; variant++) {
        const epx_type type = variant & 1 ? EPX_TYPE_F32 : EPX_TYPE_BF16;
        layer l = make_layer(type, (epx_activation)(variant / 2), 100, 70, 1, true, &seed);
        size_t bytes = 128 * 100 * epx_type_size(type);
        unsigned char *rows = data_random(type, 128 * 100, 1.0, &seed);
        unsigned char *all = data_guarded(bytes), *some = data_guarded(bytes);
        uint64_t begin[2] = {0, 128};

        run(&l, rows, NULL, begin, all);
        for (size_t i = 0; i < sizeof(batches) / sizeof(*batches); i++) {
            memset(some, 0xff, bytes);
            for (begin[0] = 0; begin[0] < 128; begin[0] = begin[1]) {
                begin[1] = begin[0] + batches[i] < 128 ? begin[0] + batches[i] : 128;
                run(&l, rows, NULL, begin, some);
            }
            assert_memory_equal(some, all, bytes);
        }
        data_check_and_free(rows, bytes);
        data_check_and_free(all, bytes);
        data_check_and_free(some, bytes);
        drop_layer(&l);
    }
}

/* Bits that must never change: they are what other ranks and earlier runs computed. */
static void the_bits_are_the_same_on_every_machine(void **state)
{
    const uint64_t begin[2] = {0, 9};
    uint64_t seed = 7, hash = UINT64_C(0xcbf29ce484222325);

    (void)state;
    for (int variant = 0; variant < 8; variant++) {
        const epx_type type = variant & 1 ? EPX_TYPE_F32 : EPX_TYPE_BF16;
        layer l = make_layer(type, (epx_activation)(variant / 2), 100, 70, 1, true, &seed);
        size_t bytes = 9 * 100 * epx_type_size(type);
        unsigned char *rows = data_random(type, 9 * 100, 1.0, &seed);
        unsigned char *outputs = data_guarded(bytes);

        run(&l, rows, NULL, begin, outputs);
        for (size_t i = 0; i < bytes; i++)
            hash = (hash ^ outputs[i]) * UINT64_C(0x100000001b3);
        data_check_and_free(rows, bytes);
        data_check_and_free(outputs, bytes);
        drop_layer(&l);
    }
    assert_int_equal(hash, UINT64_C(0x941c05a225e1ebac));
}

static void a_nan_stays_in_its_row(void **state)
{
    const uint64_t begin[2] = {0, 10};
    uint64_t seed = 6;
    layer l = make_layer(EPX_TYPE_BF16, EPX_ACT_SWIGLU_CLAMP, 33, 17, 1, true, &seed);
    uint16_t *rows = data_random(EPX_TYPE_BF16, 10 * 33, 1.0, &seed);
    uint16_t *outputs = data_guarded(10 * 33 * sizeof(*outputs));

    (void)state;
    data_put(rows, EPX_TYPE_BF16, 4 * 33 + 5, NAN);
    run(&l, rows, NULL, begin, outputs);
    for (size_t i = 0; i < 10 * 33; i++)
        assert_int_equal(isnan(data_get(outputs, EPX_TYPE_BF16, i)) != 0, i / 33 == 4);
    data_check_and_free(rows, 10 * 33 * sizeof(*rows));
    data_check_and_free(outputs, 10 * 33 * sizeof(*outputs));
    drop_layer(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_activation_and_type_is_within_its_limit_of_float64),
        cmocka_unit_test(a_layer_of_usual_width_is_within_its_limit),
        cmocka_unit_test(any_number_of_rows_is_computed),
        cmocka_unit_test(no_rows_need_no_buffers),
        cmocka_unit_test(whole_numbers_come_out_exactly),
        cmocka_unit_test(a_row_does_not_see_its_batch),
        cmocka_unit_test(the_bits_are_the_same_on_every_machine),
        cmocka_unit_test(a_nan_stays_in_its_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
