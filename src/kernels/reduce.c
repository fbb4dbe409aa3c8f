/* reduce.c - weighted sums of rows, tile by tile, so that the sums stay in the cache while rows
 * stream by. */
#include "kernels/reduce.h"

#include <string.h>

#include "kernels/num.h"

#define TILE 4096u /* elements: shorter runs of a row would lose the hardware's prefetching */

EPX_BODY void row_body(const void *row, epx_type type, float weight, bool add, uint32_t elems,
                       float *restrict acc)
{
    const uint16_t *restrict half = row;
    const float *restrict full = row;

    if (type == EPX_TYPE_BF16 && add)
        for (uint32_t i = 0; i < elems; i++)
            acc[i] += weight * epx_float_of_bf16(half[i]);
    else if (type == EPX_TYPE_BF16)
        for (uint32_t i = 0; i < elems; i++)
            acc[i] = weight * epx_float_of_bf16(half[i]);
    else if (type == EPX_TYPE_F32 && add)
        for (uint32_t i = 0; i < elems; i++)
            acc[i] += weight * full[i];
    else if (type == EPX_TYPE_F32)
        for (uint32_t i = 0; i < elems; i++)
            acc[i] = weight * full[i];
    else if (add)
        for (uint32_t i = 0; i < elems; i++)
            acc[i] += weight * epx_float_of_f16(half[i]);
    else
        for (uint32_t i = 0; i < elems; i++)
            acc[i] = weight * epx_float_of_f16(half[i]);
}

EPX_BODY void round_body(const float *restrict acc, epx_type type, uint32_t elems, void *out)
{
    uint16_t *restrict half = out;

    if (type == EPX_TYPE_F32)
        memcpy(out, acc, (size_t)elems * sizeof(float));
    else if (type == EPX_TYPE_BF16)
        for (uint32_t i = 0; i < elems; i++)
            half[i] = epx_bf16_of_float(acc[i]);
    else
        for (uint32_t i = 0; i < elems; i++)
            half[i] = epx_f16_of_float(acc[i]);
}

static void row_generic(const void *row, epx_type type, float weight, bool add, uint32_t elems,
                        float *acc)
{
    row_body(row, type, weight, add, elems, acc);
}

EPX_TARGET_AVX2 static void row_avx2(const void *row, epx_type type, float weight, bool add,
                                     uint32_t elems, float *acc)
{
    row_body(row, type, weight, add, elems, acc);
}

EPX_TARGET_AVX512 static void row_avx512(const void *row, epx_type type, float weight, bool add,
                                         uint32_t elems, float *acc)
{
    row_body(row, type, weight, add, elems, acc);
}

static void round_generic(const float *acc, epx_type type, uint32_t elems, void *out)
{
    round_body(acc, type, elems, out);
}

EPX_TARGET_AVX2 static void round_avx2(const float *acc, epx_type type, uint32_t elems, void *out)
{
    round_body(acc, type, elems, out);
}

EPX_TARGET_AVX512 static void round_avx512(const float *acc, epx_type type, uint32_t elems,
                                           void *out)
{
    round_body(acc, type, elems, out);
}

void epx_reduce_row(epx_isa isa, const void *row, epx_type type, float weight, bool add,
                    uint32_t elems, float *acc)
{
    if (isa == EPX_ISA_AVX512)
        row_avx512(row, type, weight, add, elems, acc);
    else if (isa == EPX_ISA_AVX2)
        row_avx2(row, type, weight, add, elems, acc);
    else
        row_generic(row, type, weight, add, elems, acc);
}

void epx_reduce_round(epx_isa isa, const float *acc, epx_type type, uint32_t elems, void *out)
{
    if (isa == EPX_ISA_AVX512)
        round_avx512(acc, type, elems, out);
    else if (isa == EPX_ISA_AVX2)
        round_avx2(acc, type, elems, out);
    else
        round_generic(acc, type, elems, out);
}

static const void *row_at(const epx_term *term, epx_type type, size_t elem)
{
    return (const unsigned char *)term->row + elem * epx_type_size(type);
}

/* One rank's terms, from terms[i] on, into acc; returns the first term of the next rank. */
static size_t sum_rank(epx_isa isa, const epx_term *terms, size_t i, size_t count, epx_type type,
                       size_t elem, uint32_t elems, float *acc)
{
    epx_reduce_row(isa, row_at(&terms[i], type, elem), type, terms[i].weight, false, elems, acc);
    for (i++; i < count && !terms[i].first_of_rank; i++)
        epx_reduce_row(isa, row_at(&terms[i], type, elem), type, terms[i].weight, true, elems, acc);
    return i;
}

static void sum_tile(epx_isa isa, const epx_term *terms, size_t count, epx_type type, size_t elem,
                     uint32_t elems, float *acc)
{
    float partial[TILE];
    size_t i = sum_rank(isa, terms, 0, count, type, elem, elems, acc);

    while (i < count) {
        if (i + 1 == count || terms[i + 1].first_of_rank) { /* a sum of one needs no tile */
            epx_reduce_row(isa, row_at(&terms[i], type, elem), type, terms[i].weight, true, elems,
                           acc);
            i++;
            continue;
        }
        i = sum_rank(isa, terms, i, count, type, elem, elems, partial);
        epx_reduce_row(isa, partial, EPX_TYPE_F32, 1.0f, true, elems, acc);
    }
}

void epx_reduce_terms(const epx_term *terms, size_t count, epx_type type, uint32_t first_elem,
                      uint32_t elems, float *acc)
{
    const epx_isa isa = epx_isa_best();

    if (count == 0) {
        memset(acc, 0, (size_t)elems * sizeof(*acc));
        return;
    }
    for (uint32_t done = 0, now; done < elems; done += now) {
        now = elems - done < TILE ? elems - done : TILE;
        sum_tile(isa, terms, count, type, (size_t)first_elem + done, now, acc + done);
    }
}

void epx_round_row(const float *acc, epx_type type, uint32_t elems, void *out)
{
    epx_reduce_round(epx_isa_best(), acc, type, elems, out);
}

void epx_widen_row(const void *row, epx_type type, uint32_t elems, float *acc)
{
    epx_reduce_row(epx_isa_best(), row, type, 1.0f, false, elems, acc);
}

void epx_add_row(const void *row, epx_type type, uint32_t elems, float *acc)
{
    epx_reduce_row(epx_isa_best(), row, type, 1.0f, true, elems, acc);
}

void epx_add_floats(const float *row, uint32_t elems, float *acc)
{
    epx_reduce_row(epx_isa_best(), row, EPX_TYPE_F32, 1.0f, true, elems, acc);
}
