/* op_alltoall.c - plain alltoallv, counts first, at a series of block sizes.
 *
 * Small blocks are timed several at a time, back to back: an exchange in which everybody waits for
 * everybody needs no barrier, and a barrier would cost more than it. */
#include <stdlib.h>

#include "bench/bench.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/gather.h"
#include "common/launch.h"
#include "common/payload.h"
#include "common/progress.h"

typedef struct run {
    bench *b;
    epx_alltoallv *a2a;
    uint64_t bytes; /* of a block */
    unsigned char *send, *recv;
    uint64_t *send_bytes, *offset, *room, *recv_bytes; /* [ranks] */
    double *us, *peer_us;
    uint64_t wrong;
} run;

static void set_blocks(run *r, uint64_t bytes)
{
    int32_t d;

    r->bytes = bytes;
    for (d = 0; d < r->b->ranks; d++) {
        r->send_bytes[d] = r->room[d] = bytes;
        r->offset[d] = (uint64_t)d * bytes;
        payload_block(r->b->set->seed, r->b->rank, d, bytes, r->send + r->offset[d]);
    }
}

static epx_status exchange(run *r)
{
    return epx_alltoallv_run(r->a2a, r->send, r->send_bytes, r->offset, r->recv, r->room, r->offset,
                             r->recv_bytes);
}

static uint64_t check(const run *r, bool peer)
{
    uint64_t wrong = 0;
    int32_t s;

    for (s = 0; s < r->b->ranks; s++) {
        if (!peer && r->recv_bytes[s] != r->bytes)
            wrong += r->bytes > 0 ? r->bytes : 1;
        else
            wrong += payload_block_wrong(r->b->set->seed, s, r->b->rank, r->bytes,
                                         r->recv + r->offset[s]);
    }
    return wrong;
}

static void clear(run *r)
{
    size_t i, bytes = r->bytes * (size_t)r->b->ranks;

    for (i = 0; i < bytes; i++)
        r->recv[i] = 0;
}

/* How many exchanges make one time. */
static unsigned batch(uint64_t bytes)
{
    return bytes <= 4096 ? 16 : bytes <= 65536 ? 4 : 1;
}

static epx_status take(run *r, double *us)
{
    unsigned i, count = batch(r->bytes);
    uint64_t start = clock_ns();
    epx_status st = EPX_OK;

    for (i = 0; i < count && st == EPX_OK; i++)
        st = exchange(r);
    *us = clock_us_since(start) / count;
    return st;
}

/* False: the blocks do not fit. */
static bool take_peer(run *r, double *us)
{
    unsigned i, count = batch(r->bytes);
    uint64_t start = clock_ns();
    bool fits = true;

    for (i = 0; i < count && fits; i++)
        fits = r->b->peer->alltoall(r->send, r->recv, r->bytes, r->b->ranks);
    *us = clock_us_since(start) / count;
    return fits;
}

static epx_status measure(run *r, bool peer)
{
    const bench_settings *s = r->b->set;
    progress bar;
    uint64_t i;
    epx_status st = EPX_OK;

    progress_start(&bar, "alltoall", s->iterations, r->b->rank == 0);
    for (i = 0; i < s->iterations && st == EPX_OK; i++) {
        if (peer && i % 2 == 1)
            take_peer(r, &r->peer_us[i]);
        st = take(r, &r->us[i]);
        if (peer && i % 2 == 0)
            take_peer(r, &r->peer_us[i]);
        progress_step(&bar, i + 1);
    }
    progress_end(&bar);
    return st;
}

/* Warm-up, and a first look at the data of both. */
static epx_status prepare(run *r, bool *peer)
{
    uint64_t i;
    double us;
    epx_status st = EPX_OK;

    for (i = 0; i <= r->b->set->warmup && st == EPX_OK; i++)
        st = exchange(r);
    if (st == EPX_OK && !r->b->set->no_check)
        r->wrong += check(r, false);
    if (st != EPX_OK || !*peer)
        return st;
    clear(r);
    *peer = take_peer(r, &us);
    if (*peer && !r->b->set->no_check)
        r->wrong += check(r, true);
    if (!*peer && r->b->rank == 0)
        fprintf(stderr, "%s: MPI_Alltoallv counts bytes in int: %d blocks of %llu do not fit\n",
                r->b->set->program, r->b->ranks, (unsigned long long)r->bytes);
    return st;
}

static epx_status run_size(run *r, uint64_t bytes, bench_result *out)
{
    const bench_settings *s = r->b->set;
    bool peer = s->vs_mpi && r->b->peer != NULL;
    uint64_t wrong = 0;
    stats ignored;
    epx_status st;

    r->wrong = 0;
    set_blocks(r, bytes);
    clear(r);
    st = prepare(r, &peer);
    if (st == EPX_OK)
        st = measure(r, peer);
    if (st == EPX_OK && !s->no_check) {
        clear(r);
        st = exchange(r);
        r->wrong += st == EPX_OK ? check(r, false) : 0;
    }
    if (st == EPX_OK)
        st = sample_close(r->b, r->us, s->iterations, &out->alltoall);
    if (st == EPX_OK && peer)
        st = sample_close(r->b, r->peer_us, s->iterations, &ignored);
    if (st == EPX_OK)
        st = gather_sum(r->b->comm, r->wrong, &wrong);
    if (st != EPX_OK)
        return st;
    sample_compare(r->b, out, r->us, peer ? r->peer_us : NULL, s->iterations);
    out->link = report_link(r->b->comm);
    out->bytes = (double)bytes;
    if (out->total.median > 0)
        out->algbw = (double)bytes * r->b->ranks / out->total.median * 1e-3;
    out->busbw = out->algbw * (r->b->ranks - 1) / r->b->ranks;
    if (!s->no_check)
        out->wrong = (double)wrong;
    return EPX_OK;
}

static void open_run(run *r, bench *b)
{
    size_t ranks = (size_t)b->ranks;

    *r = (run){.b = b};
    r->send = tool_alloc("blocks", ranks, b->set->end);
    r->recv = tool_alloc("blocks", ranks, b->set->end);
    r->send_bytes = tool_alloc("blocks", 4 * ranks, sizeof(uint64_t));
    r->offset = r->send_bytes + ranks;
    r->room = r->offset + ranks;
    r->recv_bytes = r->room + ranks;
    r->us = tool_alloc("times", 2 * b->set->iterations, sizeof(double));
    r->peer_us = r->us + b->set->iterations;
}

static void close_run(run *r)
{
    epx_alltoallv_destroy(r->a2a);
    free(r->us);
    free(r->send_bytes);
    free(r->recv);
    free(r->send);
}

int op_alltoall(bench *b)
{
    epx_alltoallv_config cfg = {.struct_size = sizeof(cfg),
                                .max_pair_bytes = b->set->end > 0 ? b->set->end : 1};
    run r;
    epx_status st;
    uint64_t bytes;

    open_run(&r, b);
    st = epx_alltoallv_create(b->comm, &cfg, &r.a2a);
    for (bytes = b->set->begin; bytes <= b->set->end && st == EPX_OK; bytes *= b->set->factor) {
        bench_result result = bench_result_none();

        st = run_size(&r, bytes, &result);
        if (st == EPX_OK)
            report_add(&b->report, &result);
        if (bytes == 0)
            break;
    }
    close_run(&r);
    return st == EPX_OK ? EXIT_OK : bench_fail(b, st);
}
