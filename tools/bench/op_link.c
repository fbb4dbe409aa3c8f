/* op_link.c - two ranks exchange a block, both ways at once, counts first: rank 0 with the next
 * rank of its node, then with the first rank of another node. The others wait asleep. */
#include <stdlib.h>

#include "bench/bench.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/gather.h"
#include "common/launch.h"
#include "common/payload.h"

typedef struct run {
    bench *b;
    epx_comm *pair; /* NULL: this rank looks on */
    int32_t other;  /* the rank that rank 0 talks to */
    epx_alltoallv *a2a;
    unsigned char *send, *recv;
    double *us;
} run;

/* One exchange of `bytes` bytes each way. */
static epx_status exchange(run *r, uint64_t bytes, uint64_t *got_out)
{
    int32_t me = epx_comm_rank(r->pair);
    uint64_t sizes[2] = {0, 0}, room[2] = {0, 0}, offset[2] = {0, 0}, got[2] = {0, 0};
    epx_status st;

    sizes[1 - me] = room[1 - me] = bytes;
    st = epx_alltoallv_run(r->a2a, r->send, sizes, offset, r->recv, room, offset, got);
    *got_out = got[1 - me];
    return st;
}

/* Times of this rank; wrong bytes of the last exchange. */
static epx_status measure(run *r, uint64_t bytes, uint64_t *wrong_out)
{
    const bench_settings *s = r->b->set;
    int32_t me = epx_comm_rank(r->pair);
    uint64_t i, start, got = 0;
    epx_status st = EPX_OK;

    payload_block(s->seed, me, 1 - me, bytes, r->send);
    for (i = 0; i < s->warmup + s->iterations && st == EPX_OK; i++) {
        start = clock_ns();
        st = exchange(r, bytes, &got);
        if (i >= s->warmup)
            r->us[i - s->warmup] = clock_us_since(start);
    }
    if (st == EPX_OK)
        *wrong_out = got != bytes ? (bytes > 0 ? bytes : 1)
                                  : payload_block_wrong(s->seed, 1 - me, me, bytes, r->recv);
    return st;
}

static epx_status run_size(run *r, uint64_t bytes)
{
    const bench_settings *s = r->b->set;
    bench_result result = bench_result_none();
    uint64_t wrong = 0, sum = 0, i;
    epx_status st = EPX_OK;

    for (i = 0; i < s->iterations; i++)
        r->us[i] = 0;
    if (r->pair != NULL)
        st = measure(r, bytes, &wrong);
    if (st == EPX_OK)
        st = sample_close(r->b, r->us, s->iterations, &result.link_time);
    if (st == EPX_OK)
        st = gather_sum(r->b->comm, wrong, &sum);
    if (st != EPX_OK)
        return st;
    sample_compare(r->b, &result, r->us, NULL, s->iterations);
    result.peer_rank = r->other;
    result.link = epx_comm_link_name(r->b->comm, 0, r->other);
    result.bytes = (double)bytes;
    if (result.total.median > 0)
        result.algbw = (double)bytes / result.total.median * 1e-3;
    if (!s->no_check)
        result.wrong = (double)sum;
    report_add(&r->b->report, &result);
    return EPX_OK;
}

static epx_status run_pair(run *r)
{
    const bench_settings *s = r->b->set;
    epx_alltoallv_config cfg = {.struct_size = sizeof(cfg),
                                .max_pair_bytes = s->end > 0 ? s->end : 1};
    bool member = r->b->rank == 0 || r->b->rank == r->other;
    epx_status st = epx_comm_split(r->b->comm, member ? 0 : -1, r->b->rank, &r->pair);
    uint64_t bytes;

    if (st == EPX_OK && r->pair != NULL)
        st = epx_alltoallv_create(r->pair, &cfg, &r->a2a);
    for (bytes = s->begin; bytes <= s->end && st == EPX_OK; bytes *= s->factor) {
        st = run_size(r, bytes);
        if (bytes == 0)
            break;
    }
    epx_alltoallv_destroy(r->a2a);
    r->a2a = NULL;
    epx_comm_destroy(r->pair);
    r->pair = NULL;
    return st;
}

/* The first rank that is, or is not, on rank 0's node; 0 when there is none. */
static int32_t find_other(const bench *b, bool same_node)
{
    int32_t rank;

    for (rank = 1; rank < b->ranks; rank++)
        if ((b->node_of[rank] == b->node_of[0]) == same_node)
            return rank;
    return 0;
}

int op_link(bench *b)
{
    run r = {.b = b};
    epx_status st = EPX_OK;
    int i;

    if (b->ranks < 2) {
        fprintf(stderr, "%s: a link needs two ranks, there is one\n", b->set->program);
        return EXIT_USAGE;
    }
    r.send = tool_alloc("block", b->set->end, 1);
    r.recv = tool_alloc("block", b->set->end, 1);
    r.us = tool_alloc("times", b->set->iterations, sizeof(*r.us));
    for (i = 0; i < 2 && st == EPX_OK; i++) {
        r.other = find_other(b, i == 0);
        if (r.other != 0)
            st = run_pair(&r);
    }
    free(r.us);
    free(r.recv);
    free(r.send);
    return st == EPX_OK ? EXIT_OK : bench_fail(b, st);
}
