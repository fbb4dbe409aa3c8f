/* op_dispatch.c - times dispatch and combine, one after the other, and checks every bit.
 *
 * Iterations begin with a barrier on either side of the experts, so the slowest rank's time is that
 * of the operation. Bytes are read behind those barriers, when every rank has sent its share. */
#include <stdlib.h>

#include "bench/bench.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/gather.h"
#include "common/launch.h"
#include "common/progress.h"

/* One plan being measured. */
typedef struct run {
    bench *b;
    dispatch_case *c;
    epx_exchange *x;
    epx_dispatch_out window;
    void *peer; /* its state, NULL: alone */
    double *dispatch_us, *combine_us, *peer_us;
    uint64_t sent, combine_sent; /* bytes to other nodes by this rank, all timed iterations */
    uint64_t wrong;
    double imbalance;
    epx_plan plan;
    uint64_t wire_before, wire_after;
} run;

/* ---- One iteration --------------------------------------------------------------------------- */

static epx_status dispatch(run *r, epx_handle **handle, double *us)
{
    const dispatch_case *c = r->c;
    epx_dispatch_in in = {.struct_size = sizeof(in),
                          .num_tokens = c->tokens,
                          .topk = c->topk,
                          .rows = c->rows,
                          .ids = c->ids[c->rank],
                          .weights = c->weights[c->rank]};
    uint64_t start = clock_ns();
    epx_status st;

    r->window = (epx_dispatch_out){.struct_size = sizeof(r->window)};
    st = epx_dispatch_start(r->x, &in, NULL, handle);
    if (st == EPX_OK)
        st = epx_dispatch_finish(*handle, &r->window);
    *us = clock_us_since(start);
    return st;
}

static epx_status combine(run *r, epx_handle *handle, double *us)
{
    epx_combine_in in = {.struct_size = sizeof(in), .outputs = r->window.outputs};
    epx_combine_out out = {.struct_size = sizeof(out), .rows = r->c->combined};
    uint64_t start = clock_ns();
    epx_status st = epx_combine_start(handle, &in, &out, NULL);

    if (st == EPX_OK)
        st = epx_combine_finish(handle);
    *us = clock_us_since(start);
    return st;
}

static epx_status tell(run *r, const epx_handle *handle)
{
    epx_handle_counts_out counts = {.struct_size = sizeof(counts)};
    epx_status st = epx_handle_counts(handle, &counts);

    r->imbalance = counts.imbalance;
    r->plan = epx_handle_plan(handle);
    return st;
}

/* Dispatch, experts, combine. check: compare everything with the oracle. */
static epx_status iterate(run *r, bool check, double *dispatch_us, double *combine_us,
                          uint64_t sent[3])
{
    epx_handle *handle = NULL;
    epx_status st = epx_comm_barrier(r->b->comm);

    sent[0] = epx_exchange_net_bytes(r->x);
    if (st == EPX_OK)
        st = dispatch(r, &handle, dispatch_us);
    if (st == EPX_OK && check)
        r->wrong += check_window(r->c, &r->window) + check_counts(r->c, handle);
    if (st == EPX_OK) {
        dispatch_case_experts(r->c, &r->window);
        st = epx_comm_barrier(r->b->comm);
    }
    sent[1] = epx_exchange_net_bytes(r->x);
    if (st == EPX_OK)
        st = combine(r, handle, combine_us);
    if (st == EPX_OK && check)
        r->wrong += check_combined(r->c);
    if (st == EPX_OK)
        st = tell(r, handle);
    epx_handle_release(handle);
    if (st == EPX_OK)
        st = epx_comm_barrier(r->b->comm);
    sent[2] = epx_exchange_net_bytes(r->x);
    return st;
}

static epx_status iterate_peer(run *r, bool check, double *us)
{
    const bench_peer *peer = r->b->peer;
    epx_status st = epx_comm_barrier(r->b->comm);
    uint64_t start = clock_ns();

    peer->dispatch(r->peer);
    *us = clock_us_since(start);
    peer->experts(r->peer);
    if (st == EPX_OK)
        st = epx_comm_barrier(r->b->comm);
    start = clock_ns();
    peer->combine(r->peer);
    *us += clock_us_since(start);
    if (check)
        r->wrong += check_roughly(r->c, peer->rows(r->peer));
    return st;
}

/* ---- All iterations -------------------------------------------------------------------------- */

/* Iteration i, and next to it the peer's, in turns first. */
static epx_status iterate_pair(run *r, uint64_t i)
{
    uint64_t sent[3] = {0};
    epx_status st = EPX_OK;
    bool peer_first = i % 2 == 1;

    dispatch_case_step(r->c, r->b->set->warmup + i);
    if (r->peer != NULL && peer_first)
        st = iterate_peer(r, false, &r->peer_us[i]);
    if (st == EPX_OK)
        st = iterate(r, false, &r->dispatch_us[i], &r->combine_us[i], sent);
    r->sent += sent[1] - sent[0];
    r->combine_sent += sent[2] - sent[1];
    if (st == EPX_OK && r->peer != NULL && !peer_first)
        st = iterate_peer(r, false, &r->peer_us[i]);
    return st;
}

static epx_status warm_up(run *r)
{
    bool check = !r->b->set->no_check;
    uint64_t i, sent[3];
    double us, other;
    epx_status st = EPX_OK;

    dispatch_case_step(r->c, 0);
    if (check)
        st = iterate(r, true, &us, &other, sent);
    if (st == EPX_OK && check && r->peer != NULL)
        st = iterate_peer(r, true, &us);
    for (i = 0; i < r->b->set->warmup && st == EPX_OK; i++) {
        dispatch_case_step(r->c, i);
        st = iterate(r, false, &us, &other, sent);
        if (st == EPX_OK && r->peer != NULL)
            st = iterate_peer(r, false, &us);
    }
    return st;
}

static epx_status measure(run *r)
{
    const bench_settings *s = r->b->set;
    uint64_t i, sent[3];
    double us, other;
    progress bar;
    epx_status st = warm_up(r);

    if (st == EPX_OK)
        st = netcount_read(&r->b->net, r->b->comm, &r->wire_before);
    progress_start(&bar, "dispatch", s->iterations, r->b->rank == 0);
    for (i = 0; i < s->iterations && st == EPX_OK; i++) {
        st = iterate_pair(r, i);
        progress_step(&bar, i + 1);
    }
    progress_end(&bar);
    if (st == EPX_OK)
        st = netcount_read(&r->b->net, r->b->comm, &r->wire_after);
    if (st == EPX_OK && !s->no_check)
        st = iterate(r, true, &us, &other, sent);
    return st;
}

/* ---- Results --------------------------------------------------------------------------------- */

static void work_out(run *r, bench_result *out, uint64_t sent, uint64_t combine_sent)
{
    const bench_settings *s = r->b->set;
    const dispatch_case *c = r->c;
    double repeats = (double)s->iterations, row = c->row_bytes;

    out->plan_used = epx_plan_name(r->plan);
    out->link = report_link(r->b->comm);
    out->net_bytes = (double)sent / repeats;
    out->combine_net_bytes = (double)combine_sent / repeats;
    out->net_bytes_min = out->combine_net_bytes_min = c->mean_far_rows * row;
    if (r->b->net.known && r->peer == NULL)
        out->wire_bytes = (double)(r->wire_after - r->wire_before) / repeats;
    out->imbalance = r->imbalance;
    if (out->total.median > 0)
        out->algbw = 2 * c->mean_pairs * row / r->b->ranks / out->total.median * 1e-3;
    out->busbw = out->algbw * (r->b->ranks - 1) / r->b->ranks;
}

static epx_status collect(run *r, bench_result *out)
{
    bench *b = r->b;
    uint64_t count = b->set->iterations, i, sent = 0, combine_sent = 0, wrong = 0;
    epx_status st = sample_close(b, r->dispatch_us, count, &out->dispatch);
    stats ignored;

    if (st == EPX_OK)
        st = sample_close(b, r->combine_us, count, &out->combine);
    if (st == EPX_OK && r->peer != NULL)
        st = sample_close(b, r->peer_us, count, &ignored);
    if (st == EPX_OK)
        st = gather_sum(b->comm, r->sent, &sent);
    if (st == EPX_OK)
        st = gather_sum(b->comm, r->combine_sent, &combine_sent);
    if (st == EPX_OK)
        st = gather_sum(b->comm, r->wrong, &wrong);
    if (st != EPX_OK)
        return st;
    for (i = 0; i < count; i++) /* both series are the slowest rank's now */
        r->dispatch_us[i] += r->combine_us[i];
    sample_compare(b, out, r->dispatch_us, r->peer != NULL ? r->peer_us : NULL, count);
    if (!b->set->no_check)
        out->wrong = (double)wrong;
    work_out(r, out, sent, combine_sent);
    return EPX_OK;
}

static epx_status run_plan(bench *b, dispatch_case *c, epx_plan plan, void *peer, bench_result *out)
{
    const bench_settings *s = b->set;
    epx_exchange_config cfg = {.struct_size = sizeof(cfg),
                               .max_tokens = c->tokens > 0 ? c->tokens : 1,
                               .max_topk = c->topk,
                               .num_experts = (int32_t)s->experts,
                               .row_bytes = c->row_bytes,
                               .combine_type = (uint32_t)s->type,
                               .combine_elems = c->elems,
                               .plan = (uint32_t)plan,
                               .max_recv_rows = c->max_pairs > 0 ? c->max_pairs : 1};
    epx_memory memory = {.struct_size = sizeof(memory)};
    run r = {.b = b, .c = c, .peer = peer};
    double *times = tool_alloc("times", 3 * s->iterations, sizeof(*times));
    epx_status st;

    r.dispatch_us = times;
    r.combine_us = times + s->iterations;
    r.peer_us = times + 2 * s->iterations;
    st = epx_exchange_memory(b->comm, &cfg, c->route, &memory);
    if (st == EPX_OK)
        st = epx_exchange_create(b->comm, &cfg, c->route, &r.x);
    if (st == EPX_OK)
        st = measure(&r);
    if (st == EPX_OK)
        st = collect(&r, out);
    if (st == EPX_OK)
        out->staging_bytes = (double)memory.staging_bytes;
    epx_exchange_destroy(r.x);
    free(times);
    return st;
}

/* The peer starts from the first step's routing and has none of its own. */
static int open_peer(bench *b, const dispatch_case *c, void **peer_out)
{
    if (b->peer == NULL || !b->set->vs_mpi)
        return EXIT_OK;
    if (routing_drifts(b->set->routing)) {
        if (b->rank == 0)
            fprintf(stderr, "%s: --vs mpi needs a routing that stays: not %s\n", b->set->program,
                    b->set->routing_name);
        return EXIT_USAGE;
    }
    *peer_out = b->peer->open(c);
    if (*peer_out != NULL)
        return EXIT_OK;
    if (b->rank == 0)
        fprintf(stderr, "%s: MPI_Alltoallv counts rows in int: this many do not fit\n",
                b->set->program);
    return EXIT_ENVIRONMENT;
}

int op_dispatch(bench *b)
{
    dispatch_case c;
    void *peer = NULL;
    epx_status st = dispatch_case_open(&c, b->set, b->rank, b->ranks, b->node_of);
    size_t i;
    int code;

    if (st != EPX_OK)
        return bench_fail(b, st);
    code = open_peer(b, &c, &peer);
    for (i = 0; i < b->set->num_plans && code == EXIT_OK; i++) {
        bench_result result = bench_result_none();

        result.plan = epx_plan_name(b->set->plans[i]);
        st = run_plan(b, &c, b->set->plans[i], peer, &result);
        if (st == EPX_OK)
            report_add(&b->report, &result);
        else
            code = bench_fail(b, st);
    }
    if (peer != NULL)
        b->peer->close(peer);
    dispatch_case_close(&c);
    return code;
}
