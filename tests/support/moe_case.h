/* moe_case.h - one random dispatch + combine, the same on every rank, checked against the oracle
 * bit by bit. Runs on any communicator: simulated or real. */
#ifndef TESTS_SUPPORT_MOE_CASE_H
#define TESTS_SUPPORT_MOE_CASE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <epx/exchange.h>

#include "common/oracle.h"
#include "core/rng.h"
#include "kernels/num.h"

typedef struct moe_case {
    uint64_t seed;
    uint32_t plan, layout, type;
    uint32_t topk, elems;
    int32_t experts;
    uint64_t max_tokens;
    uint64_t tokens[64]; /* of each rank */
    int repeats;         /* dispatch + combine on one handle: the second by dispatch_again */
    uint64_t hash;       /* out: of rank 0's output bytes */
} moe_case;

static inline float case_value(uint64_t seed, uint64_t a, uint64_t b)
{
    uint64_t state = seed ^ (a * UINT64_C(0x9e3779b97f4a7c15)) ^ (b << 32);

    return (float)((int64_t)(epx_rng_next(&state) % 513) - 256) / 64.0f;
}

static inline void case_store(void *row, uint32_t type, uint32_t i, float value)
{
    if (type == EPX_TYPE_BF16)
        ((uint16_t *)row)[i] = epx_bf16_of_float(value);
    else
        ((float *)row)[i] = value;
}

static inline float case_load(const void *row, uint32_t type, uint32_t i)
{
    return type == EPX_TYPE_BF16 ? epx_float_of_bf16(((const uint16_t *)row)[i])
                                 : ((const float *)row)[i];
}

static inline void case_row(const moe_case *c, int32_t rank, uint64_t token, void *row)
{
    uint32_t i;

    for (i = 0; i < c->elems; i++)
        case_store(row, c->type, i, case_value(c->seed + 1, (uint64_t)rank << 40 | token, i));
}

/* The expert: scales a row by a factor of its own, and rounds. */
static inline void case_expert(const moe_case *c, int32_t expert, const void *row, void *y)
{
    uint32_t i;

    for (i = 0; i < c->elems; i++)
        case_store(y, c->type, i, case_load(row, c->type, i) * (1.0f + (float)(expert % 7) / 3.0f));
}

static inline void case_routing(const moe_case *c, int32_t rank, int32_t *ids, float *weights)
{
    uint64_t state = c->seed * 31 + (uint64_t)rank, t;
    uint32_t j;

    for (t = 0; t < c->tokens[rank]; t++)
        for (j = 0; j < c->topk; j++) {
            uint64_t at = t * c->topk + j;

            ids[at] = (int32_t)epx_rng_below(&state, (uint64_t)c->experts + 1) - 1;
            weights[at] = (float)epx_rng_unit(&state) - 0.25f;
        }
}

typedef struct case_truth {
    const moe_case *c;
    oracle_table table;
} case_truth;

static inline uint32_t case_places(void *arg, const oracle_pair *pair,
                                   oracle_place out[EPX_MAX_SHARDS])
{
    return oracle_table_places(&((case_truth *)arg)->table, pair, out);
}

static inline void case_answer(void *arg, const oracle_pair *pair, void *y)
{
    const moe_case *c = ((case_truth *)arg)->c;
    uint64_t row[4096];

    case_row(c, pair->source, pair->token, row);
    case_expert(c, pair->expert, row, y);
}

static inline uint64_t case_wrong(const moe_case *c, epx_comm *comm, const void *out)
{
    int32_t ranks = epx_comm_size(comm), r, node_of[64], *ids[64];
    size_t bytes = c->tokens[epx_comm_rank(comm)] * c->elems * epx_type_size((epx_type)c->type), i;
    const int32_t *const_ids[64];
    const float *const_weights[64];
    float *weights[64];
    epx_route_config cfg = {
        .struct_size = sizeof(cfg), .world_size = ranks, .num_experts = c->experts};
    case_truth truth = {.c = c};
    unsigned char *expected = calloc(1, bytes + 1);
    epx_route *route;
    uint64_t wrong = 0;
    oracle_job job;

    if (epx_route_create(&cfg, &route) != EPX_OK)
        abort();
    oracle_table_init(&truth.table, route, ranks, c->experts);
    for (r = 0; r < ranks; r++) {
        node_of[r] = epx_comm_node_of(comm, r);
        ids[r] = calloc(c->tokens[r] * c->topk + 1, sizeof(int32_t));
        weights[r] = calloc(c->tokens[r] * c->topk + 1, sizeof(float));
        case_routing(c, r, ids[r], weights[r]);
        const_ids[r] = ids[r];
        const_weights[r] = weights[r];
    }
    job = (oracle_job){.num_ranks = ranks,
                       .node_of = node_of,
                       .topk = c->topk,
                       .num_tokens = c->tokens,
                       .ids = const_ids,
                       .weights = const_weights,
                       .combine_type = c->type,
                       .combine_elems = c->elems,
                       .places = case_places,
                       .places_arg = &truth,
                       .expert = case_answer,
                       .expert_arg = &truth};
    oracle_combine(&job, epx_comm_rank(comm), expected);
    for (i = 0; i < bytes; i++)
        wrong += expected[i] != ((const unsigned char *)out)[i];
    for (r = 0; r < ranks; r++) {
        free(ids[r]);
        free(weights[r]);
    }
    free(expected);
    oracle_table_close(&truth.table);
    epx_route_destroy(route);
    return wrong;
}

static inline void case_compute(const moe_case *c, const epx_route *route, int32_t rank,
                                const epx_dispatch_out *got)
{
    size_t row_bytes = c->elems * epx_type_size((epx_type)c->type);
    int32_t s;
    uint64_t p;

    for (s = 0; s < got->num_slots; s++)
        for (p = got->slot_begin[s]; p < got->slot_begin[s + 1]; p++)
            case_expert(c, epx_route_expert(route, rank, s),
                        (const char *)got->rows + got->pair_row[p] * row_bytes,
                        (char *)got->outputs + p * row_bytes);
}

static inline epx_status case_exchange(moe_case *c, epx_comm *comm, epx_exchange *x,
                                       const epx_route *route, uint64_t *wrong_out)
{
    int32_t rank = epx_comm_rank(comm);
    uint64_t tokens = c->tokens[rank], t;
    size_t row_bytes = c->elems * epx_type_size((epx_type)c->type);
    char *rows = calloc(1, tokens * row_bytes + 1), *out = calloc(1, tokens * row_bytes + 1);
    int32_t *ids = calloc(tokens * c->topk + 1, sizeof(int32_t));
    float *weights = calloc(tokens * c->topk + 1, sizeof(float));
    epx_dispatch_in in = {.struct_size = sizeof(in),
                          .num_tokens = tokens,
                          .topk = c->topk,
                          .rows = rows,
                          .ids = ids,
                          .weights = weights};
    epx_dispatch_out got = {.struct_size = sizeof(got)};
    epx_combine_out back = {.struct_size = sizeof(back), .rows = out};
    epx_handle *h = NULL;
    epx_status st;
    int i;

    case_routing(c, rank, ids, weights);
    for (t = 0; t < tokens; t++)
        case_row(c, rank, t, rows + t * row_bytes);
    st = epx_dispatch_start(x, &in, NULL, &h);
    for (i = 0; i < c->repeats && st == EPX_OK; i++) {
        epx_combine_in answers = {.struct_size = sizeof(answers)};

        if (i > 0)
            st = epx_dispatch_again(h, &in, NULL);
        if (st == EPX_OK)
            st = epx_dispatch_finish(h, &got);
        if (st != EPX_OK)
            break;
        case_compute(c, route, rank, &got);
        answers.outputs = got.outputs;
        memset(out, 0xff, tokens * row_bytes);
        st = epx_combine_start(h, &answers, &back, NULL);
        if (st == EPX_OK)
            st = epx_combine_finish(h);
        if (st == EPX_OK)
            *wrong_out += case_wrong(c, comm, out);
    }
    if (rank == 0)
        for (t = 0; t < tokens * row_bytes; t++)
            c->hash = (c->hash ^ (unsigned char)out[t]) * UINT64_C(1099511628211);
    epx_handle_release(h);
    free(rows);
    free(out);
    free(ids);
    free(weights);
    return st;
}

/* Creates the exchange, runs the case, destroys. *wrong_out: bytes that differ from the oracle. */
static inline epx_status case_run(moe_case *c, epx_comm *comm, uint64_t *wrong_out)
{
    epx_exchange_config cfg = {.struct_size = sizeof(cfg),
                               .max_tokens = c->max_tokens,
                               .max_topk = c->topk,
                               .num_experts = c->experts,
                               .combine_type = c->type,
                               .layout = c->layout,
                               .plan = c->plan};
    epx_route_config route_cfg = {.struct_size = sizeof(route_cfg),
                                  .world_size = epx_comm_size(comm),
                                  .num_experts = c->experts};
    epx_route *route;
    epx_exchange *x;
    epx_status st = epx_route_create(&route_cfg, &route);

    if (st != EPX_OK)
        return st;
    cfg.row_bytes = (uint32_t)(c->elems * epx_type_size((epx_type)c->type));
    cfg.max_recv_rows = c->max_tokens * (uint64_t)epx_comm_size(comm) * c->topk;
    st = epx_exchange_create(comm, &cfg, route, &x);
    if (st == EPX_OK) {
        st = case_exchange(c, comm, x, route, wrong_out);
        epx_exchange_destroy(x);
    }
    epx_route_destroy(route);
    return st;
}

#endif /* TESTS_SUPPORT_MOE_CASE_H */
