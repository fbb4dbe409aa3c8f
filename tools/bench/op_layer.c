/* op_layer.c - a whole MoE layer: gate, dispatch, experts, combine.
 *
 * The router looks at one element per expert, and these elements of a token carry the routing that
 * was asked for: so the gate chooses what uniform, zipf:S and the others would have. */
#include <stdlib.h>

#include <epx/moe.h>

#include "bench/bench.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/gather.h"
#include "common/launch.h"
#include "common/layer_model.h"
#include "common/num.h"
#include "common/payload.h"
#include "common/progress.h"

#define PHASES 4

typedef struct run {
    bench *b;
    dispatch_case *c;
    layer_model model;
    layer_weights weights, shared;
    epx_moe *moe;
    void *y;
    double *us;               /* [iterations] */
    double *phase_us[PHASES]; /* [iterations] each, the same allocation */
    uint64_t wrong;
    double max_rel_err, limit;
    uint64_t wire_before, wire_after;
} run;

/* ---- The layer ------------------------------------------------------------------------------- */

static void make_model(run *r)
{
    const bench_settings *s = r->b->set;
    layer_model *m = &r->model;
    int32_t e;

    *m = (layer_model){.seed = s->seed,
                       .type = s->type,
                       .hidden = (uint32_t)s->hidden,
                       .ffn = (uint32_t)s->ffn,
                       .num_experts = (int32_t)s->experts,
                       .topk = (uint32_t)s->topk,
                       .identity = s->model_us > 0};
    if (s->preset != NULL) {
        m->activation = s->preset->activation;
        m->shared_ffn = s->preset->shared_ffn;
        m->has_bias = s->preset->has_bias != 0;
        m->gate.kind = s->preset->gate;
        m->gate.num_groups = s->preset->num_groups;
        m->gate.top_groups = s->preset->top_groups;
        m->gate.scale = s->preset->scale;
    }
    if (m->identity)
        m->shared_ffn = 0;
    layer_model_init(m, false);
    for (e = 0; e < m->num_experts; e++)
        m->router[(size_t)e * m->hidden + (size_t)e] = 4.0f;
}

static void make_weights(run *r)
{
    int32_t slots = epx_route_num_slots(r->c->route, r->b->rank), slot;

    if (r->model.identity)
        return;
    r->weights = layer_weights_alloc(&r->model, slots, false);
    for (slot = 0; slot < slots; slot++)
        layer_weights_fill(&r->model, &r->weights, slot,
                           epx_route_expert(r->c->route, r->b->rank, slot));
    if (r->model.shared_ffn == 0)
        return;
    r->shared = layer_weights_alloc(&r->model, 1, true);
    layer_weights_fill(&r->model, &r->shared, 0, -1);
}

static epx_status make_layer(run *r, epx_plan plan)
{
    const bench_settings *s = r->b->set;
    const layer_model *m = &r->model;
    epx_moe_config cfg = {.struct_size = sizeof(cfg),
                          .max_tokens = s->tokens > 0 ? s->tokens : 1,
                          .type = (uint32_t)m->type,
                          .hidden = m->hidden,
                          .ffn = m->ffn,
                          .num_experts = m->num_experts,
                          .topk = m->topk,
                          .activation = m->activation,
                          .gate = m->gate,
                          .shared_ffn = m->shared_ffn,
                          .plan = (uint32_t)plan,
                          .max_recv_rows = r->c->max_pairs > 0 ? r->c->max_pairs : 1,
                          .model_us_per_row = s->model_us};
    epx_moe_weights w = {.struct_size = sizeof(w),
                         .router = m->router,
                         .w13 = r->weights.w13,
                         .w2 = r->weights.w2,
                         .bias13 = r->weights.bias13,
                         .bias2 = r->weights.bias2,
                         .shared_w13 = r->shared.w13,
                         .shared_w2 = r->shared.w2};

    return epx_moe_create(r->b->comm, &cfg, &w, r->c->route, &r->moe);
}

/* Writes the current step's routing into the tokens, where the router reads it. */
static void steer(run *r)
{
    dispatch_case *c = r->c;
    uint64_t t;
    uint32_t k;

    for (t = 0; t < c->tokens; t++) {
        char *row = (char *)c->rows + t * c->row_bytes;

        payload_row(c->set->seed, c->rank, t, c->set->type, c->elems, row);
        for (k = 0; k < c->topk; k++) {
            int32_t expert = c->ids[c->rank][t * c->topk + k];

            if (expert >= 0)
                num_put(c->set->type, row, (size_t)expert,
                        1.5f + c->weights[c->rank][t * c->topk + k]);
        }
    }
}

/* ---- Iterations ------------------------------------------------------------------------------ */

static epx_status iterate(run *r, uint64_t step, double *us)
{
    uint64_t start, before = r->c->step;
    epx_status st;

    dispatch_case_step(r->c, step);
    if (r->c->step != before)
        steer(r);
    st = epx_comm_barrier(r->b->comm);
    start = clock_ns();
    if (st == EPX_OK)
        st = epx_moe_forward(r->moe, r->c->rows, r->c->tokens, r->y);
    *us = clock_us_since(start);
    return st;
}

static epx_status check(run *r)
{
    layer_job job = {.num_ranks = r->b->ranks,
                     .rank = r->b->rank,
                     .node_of = r->b->node_of,
                     .table = &r->c->table};
    layer_verdict verdict;
    epx_status st = layer_check(&r->model, &job, r->c->rows, r->c->tokens, r->y, &verdict);

    if (st != EPX_OK)
        return st;
    r->wrong += verdict.wrong;
    r->limit = verdict.limit;
    if (!(verdict.max_rel_err <= r->max_rel_err))
        r->max_rel_err = verdict.max_rel_err;
    return EPX_OK;
}

static epx_status note_phases(run *r, uint64_t i, bench_result *out)
{
    epx_moe_stats s = {.struct_size = sizeof(s)};
    epx_status st = epx_moe_stats_read(r->moe, &s);

    if (st != EPX_OK)
        return st;
    r->phase_us[0][i] = s.gate_us;
    r->phase_us[1][i] = s.dispatch_us;
    r->phase_us[2][i] = s.compute_us;
    r->phase_us[3][i] = s.combine_us;
    out->imbalance = s.imbalance;
    out->plan_used = epx_plan_name(s.plan);
    return EPX_OK;
}

static epx_status warm_up(run *r)
{
    epx_status st = EPX_OK;
    uint64_t i;
    double us;

    for (i = 0; i < r->b->set->warmup && st == EPX_OK; i++)
        st = iterate(r, i, &us);
    if (st == EPX_OK && !r->b->set->no_check) {
        st = iterate(r, 0, &us);
        if (st == EPX_OK)
            st = check(r);
    }
    return st;
}

static epx_status measure(run *r, bench_result *out)
{
    const bench_settings *s = r->b->set;
    epx_status st = warm_up(r);
    progress bar;
    uint64_t i;

    if (st == EPX_OK)
        st = netcount_read(&r->b->net, r->b->comm, &r->wire_before);
    progress_start(&bar, "layer", s->iterations, r->b->rank == 0);
    for (i = 0; i < s->iterations && st == EPX_OK; i++) {
        st = iterate(r, s->warmup + i, &r->us[i]);
        if (st == EPX_OK)
            st = note_phases(r, i, out);
        progress_step(&bar, i + 1);
    }
    progress_end(&bar);
    if (st == EPX_OK)
        st = netcount_read(&r->b->net, r->b->comm, &r->wire_after);
    return st == EPX_OK && !s->no_check ? check(r) : st;
}

static epx_status collect(run *r, bench_result *out)
{
    bench *b = r->b;
    uint64_t count = b->set->iterations, wrong = 0;
    epx_status st = sample_close(b, r->us, count, &out->layer);
    int p;

    for (p = 0; p < PHASES && st == EPX_OK && b->set->phases; p++) {
        stats phase;

        st = sample_close(b, r->phase_us[p], count, &phase);
        out->phase_us[p] = phase.median;
    }
    if (st == EPX_OK)
        st = gather_sum(b->comm, r->wrong, &wrong);
    if (st == EPX_OK)
        st = gather_max(b->comm, &r->max_rel_err, 1);
    if (st != EPX_OK)
        return st;
    sample_compare(b, out, r->us, NULL, count);
    out->link = report_link(b->comm);
    if (b->net.known)
        out->wire_bytes = (double)(r->wire_after - r->wire_before) / (double)count;
    if (b->set->no_check)
        return EPX_OK;
    out->wrong = (double)wrong;
    out->max_rel_err = r->max_rel_err;
    out->limit = r->limit;
    return EPX_OK;
}

static epx_status run_plan(run *r, epx_plan plan)
{
    bench_result result = bench_result_none();
    epx_status st = make_layer(r, plan);

    result.plan = epx_plan_name(plan);
    r->wrong = 0;
    r->max_rel_err = 0;
    if (st == EPX_OK)
        st = measure(r, &result);
    if (st == EPX_OK)
        st = collect(r, &result);
    if (st == EPX_OK)
        report_add(&r->b->report, &result);
    epx_moe_destroy(r->moe);
    r->moe = NULL;
    return st;
}

int op_layer(bench *b)
{
    dispatch_case c;
    run r = {.b = b, .c = &c};
    uint64_t count = b->set->iterations;
    epx_status st = dispatch_case_open(&c, b->set, b->rank, b->ranks, b->node_of);
    size_t i;
    int p;

    if (st != EPX_OK)
        return bench_fail(b, st);
    make_model(&r);
    make_weights(&r);
    steer(&r);
    r.y = tool_alloc("outputs", c.tokens, c.row_bytes);
    r.us = tool_alloc("times", (1 + PHASES) * count, sizeof(*r.us));
    for (p = 0; p < PHASES; p++)
        r.phase_us[p] = r.us + (1 + (uint64_t)p) * count;
    for (i = 0; i < b->set->num_plans && st == EPX_OK; i++)
        st = run_plan(&r, b->set->plans[i]);
    free(r.us);
    free(r.y);
    layer_weights_free(&r.shared);
    layer_weights_free(&r.weights);
    layer_model_close(&r.model);
    dispatch_case_close(&c);
    return st == EPX_OK ? EXIT_OK : bench_fail(b, st);
}
