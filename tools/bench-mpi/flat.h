/* flat.h - what a user would run without epx: one row per (token, expert) by MPI_Alltoallv. */
#ifndef TOOLS_BENCH_MPI_FLAT_H
#define TOOLS_BENCH_MPI_FLAT_H

#include "bench/bench.h"

/* The operations of bench_peer over MPI_COMM_WORLD, whose ranks are the communicator's. */
bool flat_alltoall(const void *send, void *recv, uint64_t bytes, int32_t ranks);
void *flat_open(const dispatch_case *c);
void flat_dispatch(void *state);
void flat_experts(void *state);
void flat_combine(void *state);
const void *flat_rows(void *state);
void flat_close(void *state);

#endif /* TOOLS_BENCH_MPI_FLAT_H */
