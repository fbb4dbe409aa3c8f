/* check.c - what came, element by element, against the oracle. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/dispatch_case.h"
#include "common/alloc.h"
#include "common/num.h"
#include "common/payload.h"

/* Slots must begin where the oracle's pairs change slot. Returns how many do not. */
static uint64_t check_slots(const epx_dispatch_out *window, const oracle_pair *pairs,
                            uint64_t count)
{
    uint64_t wrong = window->slot_begin[window->num_slots] != count, at = 0;
    int32_t slot;

    for (slot = 0; slot < window->num_slots; slot++) {
        while (at < count && pairs[at].at.slot < slot)
            at++;
        wrong += window->slot_begin[slot] != at;
    }
    return wrong;
}

/* One pair: whose token, which weight, which bits. Returns how many elements are wrong. */
static uint64_t check_pair(const dispatch_case *c, const epx_dispatch_out *window, uint64_t p,
                           const oracle_pair *want, void *row)
{
    uint32_t at = window->pair_row[p];
    float weight = c->weights[want->source][(uint64_t)want->token * c->topk + want->index];

    if (at >= window->num_rows || window->row_source[at] != (uint32_t)want->source ||
        window->row_token[at] != want->token ||
        num_bits(window->pair_weight[p]) != num_bits(weight))
        return c->elems;
    payload_row(c->set->seed, want->source, want->token, c->set->type, c->elems, row);
    return payload_differ(c->set->type, c->elems, row,
                          (const char *)window->rows + (uint64_t)at * c->row_bytes);
}

uint64_t check_window(const dispatch_case *c, const epx_dispatch_out *window)
{
    void *row = tool_alloc("check", 1, c->row_bytes);
    oracle_pair *pairs;
    uint64_t count = oracle_pairs(&c->job, c->rank, &pairs), wrong, p;

    if (window->num_pairs != count) {
        wrong = (count > window->num_pairs ? count : window->num_pairs) * c->elems;
    } else {
        wrong = check_slots(window, pairs, count);
        for (p = 0; p < count; p++)
            wrong += check_pair(c, window, p, &pairs[p], row);
    }
    free(pairs);
    free(row);
    return wrong;
}

uint64_t check_combined(const dispatch_case *c)
{
    void *want = tool_alloc("check", c->tokens, c->row_bytes);
    uint64_t wrong;

    oracle_combine(&c->job, c->rank, want);
    wrong = payload_differ(c->set->type, c->tokens * c->elems, want, c->combined);
    free(want);
    return wrong;
}

uint64_t check_counts(const dispatch_case *c, const epx_handle *handle)
{
    epx_handle_counts_out have = {.struct_size = sizeof(have)};
    uint64_t *rank_pairs = tool_alloc("check", (size_t)c->ranks, sizeof(*rank_pairs)), wrong = 1;
    oracle_counts want;

    oracle_count(&c->job, &want, rank_pairs);
    if (epx_handle_counts(handle, &have) == EPX_OK) {
        wrong = memcmp(have.rank_pairs, rank_pairs, (size_t)c->ranks * sizeof(*rank_pairs)) != 0;
        wrong += have.num_tokens != c->tokens;
        wrong += have.num_pairs != rank_pairs[c->rank];
        wrong += have.node_rows != want.node_rows;
        wrong += have.rank_rows != want.rank_rows;
        wrong += want.pairs > 0 && fabs(have.imbalance - want.imbalance) > 1e-9;
    }
    free(rank_pairs);
    return wrong;
}

uint64_t check_roughly(const dispatch_case *c, const void *rows)
{
    double slack = c->set->type == EPX_TYPE_BF16 ? 0x1p-6 : 0x1p-18;
    unsigned char *y = tool_alloc("check", 1, c->row_bytes);
    double *sum = tool_alloc("check", c->elems, sizeof(*sum));
    double *size = tool_alloc("check", c->elems, sizeof(*size));
    uint64_t wrong = 0, t;
    uint32_t k, i;

    for (t = 0; t < c->tokens; t++) {
        memset(sum, 0, c->elems * sizeof(*sum));
        memset(size, 0, c->elems * sizeof(*size));
        for (k = 0; k < c->topk; k++) {
            int32_t expert = c->ids[c->rank][t * c->topk + k];

            if (expert < 0)
                continue;
            dispatch_case_answer(c, expert, (const char *)c->rows + t * c->row_bytes, y);
            for (i = 0; i < c->elems; i++) {
                double term =
                    (double)c->weights[c->rank][t * c->topk + k] * num_get(c->set->type, y, i);

                sum[i] += term;
                size[i] += fabs(term);
            }
        }
        for (i = 0; i < c->elems; i++)
            wrong +=
                !(fabs(num_get(c->set->type, rows, t * c->elems + i) - sum[i]) <= slack * size[i]);
    }
    free(size);
    free(sum);
    free(y);
    return wrong;
}
