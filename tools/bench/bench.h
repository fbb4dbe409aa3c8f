/* bench.h - one benchmark on one rank: settings, communicator, results; and who runs beside it. */
#ifndef TOOLS_BENCH_BENCH_H
#define TOOLS_BENCH_BENCH_H

#include <epx/comm.h>

#include "bench/dispatch_case.h"
#include "bench/report.h"
#include "bench/settings.h"
#include "common/netcount.h"

/* What does the same work another way, in the same processes. Calls are collective and end the
 * process on failure. */
typedef struct bench_peer {
    const char *name;
    /* Sends block d of send to rank d; counts are exchanged first. False: bytes do not fit. */
    bool (*alltoall)(const void *send, void *recv, uint64_t bytes, int32_t ranks);
    /* A flat exchange of the case's current step: one row per (token, expert). NULL: the rows do
     * not fit into its counts. */
    void *(*open)(const dispatch_case *c);
    void (*dispatch)(void *state);
    void (*experts)(void *state); /* answers what arrived, untimed */
    void (*combine)(void *state);
    /* The combined rows, [tokens][hidden]. */
    const void *(*rows)(void *state);
    void (*close)(void *state);
} bench_peer;

typedef struct bench {
    const bench_settings *set;
    const bench_peer *peer; /* NULL: alone */
    epx_comm *comm;
    int32_t rank, ranks, nodes;
    int32_t *node_of; /* [ranks]; owns */
    report report;
    netcount net;
} bench;

/* What differs between epx-bench and epx-bench-mpi. */
typedef struct bench_host {
    const char *program;
    const bench_peer *peer;
    epx_status (*create)(const epx_comm_config *cfg, epx_comm **comm_out);
    bool forks; /* may start ranks itself */
} bench_host;

/* The whole program. Returns the exit status. */
int bench_main(const bench_host *host, int argc, char **argv);

/* One operation: adds its results to the report. Returns an exit status, equal on all ranks unless
 * the job breaks. */
int op_alltoall(bench *b);
int op_dispatch(bench *b);
int op_layer(bench *b);
int op_link(bench *b);

/* Prints the failure and returns its exit status. */
int bench_fail(const bench *b, epx_status status);

/* sample.c: times of `count` repeats on this rank become those of the slowest rank. */
epx_status sample_close(bench *b, double *us, size_t count, stats *stats_out);
/* Fills in total and ratio from times of the slowest rank; peer_us may be NULL. */
void sample_compare(const bench *b, bench_result *result, const double *us, const double *peer_us,
                    size_t count);

#endif /* TOOLS_BENCH_BENCH_H */
