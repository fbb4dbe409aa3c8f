/* dispatch_case.c - tokens, routing and cheap experts. */
#include "bench/dispatch_case.h"

#include <stdlib.h>

#include "common/alloc.h"
#include "common/num.h"
#include "common/payload.h"

/* ---- Experts --------------------------------------------------------------------------------- */

/* Tells experts apart, exact in bf16. */
static float expert_factor(int32_t expert)
{
    return 1.0f + (float)(expert % 7) * 0.125f;
}

void dispatch_case_answer(const dispatch_case *c, int32_t expert, const void *row, void *y)
{
    float factor = expert_factor(expert);
    uint32_t i;

    for (i = 0; i < c->elems; i++)
        num_put(c->set->type, y, i, factor * num_get(c->set->type, row, i));
}

void dispatch_case_experts(const dispatch_case *c, const epx_dispatch_out *window)
{
    int32_t slot;
    uint64_t p;

    for (slot = 0; slot < window->num_slots; slot++) {
        int32_t expert = epx_route_expert(c->route, c->rank, slot);

        for (p = window->slot_begin[slot]; p < window->slot_begin[slot + 1]; p++)
            dispatch_case_answer(c, expert,
                                 (const char *)window->rows +
                                     (uint64_t)window->pair_row[p] * c->row_bytes,
                                 (char *)window->outputs + p * c->row_bytes);
    }
}

/* For the oracle, which asks about this rank's tokens only. */
static void answer_pair(void *arg, const oracle_pair *pair, void *y)
{
    const dispatch_case *c = arg;

    dispatch_case_answer(c, pair->expert,
                         (const char *)c->rows + (uint64_t)pair->token * c->row_bytes, y);
}

/* ---- Routing --------------------------------------------------------------------------------- */

static void fill_step(dispatch_case *c, uint64_t step)
{
    int32_t r;

    for (r = 0; r < c->ranks; r++)
        routing_fill(c->set->routing, step, r, c->tokens, c->ids[r], c->weights[r]);
    c->step = step;
}

void dispatch_case_step(dispatch_case *c, uint64_t step)
{
    if (routing_drifts(c->set->routing) && step != c->step)
        fill_step(c, step);
}

/* Looks at every step beforehand: windows never grow while time is taken. */
static void look_ahead(dispatch_case *c)
{
    bool drifts = routing_drifts(c->set->routing);
    uint64_t steps = drifts ? c->set->warmup + c->set->iterations : 1, step, timed = 0;
    oracle_counts counts;

    for (step = 0; step < steps; step++) {
        if (step > 0)
            fill_step(c, step);
        oracle_count(&c->job, &counts, NULL);
        if (counts.max_pairs > c->max_pairs)
            c->max_pairs = counts.max_pairs;
        if (drifts && step < c->set->warmup)
            continue;
        c->mean_far_rows += (double)counts.node_rows;
        c->mean_pairs += (double)counts.pairs;
        timed++;
    }
    c->mean_far_rows /= (double)timed;
    c->mean_pairs /= (double)timed;
    if (steps > 1)
        fill_step(c, 0);
}

/* ---- Life ------------------------------------------------------------------------------------ */

static epx_status make_route(dispatch_case *c)
{
    epx_route_config cfg = {.struct_size = sizeof(cfg),
                            .world_size = c->ranks,
                            .num_experts = (int32_t)c->set->experts};
    epx_status st = epx_route_create(&cfg, &c->route);

    if (st == EPX_OK)
        oracle_table_init(&c->table, c->route, c->ranks, cfg.num_experts);
    return st;
}

epx_status dispatch_case_open(dispatch_case *c, const bench_settings *set, int32_t rank,
                              int32_t ranks, const int32_t *node_of)
{
    size_t pairs = set->tokens * set->topk, t;
    int32_t r;

    *c = (dispatch_case){.set = set, .rank = rank, .ranks = ranks, .tokens = set->tokens};
    c->topk = (uint32_t)set->topk;
    c->elems = (uint32_t)set->hidden;
    c->row_bytes = c->elems * (uint32_t)epx_type_size(set->type);
    c->rows = tool_alloc("tokens", c->tokens, c->row_bytes);
    c->combined = tool_alloc("tokens", c->tokens, c->row_bytes);
    for (t = 0; t < c->tokens; t++)
        payload_row(set->seed, rank, t, set->type, c->elems, (char *)c->rows + t * c->row_bytes);
    c->num_tokens = tool_alloc("routing", (size_t)ranks, sizeof(*c->num_tokens));
    c->ids = tool_alloc("routing", (size_t)ranks, sizeof(*c->ids));
    c->weights = tool_alloc("routing", (size_t)ranks, sizeof(*c->weights));
    for (r = 0; r < ranks; r++) {
        c->num_tokens[r] = c->tokens;
        c->ids[r] = tool_alloc("routing", pairs, sizeof(**c->ids));
        c->weights[r] = tool_alloc("routing", pairs, sizeof(**c->weights));
    }
    c->job = (oracle_job){.num_ranks = ranks,
                          .node_of = node_of,
                          .topk = c->topk,
                          .num_tokens = c->num_tokens,
                          .ids = (const int32_t *const *)c->ids,
                          .weights = (const float *const *)c->weights,
                          .combine_type = (uint32_t)set->type,
                          .combine_elems = c->elems,
                          .places = oracle_table_places,
                          .places_arg = &c->table,
                          .expert = answer_pair,
                          .expert_arg = c};
    if (make_route(c) != EPX_OK) {
        dispatch_case_close(c);
        return EPX_ERR_INVALID;
    }
    fill_step(c, 0);
    look_ahead(c);
    return EPX_OK;
}

void dispatch_case_close(dispatch_case *c)
{
    int32_t r;

    for (r = 0; r < c->ranks; r++) {
        free(c->ids[r]);
        free(c->weights[r]);
    }
    free(c->weights);
    free(c->ids);
    free(c->num_tokens);
    free(c->combined);
    free(c->rows);
    oracle_table_close(&c->table);
    epx_route_destroy(c->route);
    *c = (dispatch_case){0};
}
