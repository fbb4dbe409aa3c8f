/* data.h - buffers and numbers for kernel tests: typed elements, seeded data, and blocks that are
 * full of NaN with a known pattern on both sides. Include after cmocka.h. */
#ifndef EPX_TESTS_SUPPORT_DATA_H
#define EPX_TESTS_SUPPORT_DATA_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <epx/exchange.h>

#include "core/rng.h"
#include "kernels/num.h"

#define DATA_CANARY 64u

static inline float data_get(const void *row, epx_type type, size_t i)
{
    if (type == EPX_TYPE_F32)
        return ((const float *)row)[i];
    if (type == EPX_TYPE_BF16)
        return epx_float_of_bf16(((const uint16_t *)row)[i]);
    return epx_float_of_f16(((const uint16_t *)row)[i]);
}

static inline void data_put(void *row, epx_type type, size_t i, float value)
{
    if (type == EPX_TYPE_F32)
        ((float *)row)[i] = value;
    else if (type == EPX_TYPE_BF16)
        ((uint16_t *)row)[i] = epx_bf16_of_float(value);
    else
        ((uint16_t *)row)[i] = epx_f16_of_float(value);
}

/* Roughly normal: mean 0, variance 1. */
static inline double data_normal(uint64_t *seed)
{
    double sum = -6;

    for (int i = 0; i < 12; i++)
        sum += epx_rng_unit(seed);
    return sum;
}

/* `bytes` bytes of NaN (in every type) between two patterns. */
static inline void *data_guarded(size_t bytes)
{
    unsigned char *block = malloc(bytes + 2 * DATA_CANARY);

    assert_non_null(block);
    memset(block, 0xff, bytes + 2 * DATA_CANARY);
    memset(block, 0xa5, DATA_CANARY);
    memset(block + DATA_CANARY + bytes, 0xa5, DATA_CANARY);
    return block + DATA_CANARY;
}

static inline void data_check(const void *inner, size_t bytes)
{
    const unsigned char *from = inner;

    for (size_t i = 0; i < DATA_CANARY; i++) {
        assert_int_equal(from[(ptrdiff_t)i - (ptrdiff_t)DATA_CANARY], 0xa5);
        assert_int_equal(from[bytes + i], 0xa5);
    }
}

static inline void data_check_and_free(void *inner, size_t bytes)
{
    data_check(inner, bytes);
    free((unsigned char *)inner - DATA_CANARY);
}

/* `count` elements of `type`, scaled. */
static inline void *data_random(epx_type type, size_t count, double scale, uint64_t *seed)
{
    void *block = data_guarded(count * epx_type_size(type));

    for (size_t i = 0; i < count; i++)
        data_put(block, type, i, (float)(data_normal(seed) * scale));
    return block;
}

/* `count` whole numbers from -limit to limit. */
static inline void *data_integers(epx_type type, size_t count, uint64_t limit, uint64_t *seed)
{
    void *block = data_guarded(count * epx_type_size(type));

    for (size_t i = 0; i < count; i++)
        data_put(block, type, i,
                 (float)((double)epx_rng_below(seed, 2 * limit + 1) - (double)limit));
    return block;
}

/* ||got - want|| / ||want|| over count elements. */
static inline double data_error(const void *got, epx_type type, const double *want, size_t count)
{
    double difference = 0, norm = 0;

    for (size_t i = 0; i < count; i++) {
        double d = (double)data_get(got, type, i) - want[i];

        difference += d * d;
        norm += want[i] * want[i];
    }
    return norm > 0 ? sqrt(difference / norm) : sqrt(difference);
}

#endif /* EPX_TESTS_SUPPORT_DATA_H */
