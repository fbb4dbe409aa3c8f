/* bench.c - from the command line to ranks to one operation to the report. */
#include "bench/bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/gather.h"
#include "common/launch.h"

typedef struct body_args {
    const bench_host *host;
    bench_settings *set;
} body_args;

int bench_fail(const bench *b, epx_status status)
{
    return launch_fail(b->set->program, b->comm, status);
}

/* ---- One rank -------------------------------------------------------------------------------- */

/* The report's file is rank 0's, but all must know whether there is one. */
static int open_report(bench *b)
{
    bool opened = report_open(&b->report, b->set, b->comm);
    uint64_t failed = 0;
    epx_status st;

    if (!opened)
        fprintf(stderr, "%s: %s: %s\n", b->set->program, b->set->json, strerror(errno));
    st = gather_sum(b->comm, !opened, &failed);
    if (st != EPX_OK)
        return bench_fail(b, st);
    return failed > 0 ? EXIT_ENVIRONMENT : EXIT_OK;
}

static int close_report(bench *b)
{
    if (report_close(&b->report))
        return EXIT_OK;
    fprintf(stderr, "%s: rank %d: results cannot be written: %s\n", b->set->program, b->rank,
            strerror(errno));
    return EXIT_ENVIRONMENT;
}

static int run_op(bench *b)
{
    static int (*const run[OP_COUNT])(bench *) = {[OP_ALLTOALL] = op_alltoall,
                                                  [OP_DISPATCH] = op_dispatch,
                                                  [OP_LAYER] = op_layer,
                                                  [OP_LINK] = op_link};
    epx_status st = netcount_open(&b->net, b->comm);
    int code;

    if (st != EPX_OK)
        return bench_fail(b, st);
    code = open_report(b);
    if (code == EXIT_OK)
        code = run[b->set->op](b);
    if (code == EXIT_OK)
        code = close_report(b);
    if (code == EXIT_OK && b->report.wrong > 0)
        code = EXIT_WRONG;
    netcount_close(&b->net);
    return code;
}

static int run_rank(epx_comm *comm, void *arg)
{
    const body_args *args = arg;
    bench b = {.set = args->set,
               .peer = args->host->peer,
               .comm = comm,
               .rank = epx_comm_rank(comm),
               .ranks = epx_comm_size(comm),
               .nodes = epx_comm_num_nodes(comm)};
    int32_t r;
    int code;

    b.node_of = tool_alloc("nodes", (size_t)b.ranks, sizeof(*b.node_of));
    for (r = 0; r < b.ranks; r++)
        b.node_of[r] = epx_comm_node_of(comm, r);
    code = run_op(&b);
    free(b.node_of);
    settings_close(args->set); /* this process's copy */
    return code;
}

/* ---- The program ----------------------------------------------------------------------------- */

int bench_main(const bench_host *host, int argc, char **argv)
{
    bench_settings set;
    body_args args = {.host = host, .set = &set};
    launch l = {.program = host->program, .create = host->create, .body = run_rank, .arg = &args};
    int code = settings_parse(&set, host->program, argc, argv);

    if (code >= 0) {
        settings_close(&set);
        return code;
    }
    l.ranks = set.ranks;
    l.nodes = set.nodes;
    l.ranks_given = set.ranks_given;
    l.progress = set.op == OP_LAYER ? EPX_PROGRESS_THREAD : EPX_PROGRESS_CALLER;
    if (launch_forks(&l) && !host->forks) {
        fprintf(stderr, "%s: runs under mpirun, which has -n of its own\n", host->program);
        settings_close(&set);
        return EXIT_ENVIRONMENT;
    }
    code = launch_run(&l);
    settings_close(&set);
    return code;
}
